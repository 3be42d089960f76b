"""SqueezeNet 1.1 on ImageNet, after the authors' Caffe solver (Iandola et al. 2016, 1602.07360).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/squeezenet1_1_imagenet.py
    python -m cnnjax.main --config configs/squeezenet1_1_imagenet.py:smoke           three steps anywhere

512 images, rate 0.04 falling to zero in a straight line over 170,000 steps, momentum 0.9, weight decay 2e-4.

Hardware: not measured here yet. Published: 57.5 % top-1, 80.3 % top-5 (version 1.0); torchvision's weights 58.18 /
80.62 %.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=512,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="scaled", shorter=(256, 256), flip=True, normalize="imagenet"),
    model=ModelConfig(name="squeezenet1_1", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.04,
        momentum=0.9,
        weight_decay=0.0002,
        schedule="linear",
    ),
    train=TrainConfig(epochs=68, log_every=100),
)

variants = {"smoke": smoke(64)}
