"""Nets with weights that can be read, and runs that were never trained."""

import jax
import numpy as np
import pytest

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig
from cnnjax.core.rundir import RunDir
from cnnjax.core.statistics import Statistics
from cnnjax.data import Dataset
from cnnjax.models.inside import open_up
from cnnjax.runs.run import Run
from cnnjax.training.inference import build_inference

PLANTED = "plain:conv2 >> relu >> gap"
SQUARE = (slice(5, 11), slice(12, 18))


def make_run(name, input_size, *, classes=("no", "yes"), augment=None, variables=None, folder="nowhere", **data):
    """A run with random weights whose images are read as `data` says."""
    channels = input_size[2]
    rule = {"resize": "none", "size": None} | data
    size = rule["size"] or input_size[:2]
    config = Experiment(
        data=DataConfig(source="converted", batch_size=4, channels=channels, **rule),
        augment=augment
        or AugmentConfig(crop="center", normalize="fixed", mean=(0.0,) * channels, std=(255.0,) * channels),
        model=ModelConfig(name=name, num_classes=len(classes), input_size=input_size),
        optimizer=OptimizerConfig(lr=0.0),
        train=TrainConfig(steps=1),
    )
    variance = tuple(map(tuple, np.eye(channels).tolist()))
    statistics = Statistics((127.5,) * channels, (60.0,) * channels, variance, (1.0,) * channels, variance)
    reading = {"resize": rule["resize"], "size": size}
    dataset = Dataset(
        RunDir(folder).root, classes, False, {}, (*size, channels), "pixels", reading, statistics, "", (), {}
    )
    inference = build_inference(config, dataset)
    variables = inference.model.init(jax.random.key(0)) if variables is None else variables
    return Run(config, dataset, inference, variables, 0, "last", RunDir(folder))


@pytest.fixture(scope="session")
def planted():
    """(model, variables, image): channel 0 marks the square of a 24 x 24 image, and class 1 likes it."""
    image = np.zeros((1, 24, 24, 1), np.float32)
    image[(0, *SQUARE)] = 1
    model = open_up(make_run(PLANTED, (24, 24, 1)).model)
    kernel = np.zeros((3, 3, 1, 2), np.float32)
    kernel[..., 0] = 1 / 9
    variables = {
        "params": {
            "conv1": {"kernel": kernel, "bias": np.array([-0.5, 0.0], np.float32)},
            "fc1": {"kernel": np.array([[-1, 2], [0, 0]], np.float32), "bias": np.zeros(2, np.float32)},
        },
        "batch_stats": {},
    }
    assert jax.tree.map(np.shape, variables) == jax.tree.map(np.shape, model.shapes())
    return model, variables, image
