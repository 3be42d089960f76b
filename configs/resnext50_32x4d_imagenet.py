"""ResNeXt-50 (32x4d) on ImageNet, after Xie et al. 2016 (1611.05431, section 4).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/resnext50_32x4d_imagenet.py
    python -m cnnjax.main --config configs/resnext50_32x4d_imagenet.py:smoke           three steps anywhere

256 images, momentum 0.9, weight decay 1e-4, rate 0.1 and a tenth after 30, 60 and 90 epochs.

Hardware: not measured here yet. Published: 77.8 % top-1 (one crop of 224); torchvision's weights (V1) 77.62 / 93.70
%.
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
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="resnext50_32x4d", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        drop_epochs=(30, 60, 90),
    ),
    train=TrainConfig(epochs=100, log_every=100),
)

variants = {"smoke": smoke(64)}
