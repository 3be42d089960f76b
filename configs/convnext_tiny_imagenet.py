"""ConvNeXt-T on ImageNet, after Liu et al. 2022 (2201.03545, appendix A.1).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/convnext_tiny_imagenet.py
    python -m cnnjax.main --config configs/convnext_tiny_imagenet.py:smoke           three steps anywhere

AdamW over 300 epochs with 4,096 images, rate 0.004 with 20 epochs of warm-up and a cosine, weight decay 0.05 on
weights, mixup 0.8 and CutMix 1.0, random erasing 0.25, label smoothing 0.1, stochastic depth, averaged weights.
RandAugment, which the authors add, is not part of this recipe.

Hardware: not measured here yet. Published: 82.1 % top-1 (one crop of 224); torchvision's weights 82.52 / 96.15 %.
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
    augment=AugmentConfig(crop="resized", flip=True, erase=0.25, mixup=0.8, cutmix=1.0, normalize="imagenet"),
    model=ModelConfig(name="convnext_tiny", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="adamw",
        lr=0.004,
        weight_decay=0.05,
        decay_on="weights",
        schedule="cosine",
        warmup_epochs=20,
    ),
    train=TrainConfig(epochs=300, label_smoothing=0.1, ema=0.9999, log_every=25),
)

variants = {"smoke": smoke(64)}
