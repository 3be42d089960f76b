"""All-CNN-C on CIFAR-10, after Springenberg et al. 2014 (1412.6806, section 3).

    python -m cnnjax.main --config configs/all_cnn_cifar10.py

350 epochs, momentum 0.9, weight decay 0.001, rate 0.05 and a tenth after 200, 250 and 300. The paper's whitening is
not part of this recipe.

Hardware: a GPU; not measured here yet. Published: 92.75 % test with shifts and mirror.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=128, val_fraction=0.1),
    augment=AugmentConfig(pad=4, flip=True),
    model=ModelConfig(name="all_cnn", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="sgd",
        lr=0.05,
        momentum=0.9,
        weight_decay=0.001,
        schedule="step",
        drop_epochs=(200, 250, 300),
    ),
    train=TrainConfig(epochs=350),
)
