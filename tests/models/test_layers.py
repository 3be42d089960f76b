"""Layers against the worked figures of the decks and against NumPy and SciPy by hand."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy import signal

from cnnjax.models import airbench, blocks, capsnet, convnext, lenet, pooling, vit
from cnnjax.models.calls import equations
from cnnjax.models.initializers import GLOROT, HE, TORCH, gaussian
from cnnjax.models.norm import LRN, BatchNorm, GroupNorm, LayerNorm
from cnnjax.models.padding import tensorflow_same

KEY = jax.random.key(0)


def call(layer, inputs, train=False, **options):
    return layer.apply({}, jnp.asarray(inputs, jnp.float32), train, **options)


def gray(rows):
    return np.asarray(rows, np.float32)[None, :, :, None]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


# ---------------------------------------------------------------- worked figures


def test_corner_of_the_three_channel_convolution():
    image = np.zeros((1, 2, 2, 3), np.float32)
    for channel, rows in enumerate([[[156, 155], [153, 154]], [[167, 166], [164, 165]], [[163, 162], [160, 161]]]):
        image[0, :, :, channel] = rows
    kernels = [[[-1, -1, 1], [0, 1, -1], [0, 1, 1]], [[1, 0, 0], [1, -1, -1], [1, 0, -1]]]
    kernels.append([[0, 1, 1], [0, 1, 0], [1, -1, 1]])
    kernel = np.moveaxis(np.asarray(kernels, np.float32), 0, 2)[..., None]
    variables = {"params": {"kernel": kernel, "bias": np.ones(1, np.float32)}}
    outputs = blocks.Conv(1, 3, padding=1).apply(variables, image)
    assert outputs[0, 0, 0, 0] == -25
    alone = [blocks.convolve(image[..., i : i + 1], kernel[:, :, i : i + 1], padding=1)[0, 0, 0, 0] for i in range(3)]
    assert alone == [308, -498, 164]


def test_mean_and_max_pooling_of_the_deck():
    rows = [[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]]
    means = call(pooling.AvgPool(3, stride=1), gray(rows))[0, :, :, 0]
    np.testing.assert_allclose(means, [[1.7, 1.7, 1.7], [1.0, 1.2, 1.8], [1.1, 0.8, 1.3]], atol=0.05)
    rows = [[7, 2, 5, 2], [4, 5, 4, 7], [3, 3, 4, 2], [6, 4, 8, 6]]
    assert call(pooling.MaxPool(2), gray(rows))[0, :, :, 0].tolist() == [[7, 7], [6, 8]]
    assert call(pooling.MinPool(2), gray(rows))[0, :, :, 0].tolist() == [[2, 2], [3, 2]]


def test_curve_detector():
    kernel = np.zeros((7, 7), np.float32)
    kernel[[0, 1, 2, 3, 4, 5], [5, 4, 3, 3, 3, 3]] = 30
    curve = np.zeros((7, 7), np.float32)
    curve[0, 6], curve[1, 4:], curve[2, 3:5], curve[3:, 3:5] = 30, 50, [20, 50], 50
    score = blocks.convolve(gray(curve), kernel[:, :, None, None])
    chex.assert_shape(score, (1, 1, 1, 1))
    assert score[0, 0, 0, 0] == 6600
    elsewhere = np.zeros((7, 7), np.float32)
    elsewhere[:, :2] = 50
    assert blocks.convolve(gray(elsewhere), kernel[:, :, None, None])[0, 0, 0, 0] == 0


def test_gradients_of_a_convolution_are_convolutions():
    image, kernel, upstream = draw(6, 7), draw(3, 3, seed=1), draw(4, 5, seed=2)
    outputs, pull = jax.vjp(lambda x, f: blocks.convolve(x, f), gray(image), kernel[:, :, None, None])
    np.testing.assert_allclose(outputs[0, :, :, 0], signal.correlate2d(image, kernel, "valid"), atol=1e-5)
    to_image, to_kernel = pull(jnp.asarray(gray(upstream)))
    np.testing.assert_allclose(to_kernel[:, :, 0, 0], signal.correlate2d(image, upstream, "valid"), atol=1e-5)
    turned = kernel[::-1, ::-1]
    np.testing.assert_allclose(to_image[0, :, :, 0], signal.correlate2d(upstream, turned, "full"), atol=1e-5)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [(28, 3, 1, 1), (224, 11, 4, 2), (7, 2, 3, 0)])
def test_output_sizes(size, kernel, stride, padding):
    image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    conv = blocks.Conv(8, kernel, stride=stride, padding=padding)
    outputs = jax.eval_shape(lambda x: conv.init_with_output(KEY, x)[0], image)
    side = math.floor((size + 2 * padding - kernel) / stride) + 1
    chex.assert_shape(outputs, (2, side, side, 8))


def test_padding_by_side():
    kernel = draw(1, 7, 2, 3)
    image = draw(1, 5, 9, 2, seed=1)
    padded = np.pad(image, ((0, 0), (0, 1), (3, 2), (0, 0)))
    expected = blocks.convolve(padded, kernel)
    np.testing.assert_array_equal(blocks.convolve(image, kernel, padding=((0, 1), (3, 2))), expected)
    flat = blocks.convolve(image, kernel, padding=(0, 3))
    chex.assert_shape(flat, (1, 5, 9, 3))


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize("groups", [2, 4, 8])
def test_groups_equal_xlas_own(groups):
    image, kernel = draw(2, 9, 9, 8), draw(3, 3, 8 // groups, 16, seed=1)

    def ours(x, f):
        return blocks.convolve(x, f, stride=2, padding=1, groups=groups)

    def theirs(x, f):
        sides = ((1, 1), (1, 1))
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, f, (2, 2), sides, dimension_numbers=numbers, feature_group_count=groups)

    outputs, pull = jax.vjp(ours, image, kernel)
    expected, expected_pull = jax.vjp(theirs, image, kernel)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    upstream = jnp.asarray(draw(*expected.shape, seed=2))
    for gradient, wanted in zip(pull(upstream), expected_pull(upstream), strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-4)


# ---------------------------------------------------------------- pooling


NONE = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("height", "width", "window", "stride", "around"),
    [
        (8, 8, (2, 2), (2, 2), NONE),
        (7, 9, (2, 2), (2, 2), NONE),
        (8, 10, (2, 3), (2, 3), NONE),
        (9, 8, (3, 3), (2, 2), ((1, 1), (1, 1))),
        (7, 6, (3, 2), (1, 3), ((0, 1), (1, 2))),
        (17, 16, (12, 11), (2, 3), ((1, 2), (2, 0))),
        (40, 3, (33, 1), (1, 1), NONE),
    ],
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_pooling_by_place_equals_reduce_window_to_the_bit(height, width, window, stride, around, dtype):
    """Whole numbers, so that there are ties for the maximum in most windows and sums are exact."""
    random = np.random.default_rng(0)
    inputs = jnp.asarray(random.integers(-2, 3, (3, height, width, 5)), dtype)

    def both(pool):
        outputs, pull = jax.vjp(pool, inputs)
        return outputs, pull(jnp.asarray(np.random.default_rng(1).integers(1, 9, outputs.shape), dtype))[0]

    def plain(values):
        return nn.max_pool(values, window_shape=window, strides=stride, padding=around)

    ours, theirs = both(lambda values: pooling.max_pool(values, window, stride, around)), both(plain)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_array_equal(np.asarray(mine, np.float32), np.asarray(other, np.float32))
    np.testing.assert_array_equal(pooling.MaxPool(window, stride, around).apply({}, inputs), ours[0])


@pytest.mark.parametrize(("shape", "window", "stride"), [((16, 28, 28, 16), 2, 2), ((8, 35, 35, 192), 3, 2)])
def test_pool_behind_batch_norm_has_the_right_gradient(shape, window, stride):
    """XLA computes the norm twice here, once for the outputs and once, rounded otherwise, for the gradient."""
    random, channels = np.random.default_rng(0), shape[-1]
    images = random.normal(3, 2, shape).astype(np.float32)
    scale, bias = random.uniform(0.7, 1.3, channels), random.normal(0, 0.1, channels)
    params = {"scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}
    norm, window, stride = BatchNorm(), (window, window), (stride, stride)

    def gradients(pool):
        upstream = jnp.asarray(np.random.default_rng(1).normal(size=jax.eval_shape(pool, images).shape), jnp.float32)

        def loss(params, images):
            variables = {"params": params, "batch_stats": {"mean": jnp.zeros(channels), "var": jnp.ones(channels)}}
            values, _ = norm.apply(variables, images, train=True, mutable=["batch_stats"])
            return (upstream * pool(nn.relu(values))).sum()

        return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, images)[1]

    ours = gradients(lambda values: pooling.max_pool(values, window, stride, NONE))
    theirs = gradients(lambda values: nn.max_pool(values, window, stride))
    for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-5 * np.abs(other).max())


def test_gradient_of_a_pool_scatters_nothing():
    """XLA's deterministic mode has no scatter for a GPU, and on a CPU it is slow."""
    pool = pooling.MaxPool(3, stride=2, padding=1)
    gradient = jax.grad(lambda values: pool.apply({}, values).sum())
    assert "scatter" not in str(jax.make_jaxpr(gradient)(jnp.zeros((1, 8, 8, 1))))


