"""RegNetY-400MF on ImageNet, after Radosavovic et al. 2020 (2003.13678, section 5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/regnet_y_400mf_imagenet.py
    python -m cnnjax.main --config configs/regnet_y_400mf_imagenet.py:smoke           three steps anywhere

100 epochs, 1,024 images, rate 0.8 with five epochs of warm-up and a half cosine, Nesterov momentum 0.9, weight
decay 5e-5.

Hardware: not measured here yet. Published: 74.1 % top-1 (one crop of 224); torchvision's weights (V1) 74.05 / 91.72
%.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=1024,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="regnet_y_400mf", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.8,
        momentum=0.9,
        weight_decay=5e-5,
        schedule="cosine",
        warmup_epochs=5,
    ),
    train=TrainConfig(epochs=100, log_every=50),
)

variants = {"smoke": smoke(64)}
