"""The VGG-like model with BatchNorm, before the activation, on bias-free layers.

    python -m cnnjax.main --config configs/vgg_bn_fashion_mnist.py

Hardware: two CPU cores, 18 to 30 minutes; a GPU takes minutes. Measured: 93.5 % test
accuracy and log loss 0.18 after 12 epochs; published: 93-95 %, 0.14-0.18.
"""

from cnnjax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="fashion_mnist", batch_size=128, val_fraction=0.05),
    model=ModelConfig(name="vgg_small_bn", num_classes=10, input_size=(28, 28, 1)),
    optimizer=OptimizerConfig(name="adam", lr=0.001, schedule="step", drop_epochs=(8,)),
    train=TrainConfig(epochs=12, log_every=100),
)
