"""Wide ResNet-50-2 on ImageNet, after Zagoruyko and Komodakis 2016 (1605.07146, section 3.5).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/wide_resnet50_2_imagenet.py
    python -m cnnjax.main --config configs/wide_resnet50_2_imagenet.py:smoke           three steps anywhere

ResNet's own settings: 256 images, rate 0.1 and a tenth after 30 and 60 epochs.

Hardware: not measured here yet. Published: 78.1 % top-1, 93.97 % top-5 (one crop); torchvision's weights (V1) 78.47 /
94.09 %.
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
    model=ModelConfig(name="wide_resnet50_2", num_classes=1000, input_size=(224, 224, 3)),
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
