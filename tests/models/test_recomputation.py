"""Nothing is right only because XLA computes a value once.

XLA may compute what two operations need once for each, with other roundings (fused MACs in one of them). What
is continuous does not mind; equality with a value that was stored does, and so does a choice that is made twice. The
traced gradients are searched for such operations, and what is left is held against float64, compiled as users do.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.interpreters.partial_eval import dce_jaxpr
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.models import create_model
from cnnjax.models.blocks import ACTIVATIONS
from cnnjax.models.calls import equations
from cnnjax.models.capsnet import lengths, squash
from cnnjax.models.convolution import forms
from cnnjax.models.convolution.forms import Case
from cnnjax.models.norm import LRN, BatchNorm, GroupNorm, LayerNorm
from cnnjax.models.pooling import GlobalAvgPool
from cnnjax.optim import LOSSES

STEPS = {"eq", "ne", "sign", "floor", "ceil", "round", "argmax", "argmin", "sort", "top_k"}
"""Operations that turn a difference in the last bit into one that counts, if they see floats."""


def draw(*shape, mean=0.0, deviation=1.0, seed=0):
    return np.random.default_rng(seed).normal(mean, deviation, shape).astype(np.float32)


def jumps(function, *arguments):
    """The operations of STEPS, and roundings to integers, that a function applies to floats."""
    found, constants = set(), set()
    traced, _ = dce_jaxpr(jax.make_jaxpr(function)(*arguments).jaxpr, True)  # without what nothing depends on
    for one in equations(traced):
        known = [hasattr(atom, "val") or atom in constants for atom in one.invars]
        if all(known):
            constants.update(one.outvars)
        elif one.primitive.name in ("eq", "ne") and (any(known) or one.invars[0] is one.invars[1]):
            continue  # a test for infinity or NaN
        floats = [jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in one.invars]
        whole = not any(jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in one.outvars)
        if any(floats) and (one.primitive.name in STEPS or (one.primitive.name == "convert_element_type" and whole)):
            found.add(one.primitive.name)
    return found


def test_jumps_are_found():
    assert jumps(jax.grad(lambda x: jnp.maximum(x, 0.1 * x).sum()), jnp.ones(3)) == {"eq"}
    assert jumps(lambda x: jnp.floor(x).astype(jnp.int32), jnp.ones(3)) == {"floor", "convert_element_type"}
    assert jumps(lambda x: x[x.argmax()], jnp.ones(3)) == {"argmax"}
    assert not jumps(lambda x: jnp.where(x > 0, x, 0) + jnp.arange(3) // 2, jnp.ones(3))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_gradient_of_an_activation_jumps_by_equality(name):
    assert not jumps(jax.grad(lambda x: ACTIVATIONS[name](x).sum()), jnp.ones(3))


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_of_a_loss_jumps_by_equality(name):
    assert not jumps(jax.grad(lambda x, y: LOSSES[name](x, y).sum()), jnp.ones((2, 3)), jnp.ones((2, 3)))


QUICK = ("airbench94", "alexnet", "capsnet", "lenet5_1998", "mobilenet_v3_small", "resnet20_cifar")
# fmt: off
FAMILIES = [
    "nin_cifar", "vgg11_bn", "googlenet", "squeezenet1_1", "inception_v3", "inception_v4", "inception_resnet_v2",
    "xception", "densenet121", "senet154", "resnet18", "resnext50_32x4d", "wrn_40_4", "polynet", "resnet50_v2",
    "resnetv2_50x1_bit", "vit_b_16", "efficientnet_b0", "efficientnet_v2_b0", "mnasnet0_5", "shufflenet_v2_x0_5",
    "regnet_y_400mf", "convnext_tiny", "mobilenet_v1_025", "mobilenet_v2", "nasnet_a_mobile", "pnasnet5_mobile",
    "amoebanet_c_mobile_44", "small_cnn", "euronet",
]
# fmt: on


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)])
def test_no_gradient_of_a_net_jumps(name):
    """Nor do the values of training; dropout's draws are compared, which are exact."""
    model = create_model(name, 4)
    images = jax.ShapeDtypeStruct((2, *model.input_size), jnp.float32)

    def loss(params, batch_stats, images):
        variables = {"params": params, "batch_stats": batch_stats}
        forward = model.apply_train(variables, images, jax.random.key(0), targets=jnp.eye(4)[:2], observe=True)
        extra = 0 if forward.extra is None else forward.extra.sum()
        return sum(jnp.square(logits).sum() for logits in (forward.logits, *forward.auxiliary)) + extra

    shapes = model.shapes()
    assert not jumps(jax.grad(loss), shapes["params"], shapes["batch_stats"], images)


