"""ShuffleNet v2 (1x) on ImageNet, after Ma et al. 2018 (1807.11164, section 5) and ShuffleNet's settings.

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/shufflenet_v2_x1_0_imagenet.py
    python -m cnnjax.main --config configs/shufflenet_v2_x1_0_imagenet.py:smoke           three steps anywhere

1,024 images, 300,000 steps, rate 0.5 falling to zero in a straight line, weight decay 4e-5, label smoothing 0.1.

Hardware: not measured here yet. Published: 69.4 % top-1 (one crop of 224); torchvision's weights 69.36 / 88.32 %.
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
    model=ModelConfig(name="shufflenet_v2_x1_0", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.5,
        momentum=0.9,
        weight_decay=4e-5,
        decay_on="weights",
        schedule="linear",
    ),
    train=TrainConfig(epochs=240, label_smoothing=0.1, log_every=50),
)

variants = {"smoke": smoke(64)}
