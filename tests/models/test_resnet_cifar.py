"""The shortcut of the CIFAR ResNets against NumPy."""

import jax
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.models.resnet import RESNET, Row
from cnnjax.models.resnet_cifar import PaddedBlock


@pytest.mark.parametrize("side", [8, 9])
def test_new_channels_are_zero_and_every_second_pixel_is_left_out(side):
    block = PaddedBlock(Row((1, 1, 1), RESNET, bottleneck=False), width=32, stride=2)
    images = np.random.default_rng(0).standard_normal((2, side, side, 16), np.float32)
    variables = block.init(jax.random.key(0), images)
    assert set(variables["params"]) == {"conv1", "bn1", "conv2", "bn2"}

    silent = trees.unflatten(
        {path: leaf * ("bn2" not in path) for path, leaf in trees.flatten(variables["params"]).items()}
    )
    outputs = block.apply({**variables, "params": silent}, images)
    expected = np.zeros((2, (side + 1) // 2, (side + 1) // 2, 32), np.float32)
    for row in range(0, side, 2):
        for column in range(0, side, 2):
            expected[:, row // 2, column // 2, :16] = np.maximum(images[:, row, column], 0)
    np.testing.assert_array_equal(outputs, expected)
