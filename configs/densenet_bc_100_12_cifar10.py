"""DenseNet-BC (100 layers, growth 12) on CIFAR-10, after Huang et al. 2016 (1608.06993, section 4.2).

    python -m cnnjax.main --config configs/densenet_bc_100_12_cifar10.py

64 images, 300 epochs, rate 0.1, a tenth after a half and three quarters, Nesterov momentum 0.9, weight decay 1e-4.

Hardware: a GPU; not measured here yet. Published: 95.49 % test.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=64, val_fraction=0.1),
    augment=AugmentConfig(pad=4, flip=True),
    model=ModelConfig(name="densenet_bc_100_12_cifar", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="step",
        drop_epochs=(150, 225),
    ),
    train=TrainConfig(epochs=300),
)
