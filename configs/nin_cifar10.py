"""Network in Network on CIFAR-10, after Lin, Chen and Yan 2013 (1312.4400, section 4.2).

    python -m cnnjax.main --config configs/nin_cifar10.py

128 images, momentum 0.9, weight decay 1e-4, the rate falls tenfold when the validation error stalls, twice. The
paper's global contrast normalization and whitening are not part of this recipe.

Hardware: a GPU; not measured here yet. Published: 91.19 % test with shifts and mirror.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=128, val_fraction=0.1),
    augment=AugmentConfig(pad=4, flip=True),
    model=ModelConfig(name="nin_cifar", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="plateau",
        plateau_drops=2,
        plateau_patience=10,
    ),
    train=TrainConfig(epochs=230),
)