# ---------------------------------------------------------------- compiled, against float64


def close(found, wanted, tolerance):
    """To so many of the largest value."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


SLOPES = {
    "leaky": lambda x: np.where(x > 0, 1, 0.1),
    "relu6": lambda x: np.where((x > 0) & (x < 6), 1, 0),
    "hard_swish": lambda x: np.where(x < -3, 0, np.where(x > 3, 1, (2 * x + 3) / 6)),
}


@pytest.mark.parametrize("name", SLOPES)
def test_an_activation_behind_batch_norm_has_the_right_gradient(name):
    images, upstream, scale = draw(16, 28, 28, 16, mean=3, deviation=2), draw(16, 28, 28, 16, seed=1), 1.2
    layer = BatchNorm()

    def loss(params, images):
        statistics = {"mean": jnp.zeros(16), "var": jnp.ones(16)}
        variables = {"params": params, "batch_stats": statistics}
        normal, _ = layer.apply(variables, images, train=True, mutable=["batch_stats"])
        return (upstream * ACTIVATIONS[name](normal)).sum()

    params = {"scale": jnp.full(16, scale), "bias": jnp.full(16, 0.1)}
    found = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, images)[1]
    values = images.astype(np.float64)
    deviation = np.sqrt(values.var((0, 1, 2)) + 1e-5)
    normal = (values - values.mean((0, 1, 2))) / deviation
    slope = upstream * SLOPES[name](scale * normal + 0.1)
    close(found[0]["bias"], slope.sum((0, 1, 2)), 1e-5)
    close(found[0]["scale"], (slope * normal).sum((0, 1, 2)), 1e-5)
    centered = slope - slope.mean((0, 1, 2)) - normal * (slope * normal).mean((0, 1, 2))
    close(found[1], scale / deviation * centered, 1e-5)


@pytest.mark.parametrize("mean", [3, 1000])
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_batch_statistics_of_a_million_values(mean, channels):
    """Their variance is of the differences from the mean, and no sum loses digits by its length."""
    values = draw(1, 1_000_003 // channels, 1, channels, mean=mean)
    layer = BatchNorm(use_scale=False, use_bias=False, momentum=1.0)
    statistics = {"mean": jnp.zeros(channels), "var": jnp.ones(channels)}
    step = jax.jit(lambda x: layer.apply({"batch_stats": statistics}, x, train=True, mutable=["batch_stats"]))
    outputs, changed = step(values)
    wanted = values.astype(np.float64)
    deviation = np.sqrt(wanted.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(changed["batch_stats"]["mean"], wanted.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(changed["batch_stats"]["var"], wanted.var((0, 1, 2), ddof=1), rtol=1e-4)
    np.testing.assert_allclose(outputs, (wanted - wanted.mean((0, 1, 2))) / deviation, atol=2e-6 * mean)
    np.testing.assert_allclose(
        jax.jit(lambda x: GlobalAvgPool().apply({}, x))(values)[0], wanted.mean((0, 1, 2)), rtol=1e-6
    )


@pytest.mark.parametrize(("layer", "axes"), [(LayerNorm(), (4,)), (GroupNorm(4), (1, 2, 4))])
@pytest.mark.parametrize("mean", [3, 1000])
def test_norms_far_from_zero(layer, axes, mean):
    values, upstream = draw(2, 17, 9, 64, mean=mean), draw(2, 17, 9, 64, seed=1)
    variables = {"params": {"scale": jnp.ones(64), "bias": jnp.zeros(64)}}

    def loss(values):
        outputs = layer.apply(variables, values)
        return (outputs * upstream).sum(), outputs

    (_, outputs), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(values)
    groups = 4 if isinstance(layer, GroupNorm) else 1
    wide, up = (array.astype(np.float64).reshape(2, 17, 9, groups, -1) for array in (values, upstream))
    deviation = np.sqrt(wide.var(axes, keepdims=True) + layer.eps)
    normal = (wide - wide.mean(axes, keepdims=True)) / deviation
    slope = (up - up.mean(axes, keepdims=True) - normal * (up * normal).mean(axes, keepdims=True)) / deviation
    np.testing.assert_allclose(outputs, normal.reshape(values.shape), atol=1e-6 * mean)
    close(gradient, slope.reshape(values.shape), 1e-6 * mean)


def test_lrn_has_the_right_gradient_behind_what_is_computed_twice():
    values, upstream = draw(4, 9, 7, 16, mean=3, deviation=2), draw(4, 9, 7, 16, seed=1)
    layer = LRN(alpha=0.1)
    loss = jax.jit(jax.grad(lambda x: (upstream * layer.apply({}, jax.nn.relu(x * 1.7 - 0.3))).sum()))
    seen = np.maximum(values.astype(np.float64) * 1.7 - 0.3, 0)

    def neighbors(array):
        padded = np.pad(array, ((0, 0), (0, 0), (0, 0), (2, 2)))
        return sum(padded[..., i : i + 16] for i in range(5))

    below = 2 + 0.1 * neighbors(seen**2)
    slope = upstream * below**-0.75 - 2 * 0.1 * 0.75 * seen * neighbors(upstream * seen * below**-1.75)
    close(loss(values), slope * (seen > 0) * 1.7, 1e-5)


@pytest.mark.parametrize("shape", [(8, 224, 224, 3), (2, 513, 511, 2)])
def test_depthwise_kernels_sum_over_many_positions(shape):
    case = Case(shape, (3, 3, 1, shape[-1]), (1, 1), ((1, 1), (1, 1)), shape[-1])
    inputs, gradient = draw(*shape, mean=3, deviation=2), draw(*shape, mean=1, deviation=0.3, seed=1)
    found = jax.jit(functools.partial(forms.depthwise_to_kernel, case=case))(inputs, gradient)
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    wanted = [
        np.einsum("nhwc,nhwc->c", padded[:, i : i + shape[1], j : j + shape[2]], gradient, dtype=np.float64)
        for i in range(3)
        for j in range(3)
    ]
    close(found[:, :, 0], np.reshape(wanted, (3, 3, -1)), 1e-6)


@pytest.mark.parametrize("size", [0, 1e-30, 1e-20, 3e-19, 1e-10, 1, 1e6])
def test_capsules_of_any_length_have_a_gradient(size):
    """The root's slope is infinite at zero, where squares of small vectors end up too."""
    vectors, turn = draw(64, 5, 8) * np.float32(size), draw(8, 8, seed=1)

    def loss(vectors):
        values = vectors @ turn * 1.7 - vectors
        return squash(values).sum() + lengths(values).sum()

    gradient = jax.jit(jax.grad(loss))(vectors)
    values = vectors.astype(np.float64) @ turn * 1.7 - vectors
    long = np.sqrt((values**2).sum(-1, keepdims=True))
    with np.errstate(invalid="ignore"):
        unit = np.where(long > 1e-18, values / long, 0)
    share = long / (1 + long**2)
    slope = share + unit * values.sum(-1, keepdims=True) * (1 - long**2) / (1 + long**2) ** 2 + unit
    close(gradient, slope @ (turn * 1.7 - np.eye(8)).T, 1e-5) if size == 0 or size > 1e-18 else None
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)])
def test_batch_norm_of_one_image_a_device(dtype, tolerance):
    values, upstream = draw(8, 5, 7, 6, mean=3, deviation=2), draw(8, 5, 7, 6, seed=1)
    values = np.asarray(jnp.asarray(values, dtype), np.float64)
    layer = BatchNorm(use_scale=False, use_bias=False)

    def loss(values):
        statistics = {"mean": jnp.zeros(6), "var": jnp.ones(6)}
        outputs, _ = layer.apply({"batch_stats": statistics}, values, train=True, mutable=["batch_stats"])
        return (outputs.astype(jnp.float32) * upstream).sum()

    split = NamedSharding(Mesh(np.array(jax.devices()), "data"), PartitionSpec("data"))
    assert split.num_devices == 8
    gradient = jax.jit(jax.grad(loss))(jax.device_put(jnp.asarray(values, dtype), split))
    deviation = np.sqrt(values.var((0, 1, 2)) + 1e-5)
    normal = (values - values.mean((0, 1, 2))) / deviation
    slope = upstream - upstream.mean((0, 1, 2)) - normal * (upstream * normal).mean((0, 1, 2))
    close(np.asarray(gradient, np.float64), slope / deviation, tolerance)
