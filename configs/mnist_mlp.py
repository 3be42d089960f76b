"""The Keras example's two hidden layers of 512 with dropout on MNIST.

    python -m cnnjax.main --config configs/mnist_mlp.py

Hardware: two CPU cores, 35 s. Published: 98.4 % in 20 epochs. Measured: 98.35 %,
log loss 0.11.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="mnist", batch_size=128, val_fraction=0.05),
    augment=AugmentConfig(normalize="unit"),
    model=ModelConfig(name="mnist_mlp", num_classes=10, input_size=(28, 28, 1)),
    optimizer=OptimizerConfig(name="rmsprop", lr=0.001, momentum=0.0, b2=0.9, eps=1e-7),
    train=TrainConfig(epochs=20, log_every=100),
)
