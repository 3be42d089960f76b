"""MobileNetV2 on ImageNet, after Sandler et al. 2018 (1801.04381, section 6.1).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/mobilenet_v2_imagenet.py
    python -m cnnjax.main --config configs/mobilenet_v2_imagenet.py:smoke           three steps anywhere

RMSProp with decay and momentum 0.9, 96 images on each of 16 GPUs, rate 0.045 times 0.98 every epoch, weight decay
4e-5, averaged weights for evaluation.

Hardware: not measured here yet. Published: 72.0 % top-1 (one crop of 224); torchvision's weights (V1) 71.88 / 90.29
%.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, smoke

config = Experiment(
    data=DataConfig(
        source="folder:$IMAGENET_DIR",
        batch_size=1536,
        resize="pad",
        size=(512, 512),
        channels=3,
        test_fraction=0.0,
    ),
    augment=AugmentConfig(crop="resized", flip=True, normalize="imagenet"),
    model=ModelConfig(name="mobilenet_v2", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="rmsprop_tf",
        lr=0.045,
        momentum=0.9,
        b2=0.9,
        eps=1.0,
        weight_decay=4e-5,
        decay_on="weights",
        schedule="step",
        drop_epochs=tuple(range(1, 300, 1)),
        drop_factor=0.98,
    ),
    train=TrainConfig(epochs=300, ema=0.9999, log_every=50),
)

variants = {"smoke": smoke(64)}
