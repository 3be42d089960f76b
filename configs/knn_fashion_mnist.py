"""Nearest neighbors on Fashion-MNIST: how far one gets by comparing pixels, without any learning.

    python -m cnnjax.main --config configs/knn_fashion_mnist.py
    python -m cnnjax.main --config configs/knn_fashion_mnist.py --config.model.metric=l1

Every test image takes the class of the nearest of all 60,000 training images; --config.model.neighbors=5 lets five
vote.

Hardware: two CPU cores; L2 takes seconds, L1 half a minute to a few. Measured: 84.97 % by L2, 85.26 % by L1.
"""

from cnnjax.config import DataConfig, Experiment, ModelConfig

config = Experiment(
    data=DataConfig(source="fashion_mnist", val_fraction=0.0),
    model=ModelConfig(name="knn", neighbors=1, metric="l2"),
)
