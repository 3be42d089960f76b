"""ViT-B/16 on ImageNet from scratch, after Dosovitskiy et al. 2020 (2010.11929, table 3).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/vit_b_16_imagenet.py
    python -m cnnjax.main --config configs/vit_b_16_imagenet.py:smoke           three steps anywhere

Adam over 300 epochs with 4,096 images, rate 0.003 after 10,000 steps of warm-up, then a cosine, decoupled decay 0.3
(that is 0.3 times the rate), dropout 0.1, gradients clipped at norm 1.

Hardware: not measured here yet. Published: 77.91 % top-1 (fine-tuned at 384); torchvision's weights (V1, another
recipe) 81.07 / 95.32 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=4096,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="vit_b_16", num_classes=1000, input_size=(224, 224, 3), dropout=0.1),
    optimizer=OptimizerConfig(
        name="adamw",
        lr=0.003,
        weight_decay=0.3,
        decay_on="weights",
        clip_norm=1.0,
        schedule="cosine",
        warmup_epochs=32,
    ),
    train=TrainConfig(epochs=300, log_every=25),
)

variants = {"smoke": smoke(32)}
