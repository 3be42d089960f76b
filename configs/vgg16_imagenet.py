"""VGG-16 on ImageNet with scale jitter, after Simonyan and Zisserman 2014 (1409.1556, section 3).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/vgg16_imagenet.py
    python -m cnnjax.main --config configs/vgg16_imagenet.py:smoke           three steps anywhere

The shorter side is drawn from 256 to 512 for every image, then a random 224 x 224 crop, mirror and AlexNet's
color; the rate falls tenfold when the validation error stalls, three times. The paper begins from the trained
11-layer model; here weights begin as He et al. 2015 draw them, for images of unit variance, where the paper subtracts
the mean alone.

Hardware: not measured here yet. Published: 74.4 % top-1, 91.9 % top-5 (table 3: configuration D so trained, at one
test scale, 384, evaluated densely); torchvision's weights 71.59 / 90.38 % at one center crop.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=256,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="scaled", shorter=(256, 512), flip=True, pca=0.1, normalize="imagenet"),
    model=ModelConfig(name="vgg16", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.01,
        momentum=0.9,
        weight_decay=0.0005,
        schedule="plateau",
        drop_factor=0.1,
        plateau_drops=3,
        plateau_patience=5,
    ),
    train=TrainConfig(epochs=74, log_every=100),
)

variants = {"smoke": smoke(64)}
