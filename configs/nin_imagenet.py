"""Network in Network on ImageNet, after the authors' Caffe settings of Lin, Chen and Yan 2013 (1312.4400).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/nin_imagenet.py
    python -m cnnjax.main --config configs/nin_imagenet.py:smoke           three steps anywhere

The paper stops at CIFAR and MNIST; widths and settings are those of the authors' model for ImageNet: rate 0.01, a
tenth after 200,000 steps of 64.

Hardware: not measured here yet. Published: 59.36 % top-1 (the authors' weights).
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=64,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="scaled", shorter=(256, 256), flip=True, normalize="mean"),
    model=ModelConfig(name="nin", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        schedule="step",
        drop_epochs=(10, 20),
        drop_factor=0.1,
    ),
    train=TrainConfig(epochs=23, log_every=100),
)

variants = {"smoke": smoke(96)}
