"""DenseNet-121 on ImageNet, after Huang et al. 2016 (1608.06993, section 4.2).

    IMAGENET_DIR=/data/imagenet python -m cnnjax.main --config configs/densenet121_imagenet.py
    python -m cnnjax.main --config configs/densenet121_imagenet.py:smoke           three steps anywhere

256 images, 90 epochs, rate 0.1 and a tenth after 30 and 60, Nesterov momentum 0.9, weight decay 1e-4.

Hardware: not measured here yet. Published: 74.98 % top-1, 92.29 % top-5 (one crop); torchvision's weights 74.43 /
91.97 %.
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
    model=ModelConfig(name="densenet121", num_classes=1000, input_size=(224, 224, 3)),
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
