"""Wide ResNet-28-10 on CIFAR-10, after Zagoruyko and Komodakis 2016 (1605.07146, section 3).

    python -m cnnjax.main --config configs/wrn_28_10_cifar10.py

128 images, 200 epochs, rate 0.1, a fifth after 60, 120 and 160, Nesterov momentum 0.9, weight decay 5e-4, random
crops of images padded by reflection.

Hardware: a GPU; not measured here yet. Published: 96.0 % test.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=128, val_fraction=0.1),
    augment=AugmentConfig(pad=4, pad_fill="reflect", flip=True),
    model=ModelConfig(name="wrn_28_10", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="nesterov",
        lr=0.1,
        momentum=0.9,
        weight_decay=5e-4,
        schedule="step",
        drop_epochs=(60, 120, 160),
        drop_factor=0.2,
    ),
    train=TrainConfig(epochs=200),
)
