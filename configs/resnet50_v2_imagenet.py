"""ResNet-50 with pre-activation on ImageNet, after He et al. 2016 (1603.05027, section 5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/resnet50_v2_imagenet.py
    python -m cnnjax.main --config configs/resnet50_v2_imagenet.py:smoke           three steps anywhere

Rate 0.1 for 256 images from the first step, a tenth after 30 and 60 epochs, crops of random area and aspect. The
paper trains 101 to 200 layers; 50 are Keras' and TF-Slim's.

Hardware: not measured here yet. Published: Keras' weights 75.96 / 93.03 % at 299.
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
    model=ModelConfig(name="resnet50_v2", num_classes=1000, input_size=(224, 224, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        drop_epochs=(30, 60),
    ),
    train=TrainConfig(epochs=90, log_every=100),
)

variants = {"smoke": smoke(64)}