def test_overlapping_pool_pads_with_nothing():
    image = -1 - np.abs(draw(1, 5, 5, 2))
    outputs = call(pooling.MaxPool(3, stride=2, padding=1), image)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, ::2, ::2]
    np.testing.assert_array_equal(outputs, windows.max((-1, -2)))


@pytest.mark.parametrize(
    ("height", "width", "output"), [(13, 7, (6, 6)), (6, 6, (6, 6)), (1, 2, (3, 4)), (9, 9, (3, 1))]
)
def test_adaptive_pool_by_pytorchs_rule(height, width, output):
    image = draw(2, height, width, 3)
    expected = np.empty((2, *output, 3), np.float32)
    for i in range(output[0]):
        for j in range(output[1]):
            rows = slice(math.floor(i * height / output[0]), math.ceil((i + 1) * height / output[0]))
            columns = slice(math.floor(j * width / output[1]), math.ceil((j + 1) * width / output[1]))
            expected[:, i, j] = image[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(call(pooling.AdaptiveAvgPool(output), image), expected, atol=1e-6)


def test_global_pool_and_flatten_keep_channels_fastest():
    image = draw(2, 3, 4, 5)
    np.testing.assert_allclose(call(pooling.GlobalAvgPool(), image), image.mean((1, 2)), atol=1e-6)
    np.testing.assert_array_equal(call(blocks.Flatten(), image), image.reshape(2, 60))


# ---------------------------------------------------------------- activations and dropout


def test_activations_by_their_formulas():
    values = np.linspace(-8, 8, 33, dtype=np.float32)
    hard = np.clip(values + 3, 0, 6) / 6
    sigmoid = 1 / (1 + np.exp(-values))
    expected = {
        "leaky": np.where(values > 0, values, values / 10),
        "tanh": np.tanh(values),
        "sigmoid": sigmoid,
        "elu": np.where(values > 0, values, np.exp(values) - 1),
        "swish": values * sigmoid,
        "gelu": values * scipy.stats.norm.cdf(values),
        "relu6": np.clip(values, 0, 6),
        "hard_sigmoid": hard,
        "hard_swish": values * hard,
        "identity": values,
    }
    assert set(expected) == set(blocks.ACTIVATIONS)
    for name, wanted in expected.items():
        np.testing.assert_allclose(call(blocks.Activation(name), values), wanted, atol=1e-6)
    np.testing.assert_array_equal(call(blocks.ReLU(), values), np.maximum(values, 0))


def test_leaky_relu_leaks_at_zero():
    """As PyTorch has it; a gradient by equality of operand and result is shared there, or lost to rounding."""
    slope = jax.grad(lambda values: blocks.ACTIVATIONS["leaky"](values).sum())(jnp.array([-1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(slope, np.float32([0.1, 0.1, 1]))


def test_drop_path_drops_images_whole():
    ones = np.ones((2000, 2, 3, 4), np.float32)
    layer = blocks.DropPath(0.25)
    np.testing.assert_array_equal(call(layer, ones), ones)
    dropped = np.asarray(call(layer, ones, True, rngs={"dropout": KEY})).reshape(2000, -1)
    np.testing.assert_array_equal(dropped, dropped[:, :1].repeat(24, 1))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(4 / 3)}
    assert dropped[:, 0].mean() == pytest.approx(1, abs=4 * 0.0129)  # the standard error of the mean


def windows(side, window, stride, padding, ceil):
    """The places [start, end) of PyTorch's pooling windows, by its definition."""
    count = (side + 2 * padding - window + (stride - 1 if ceil else 0)) // stride + 1
    starts = [i * stride - padding for i in range(count) if not (ceil and i * stride - padding >= side)]
    return [(max(start, 0), min(start + window, side)) for start in starts]


@pytest.mark.parametrize("side", [7, 8, 9, 10, 11])
@pytest.mark.parametrize(("window", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 0)])
@pytest.mark.parametrize("ceil", [False, True])
def test_windows_that_hang_over_the_edge(side, window, stride, padding, ceil):
    image = np.random.default_rng(0).standard_normal((1, side, side, 2)).astype(np.float32)
    places = windows(side, window, stride, padding, ceil)

    def pooled(reduce):
        return np.stack([[reduce(image[0, a:b, c:d], (0, 1)) for c, d in places] for a, b in places])

    ours = call(pooling.MaxPool(window, stride=stride, padding=padding, ceil=ceil), image)[0]
    np.testing.assert_array_equal(ours, pooled(np.max))
    means = pooling.AvgPool(window, stride=stride, padding=padding, ceil=ceil, count_padding=False)
    np.testing.assert_allclose(call(means, image)[0], pooled(np.mean), atol=1e-6)


def test_layer_and_group_norm():
    maps = np.random.default_rng(0).standard_normal((2, 3, 5, 8)).astype(np.float32) * 3 + 1
    for layer, groups in ((LayerNorm(eps=1e-3), None), (GroupNorm(4, eps=1e-3), 4)):
        variables = layer.init(KEY, maps)
        scale, bias = (np.random.default_rng(1).standard_normal((2, 8))).astype(np.float32)
        variables = (
            {"params": {"scale": scale, "bias": bias}} if variables["params"].keys() == {"scale", "bias"} else {}
        )
        parts = maps[..., None] if groups is None else maps.reshape(2, 3, 5, groups, -1)
        axes = (3, 4) if groups is None else (1, 2, 4)
        normal = (parts - parts.mean(axes, keepdims=True)) / np.sqrt(parts.var(axes, keepdims=True) + 1e-3)
        expected = normal.reshape(maps.shape) * scale + bias
        np.testing.assert_allclose(layer.apply(variables, maps), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "window", "stride"), [(8, 3, 2), (7, 3, 2), (8, 2, 2), (9, 5, 3), (5, 1, 2), (6, 3, 1)]
)
def test_tensorflow_padding(side, window, stride):
    before, behind = tensorflow_same(side, window, stride)
    outputs = (side + before + behind - window) // stride + 1
    assert outputs == -(-side // stride)
    assert behind - before in (0, 1)
    assert before + behind == 0 or side + before + behind == (outputs - 1) * stride + window  # not a pixel too many


def test_dropout_keeps_the_mean_and_rests_in_evaluation():
    ones = np.ones((200, 500), np.float32)
    layer = blocks.Dropout(0.2)
    np.testing.assert_array_equal(call(layer, ones), ones)
    dropped = np.asarray(call(layer, ones, True, rngs={"dropout": KEY}))
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(1.25)}
    # 100,000 draws: the standard error of the share is 0.0013.
    assert abs((dropped == 0).mean() - 0.2) < 0.006


# ---------------------------------------------------------------- bfloat16


def test_the_gradient_of_a_bias_counts_every_position():
    layer, images = blocks.Conv(4, 1), jnp.ones((50, 31, 31, 2), jnp.bfloat16)
    gradient = jax.grad(lambda params: layer.apply(params, images).sum(dtype=jnp.float32))(layer.init(KEY, images))
    np.testing.assert_array_equal(gradient["params"]["bias"], 50 * 31 * 31)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (blocks.Conv(4), (2, 5, 5, 3)),
        (blocks.Dense(4), (2, 3)),
        (blocks.SqueezeExcite(2), (2, 5, 5, 4)),
        (airbench.Whitening(), (2, 5, 5, 3)),
        (capsnet.PrimaryCapsules(), (2, 9, 9, 4)),
        (convnext.ConvNeXtBlock(0.0), (2, 7, 7, 4)),
        (lenet.SubSampling(), (2, 4, 4, 3)),
        (lenet.PartialConv(5), (2, 5, 5, 6)),
        (vit.Tokens(), (2, 3, 3, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_are_summed_in_float32(layer, shape):
    images = jnp.ones(shape, jnp.bfloat16)
    variables = layer.init(KEY, images)

    def loss(params, images):
        outputs = layer.apply({**variables, "params": params}, images)
        assert outputs.dtype == jnp.bfloat16
        return outputs.sum(dtype=jnp.float32)

    traced = jax.make_jaxpr(jax.grad(loss, (0, 1)))(variables["params"], images)
    sums = [one for one in equations(traced) if one.primitive is lax.reduce_sum_p]
    assert {one.invars[0].aval.dtype for one in sums} == {jnp.dtype("float32")}


@pytest.mark.parametrize("options", [{}, {"count_padding": False}, {"padding": "same"}, {"padding": 0, "ceil": True}])
def test_means_stay_what_the_map_is(options):
    pool = pooling.AvgPool(3, stride=2, **{"padding": 1, **options})
    assert pool.apply({}, jnp.ones((1, 8, 8, 2), jnp.bfloat16)).dtype == jnp.bfloat16


# ---------------------------------------------------------------- normalization


def test_lrn_by_the_papers_formula():
    activity = 20 * draw(2, 3, 3, 7)
    expected = np.empty_like(activity)
    for i in range(7):
        near = activity[..., max(0, i - 2) : min(6, i + 2) + 1]
        expected[..., i] = activity[..., i] / (2 + 1e-4 * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(call(LRN(), activity), expected, rtol=1e-5)
    assert np.abs(expected - activity * 2**-0.75).max() > 1e-2  # the neighbors do count


def test_batch_norm_and_its_running_statistics_over_two_steps():
    layer = BatchNorm()
    variables = layer.init(KEY, jnp.zeros((1, 2, 2, 3)))
    assert jax.tree.map(jnp.shape, variables) == {
        "params": {"scale": (3,), "bias": (3,)},
        "batch_stats": {"mean": (3,), "var": (3,)},
    }
    params = {"scale": draw(3, seed=5), "bias": draw(3, seed=6)}
    stats, mean, var = variables["batch_stats"], np.zeros(3), np.ones(3)
    for step in range(2):
        batch = 3 + 2 * draw(4, 2, 2, 3, seed=step)
        outputs, changed = layer.apply({"params": params, "batch_stats": stats}, batch, True, mutable="batch_stats")
        stats = changed["batch_stats"]
        flat = batch.reshape(-1, 3).astype(np.float64)
        expected = (batch - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5) * params["scale"] + params["bias"]
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        mean = 0.9 * mean + 0.1 * flat.mean(0)
        var = 0.9 * var + 0.1 * flat.var(0, ddof=1)
        np.testing.assert_allclose(stats["mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(stats["var"], var, rtol=1e-5)
    outputs = layer.apply({"params": params, "batch_stats": stats}, batch)
    expected = (batch - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


def test_batch_norm_options_and_precision():
    bare = BatchNorm(use_scale=False, use_bias=False)
    assert "params" not in bare.init(KEY, jnp.zeros((1, 3)))
    batch = (1000 + draw(64, 3)).astype(jnp.bfloat16)
    outputs, changed = bare.apply(bare.init(KEY, batch), batch, True, mutable="batch_stats")
    assert outputs.dtype == jnp.bfloat16
    chex.assert_trees_all_equal_dtypes(changed, jax.tree.map(lambda _: jnp.float32(0), changed))
    np.testing.assert_allclose(changed["batch_stats"]["mean"], 0.1 * np.asarray(batch, np.float64).mean(0), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 4), (3, 1, 1, 4), (3, 5, 7, 4), (2, 66, 64, 3), (1, 40003, 1, 2)])
def test_gradient_of_batch_norm_and_of_its_statistics(shape):
    inputs, scale, bias = 2 + 3 * draw(*shape), draw(shape[-1], seed=1), draw(shape[-1], seed=2)
    weights = draw(*shape, seed=3), draw(shape[-1], seed=4), draw(shape[-1], seed=5)

    def by_layer(inputs, scale, bias):
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": {"mean": 0 * bias, "var": 0 * bias}}
        outputs, changed = BatchNorm(momentum=1.0).apply(variables, inputs, True, mutable="batch_stats")
        return outputs, changed["batch_stats"]["mean"], changed["batch_stats"]["var"]

    def by_definition(inputs, scale, bias):
        flat = inputs.reshape(-1, shape[-1])
        mean = flat.mean(0)
        var = ((flat - mean) ** 2).mean(0)
        unbiased = var * (len(flat) / (len(flat) - 1))
        return (inputs - mean) / jnp.sqrt(var + 1e-5) * scale + bias, mean, unbiased

    def gradient(function):
        def loss(*arguments):
            return sum((weight * value).sum() for weight, value in zip(weights, function(*arguments), strict=True))

        return jax.jit(jax.grad(loss, (0, 1, 2)))(inputs, scale, bias)

    found = gradient(by_layer)
    with jax.enable_x64():
        inputs, scale, bias, weights = jax.tree.map(np.float64, (inputs, scale, bias, weights))
        wanted = gradient(by_definition)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-6 * np.abs(other).max())


def test_batch_norm_sees_the_whole_batch_over_eight_devices():
    assert jax.device_count() == 8
    batch = (
        draw(16, 2, 2, 3) + np.arange(16, dtype=np.float32)[:, None, None, None]
    )  # every device's share has a mean of its own
    layer = BatchNorm()
    variables = layer.init(KEY, batch)
    split = jax.device_put(batch, NamedSharding(Mesh(np.array(jax.devices()), "data"), PartitionSpec("data")))
    outputs, changed = jax.jit(lambda v, x: layer.apply(v, x, True, mutable="batch_stats"))(variables, split)
    np.testing.assert_allclose(changed["batch_stats"]["mean"], 0.1 * batch.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(outputs, (batch - batch.mean((0, 1, 2))) / batch.std((0, 1, 2)), atol=1e-4)


# ---------------------------------------------------------------- initializers


def test_initial_weights_have_the_deviation_that_their_papers_give():
    shape, fan_in, fan_out = (3, 3, 64, 128), 9 * 64, 9 * 128
    expected = {
        "glorot": (GLOROT, math.sqrt(2 / (fan_in + fan_out)), math.sqrt(6 / (fan_in + fan_out))),
        "he": (HE, math.sqrt(2 / fan_in), np.inf),
        "torch": (TORCH, 1 / math.sqrt(3 * fan_in), 1 / math.sqrt(fan_in)),
        "gaussian": (gaussian(0.01), 0.01, np.inf),
    }
    for initial, deviation, bound in expected.values():
        kernel = np.asarray(initial.kernel(KEY, shape, jnp.float32))
        assert abs(kernel.std() / deviation - 1) < 0.01  # 73,728 draws
        assert np.abs(kernel).max() <= bound
    assert TORCH.bias(fan_in)(KEY, (1000,), jnp.float32).std() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=0.05)
    assert (gaussian(0.01, bias=1.0).bias(fan_in)(KEY, (5,), jnp.float32) == 1).all()
