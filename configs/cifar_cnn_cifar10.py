"""The classic Keras CNN for CIFAR-10, with its RMSProp and its shifts and mirrors.

    python -m cnnjax.main --config configs/cifar_cnn_cifar10.py

Hardware: two CPU cores, a minute and more an epoch. Published: about 79 % in 50 epochs. Measured
here: 53.2 % test accuracy after three epochs, on a JPEG copy of the set.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=32, val_fraction=0.05),
    augment=AugmentConfig(shift=(0.1, 0.1), flip=True, fill="nearest"),
    model=ModelConfig(name="cifar_cnn", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(name="rmsprop", lr=0.0001, momentum=0.0, b2=0.9, eps=1e-7),
    train=TrainConfig(epochs=50, log_every=200),
)
