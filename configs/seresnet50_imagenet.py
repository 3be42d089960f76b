"""SE-ResNet-50 on ImageNet, after Hu et al. 2017 (1709.01507, section 5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/seresnet50_imagenet.py
    python -m cnnjax.main --config configs/seresnet50_imagenet.py:smoke           three steps anywhere

1,024 images, rate 0.6 after an epoch of warm-up and a tenth every 30 epochs, 100 epochs, momentum 0.9, weight decay
1e-4.

Hardware: not measured here yet. Published: 76.71 % top-1, 93.38 % top-5 (one crop of 224).
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
    model=ModelConfig(name="seresnet50", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.6,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        warmup_epochs=1,
        drop_epochs=(30, 60, 90),
    ),
    train=TrainConfig(epochs=100, log_every=50),
)

variants = {"smoke": smoke(64)}
