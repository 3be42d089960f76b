"""Sums, means and broadcasts over positions: values and gradients, differentiated twice, exported, and of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnnjax.models.algorithms import plain
from cnnjax.models.blocks import Conv, SqueezeExcite
from cnnjax.models.norm import BatchNorm, GroupNorm, LayerNorm
from cnnjax.models.pooling import GlobalAvgPool
from cnnjax.models.sums import broadcast_channels, channel_sums, image_means, image_sums

KEY = jax.random.key(0)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 3), (2, 1, 1, 3), (2, 2, 3, 4), (3, 17, 17, 5), (2, 113, 127, 2), (1, 4099, 3)])
def test_channel_sums(shape):
    values = 100 + draw(*shape)
    wanted = values.astype(np.float64).reshape(-1, shape[-1]).sum(0)
    np.testing.assert_allclose(jax.jit(channel_sums)(values), wanted, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 1, 1, 32), (2, 17, 17, 33), (2, 80, 70, 32), (2, 5, 7, 3)])
def test_means_and_gates_of_each_image_and_their_gradients(shape):
    values, upstream = 3 + draw(*shape), draw(*shape, seed=1)
    gates, to_means = draw(shape[0], shape[-1], seed=2), draw(shape[0], shape[-1], seed=3)

    def both(values, gates):
        means = image_means(values)
        return (means * to_means).sum() + (values * broadcast_channels(gates, shape) * upstream).sum(), means

    (to_values, to_gates), means = jax.jit(jax.grad(both, (0, 1), has_aux=True))(values, gates)
    wide, up = values.astype(np.float64), upstream.astype(np.float64)
    np.testing.assert_allclose(means, wide.mean((1, 2)), rtol=1e-6)
    mean_part = to_means[:, None, None] / (shape[1] * shape[2])
    np.testing.assert_allclose(to_values, up * gates[:, None, None] + mean_part, atol=1e-6)
    np.testing.assert_allclose(to_gates, (wide * up).sum((1, 2)), rtol=1e-5, atol=1e-5 * np.sqrt(shape[1] * shape[2]))
    assert image_means(jnp.full(shape, 300, jnp.bfloat16)).dtype == jnp.bfloat16
    np.testing.assert_array_equal(image_means(jnp.full(shape, 300, jnp.bfloat16)), jnp.bfloat16(300))


@pytest.mark.parametrize("shape", [(0, 4, 4, 32), (2, 0, 4, 32), (2, 4, 0, 3)])
def test_sums_of_nothing_are_zero(shape):
    np.testing.assert_array_equal(image_sums(jnp.ones(shape)), np.zeros((shape[0], shape[-1])))
    np.testing.assert_array_equal(channel_sums(jnp.ones(shape)), np.zeros(shape[-1]))
    assert image_means(jnp.ones(shape)).shape == (shape[0], shape[-1])


LAYERS = {
    "Conv": Conv(64, 3),
    "BatchNorm": BatchNorm(),
    "GroupNorm": GroupNorm(8),
    "LayerNorm": LayerNorm(),
    "SqueezeExcite": SqueezeExcite(4),
    "GlobalAvgPool": GlobalAvgPool(),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_curvature_by_forward_over_reverse_mode(layer):
    """A product of the Hessian with a vector, in the inputs and in the parameters."""
    inputs = draw(2, 5, 6, 32)
    variables = layer.init(KEY, inputs)
    params = jax.tree.map(lambda array: array + 0.1 * draw(*array.shape, seed=1), variables.get("params", {}))
    rest = {name: value for name, value in variables.items() if name != "params"}

    def loss(inputs, params):
        outputs, _ = layer.apply({"params": params, **rest}, inputs, True, mutable=list(rest))
        return jnp.sin(outputs).sum()

    tangents = draw(*inputs.shape, seed=2), jax.tree.map(lambda array: draw(*array.shape, seed=3), params)

    def product(inputs, params):
        return jax.jvp(jax.grad(loss, (0, 1)), (inputs, params), tangents)

    found = jax.jit(product)(inputs, params)
    with plain():
        wanted = jax.jit(lambda *values: product(*values))(inputs, params)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, atol=3e-5 * np.abs(other).max()), found, wanted
    )


def test_export_with_a_free_batch_size():
    model, inputs = nn.Sequential(list(LAYERS.values())), draw(3, 9, 10, 32)
    variables = model.init(KEY, inputs)
    free = jax.ShapeDtypeStruct(jax.export.symbolic_shape("n, 9, 10, 32"), jnp.float32)
    exported = jax.export.export(jax.jit(lambda images: model.apply(variables, images)))(free)
    for images in (inputs, inputs[:1]):
        np.testing.assert_allclose(exported.call(images), model.apply(variables, images), atol=1e-5)
