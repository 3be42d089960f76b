"""ResNet-20 on CIFAR-10, after He et al. 2015 (1512.03385, section 4.2).

    python -m cnnjax.main --config configs/resnet20_cifar10.py

128 images, rate 0.1, a tenth after 32,000 and 48,000 of 64,000 steps; 45,000 images train and 5,000 validate. The
other depths are --config.model.name=resnet56_cifar and so on; 110 layers want a warm-up at 0.01.

Hardware: a GPU; not measured here yet. Published: 91.25 % test.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=128, val_fraction=0.1),
    augment=AugmentConfig(pad=4, flip=True),
    model=ModelConfig(name="resnet20_cifar", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        drop_epochs=(91, 136.5),
    ),
    train=TrainConfig(epochs=182),
)
