"""Receptive fields: published ones, by the recursion of a row of layers, and measured by gradient."""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.explain.cams import as_map
from cnnjax.explain.receptive import receptive_fields, table
from cnnjax.models import create_model
from cnnjax.models.inside import layers, look_inside, open_up


def fields_of(name, **options):
    model = open_up(create_model(name, **options))
    return model, receptive_fields(model)


def measured_field(model, layer):
    """Returns the pixels by which the middle unit of a layer has a gradient, in any of some random images.

    The weights are positive and keep the mean, so that no ReLU is off and nothing cancels; levels are small enough for
    activations that saturate. Only a max-pool hides pixels, other ones in each image, whose few bright pixels win
    at the edge too, where a padding has darkened the means.
    """
    shape = layers(model)[layer]
    rng = np.random.default_rng(0)
    flat = {path: _passing(rng, path, leaf.shape) for path, leaf in trees.flatten(model.shapes()).items()}
    variables = {"params": {}, "batch_stats": {}} | trees.unflatten(flat)
    images = jnp.asarray(1e-3 * rng.lognormal(sigma=2.0, size=(16, *model.input_size)), jnp.float32)
    weights = jnp.asarray(rng.uniform(0.5, 1.5, shape[-1]), jnp.float32)

    @jax.jit
    def gradient(variables, images):
        def middle(images):
            values = look_inside(model, variables, images, [layer])[1][layer]
            if values.ndim > 2:
                values = as_map(values)
                values = values[:, values.shape[1] // 2, values.shape[2] // 2]
            return (values * weights).sum()

        return jax.grad(middle)(images)

    hit = np.asarray((gradient(variables, images) != 0).any((0, 3)))
    rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _passing(rng, path, shape):
    """Weights that let everything through: kernels that average, unit scales, no bias."""
    if path.endswith("/kernel"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32) / np.float32(max(prod(shape[:-1]), 1))
    return np.full(shape, 0.0 if path.endswith(("bias", "mean")) else 1.0, np.float32)


# Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks", table 1
PUBLISHED = {"alexnet": 195, "vgg16": 212, "mobilenet_v1": 315}
DEEP = {"inception_v3": 1311, "inception_v4": 2071, "inception_resnet_v2": 3039}


@pytest.mark.parametrize(
    ("name", "side"), [*PUBLISHED.items(), *(pytest.param(*row, marks=pytest.mark.slow) for row in DEEP.items())]
)
def test_published_fields(name, side):
    _, fields = fields_of(name)
    assert fields["features"].size == (side, side)
    assert fields["features"].stride == (32, 32)


def test_a_row_of_layers_by_the_recursion():
    _, fields = fields_of("plain:conv4k5s2 >> pool >> conv4 >> relu >> avgpool3s2 >> conv4v", input_size=(64, 48, 1))
    size, jump = 1, 1
    for name, side, stride in (
        ("conv1", 5, 2),
        ("pool1", 2, 2),
        ("conv2", 3, 1),
        ("relu1", 1, 1),
        ("avgpool1", 3, 2),
        ("conv3", 3, 1),
    ):
        size, jump = size + (side - 1) * jump, jump * stride
        assert fields[name].size == (size, size), name
        assert fields[name].stride == (jump, jump)
    assert fields["fc1"].box() == (0, 0, 64, 48)
    assert table(fields).splitlines()[2].split() == [
        *("conv1", "32", "x", "24", "5", "x", "5", "2", "x", "2", "rows", "30-34,", "columns", "22-26")
    ]


@pytest.mark.parametrize(
    ("name", "size", "layers"),
    [
        ("plain:conv4k5s2 >> pool >> conv4 >> relu >> avgpool3s2 >> conv4v", (40, 33, 2), ("pool1", "conv3")),
        ("lenet5_1998", None, ("frame", "s4")),
        ("resnet20_cifar", (64, 64, 3), ("layer2_0.conv2",)),
    ],
)
def test_measured_by_gradient_they_agree(name, size, layers):
    model, fields = fields_of(name, input_size=size)
    for layer in layers:
        assert measured_field(model, layer) == fields[layer].box(), layer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet1_1", ("features_3", "features_8")),
        ("densenet121", ("denseblock1", "transition1")),
        ("shufflenet_v2_x0_5", ("stage2_3",)),
        ("googlenet", ("inception4a",)),
        ("mobilenet_v2", ("features",)),
    ],
)
def test_measured_in_branched_nets(name, layers):
    model, fields = fields_of(name, input_size=(224, 224, 3))
    for layer in layers:
        layer = layer if layer in fields else next(found for found in fields if found.startswith(layer))
        assert measured_field(model, layer) == fields[layer].box(), layer


def test_a_gate_sees_everything():
    _, fields = fields_of("mobilenet_v3_small", input_size=(64, 64, 3))
    assert fields["features"].box() == (0, 0, 64, 64)
