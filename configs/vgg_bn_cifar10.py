"""The VGG-like model with BatchNorm on CIFAR-10: padded crops, mirrors, Nesterov momentum, a warm-up and a cosine.

    python -m cnnjax.main --config configs/vgg_bn_cifar10.py

Hardware: made for a GPU (minutes); two CPU cores take several hours. Not measured here yet.
"""

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="cifar10", batch_size=128, val_fraction=0.05),
    augment=AugmentConfig(pad=4, flip=True),
    model=ModelConfig(name="vgg_small_bn", num_classes=10, input_size=(32, 32, 3)),
    optimizer=OptimizerConfig(
        name="nesterov", lr=0.1, weight_decay=5e-4, decay_on="weights", schedule="cosine", warmup_epochs=1
    ),
    train=TrainConfig(epochs=60, log_every=100),
)
