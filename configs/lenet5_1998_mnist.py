"""LeNet-5 in the form of 1998 on MNIST: trainable sub-sampling, partial connections, outputs that are distances.

    python -m cnnjax.main --config configs/lenet5_1998_mnist.py
    python -m cnnjax.main --config configs/lenet5_1998_mnist.py:smoke          three steps, anywhere

The paper makes 20 passes, one image a step, by a stochastic Levenberg-Marquardt method whose rates come from second
derivatives; here Adam takes their place. Images have mean 0 and variance 1, as in the paper.

Hardware: two CPU cores, 70 s. Measured: 98.90 % test accuracy; published: 99.05 %, without distortions.
"""

from cnnjax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig

config = Experiment(
    data=DataConfig(source="mnist", batch_size=128, val_fraction=0.05),
    model=ModelConfig(name="lenet5_1998", num_classes=10, input_size=(28, 28, 1)),
    optimizer=OptimizerConfig(name="adam", lr=0.002, schedule="cosine"),
    train=TrainConfig(epochs=20, log_every=100),
)

variants = {
    "smoke": {
        "data.source": "digits",
        "data.resize": "squash",
        "data.size": (28, 28),
        "data.batch_size": 8,
        "train.steps": 3,
        "train.log_every": 1,
        "evaluate.batch_size": 64,
    }
}
