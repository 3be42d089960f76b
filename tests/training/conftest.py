"""A recipe that trains in a second: 100 images of three classes that a small model can tell apart."""

import numpy as np
import pytest

from cnnjax.config import DataConfig, EvaluateConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, override

NET = "plain:conv8 >> bn >> relu >> pool >> drop0.2 >> fc16 >> relu"


def images(count, side=12, classes=3, seed=0):
    """Bright squares whose place tells the class, on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 90, (count, side, side, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label + 1 : 3 * label + 4, 2:9] += 120
    return images, labels


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    arrays, labels = images(130)
    path = tmp_path_factory.mktemp("arrays") / "squares.npz"
    np.savez(path, x_train=arrays[:100], y_train=labels[:100], x_test=arrays[100:], y_test=labels[100:])
    return path


@pytest.fixture(scope="session")
def tiny(archive):
    """Returns a function that makes the config, with overrides as keywords: tiny(train__epochs=2)."""
    config = Experiment(
        data=DataConfig(
            source=f"arrays:{archive}", batch_size=16, val_fraction=0.2, class_names=("top", "middle", "bottom")
        ),
        model=ModelConfig(name=NET),
        optimizer=OptimizerConfig(name="sgd", lr=0.05),
        train=TrainConfig(epochs=3, log_every=1, tensorboard=False, steps_per_dispatch=1),
        evaluate=EvaluateConfig(report=False),
    )
    return lambda **changes: override(config, {key.replace("__", "."): value for key, value in changes.items()})
