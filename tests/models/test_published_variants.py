"""Every variant of published.csv by shape, and the smallest of every family for real."""

import functools
import re
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from cnnjax.core import trees
from cnnjax.models import create_model, list_models, summarize
from cnnjax.models.base import MODELS
from cnnjax.models.calls import equations
from cnnjax.models.cards import published
from cnnjax.optim.losses import LOSSES

NAMES = sorted(published())
KEY = jax.random.key(0)

# The smallest variant of each family: (images, parameters whose gradient must be zero, by the end of their path)
SMALL = {
    "lenet5": ((28, 28, 1), ()),
    "alexnet": ((63, 63, 3), ()),
    "nin_cifar": ((16, 16, 3), ()),
    # A BatchNorm's shift follows: its convolution's bias moves nothing.
    "vgg11_bn": ((32, 32, 3), tuple(f"features_{number}/bias" for number in (0, 4, 8, 11, 15, 18, 22, 25))),
    "googlenet": ((32, 32, 3), ()),
    "squeezenet1_1": ((32, 32, 3), ()),
    "inception_v3": ((75, 75, 3), ()),
    "xception": ((32, 32, 3), ()),
    "densenet121": ((32, 32, 3), ()),
    "resnet18": ((32, 32, 3), ()),
    "resnext50_32x4d": ((32, 32, 3), ()),
    "wrn_40_4": ((8, 8, 3), ()),
    "seresnet50": ((32, 32, 3), ()),
    "polynet": ((75, 75, 3), ()),
    "resnet20_cifar": ((16, 16, 3), ()),
    "densenet_40_12_cifar": ((8, 8, 3), ()),
    "resnet50_v2": ((32, 32, 3), ()),
    "resnetv2_50x1_bit": ((32, 32, 3), ()),
    "vit_b_16": ((32, 32, 3), ()),
    "efficientnet_b0": ((32, 32, 3), ()),
    "efficientnet_v2_b0": ((32, 32, 3), ()),
    "mnasnet0_5": ((32, 32, 3), ()),
    "shufflenet_v2_x0_5": ((32, 32, 3), ()),
    "regnet_y_400mf": ((32, 32, 3), ()),
    "convnext_tiny": ((32, 32, 3), ()),
    "mobilenet_v3_small": ((32, 32, 3), ()),
    "mobilenet_v1_025": ((32, 32, 3), ()),
    "nasnet_a_mobile": ((32, 32, 3), ()),
    "pnasnet5_mobile": ((32, 32, 3), ()),
    "amoebanet_c_mobile_44": ((32, 32, 3), ()),
    "capsnet": ((17, 17, 1), ()),
}


def test_every_variant_is_registered():
    assert set(NAMES) <= set(list_models())
    assert {published()[name].family for name in NAMES} == {published()[name].family for name in SMALL}


# Another library's form of a model, timm/mobilenet_v1, has its layers; these take seconds to trace, and others have
# their blocks.
DEEP = (
    "resnet1202_cifar",
    "densenet_bc_250_24_cifar",
    "densenet_bc_190_40_cifar",
    "efficientnet_l2",
    "efficientnet_b7",
)
DEEP += ("efficientnet_b6", "efficientnet_b5", "nasnet_a_large", "amoebanet_a", "amoebanet_c", "amoebanet_d")
COUNTED = [pytest.param(name, marks=[pytest.mark.slow] if "/" in name or name in DEEP else []) for name in NAMES]


@pytest.mark.parametrize("name", COUNTED)
def test_exact_counts(name):
    row, model = published()[name], create_model(name)
    shapes = model.shapes()
    assert trees.size(shapes["params"]) == row.params
    assert trees.size(shapes["batch_stats"]) == row.statistics
    table = summarize(model)
    assert table.params == row.params
    assert table.macs == pytest.approx(row.macs, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_gradient_can_be_traced(name):
    model = create_model(name)
    images = jax.ShapeDtypeStruct((2, *model.input_size), jnp.float32)

    def loss(params, stats, images):
        forward = model.apply_train({"params": params, "batch_stats": stats}, images, KEY)
        return sum(jnp.square(logits).sum() for logits in (forward.logits, *forward.auxiliary))

    shapes = model.shapes()
    gradients = jax.eval_shape(jax.grad(loss), shapes["params"], shapes["batch_stats"], images)
    chex.assert_trees_all_equal_shapes_and_dtypes(gradients, shapes["params"])


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_convolves_in_bfloat16_and_sums_over_the_batch_in_float32(name):
    size, _ = SMALL[name]
    model = create_model(name, 4, input_size=size, dtype="bfloat16")

    def loss(params, stats, images):
        forward = model.apply_train({"params": params, "batch_stats": stats}, images, KEY)
        return sum(jnp.square(logits).sum() for logits in (forward.logits, *forward.auxiliary))

    shapes, images = model.shapes(), jax.ShapeDtypeStruct((3, *size), jnp.float32)
    traced = list(equations(jax.make_jaxpr(jax.grad(loss))(shapes["params"], shapes["batch_stats"], images)))
    convolutions = [one for one in traced if one.primitive is lax.conv_general_dilated_p]
    assert {one.invars[0].aval.dtype for one in convolutions} == {jnp.dtype("bfloat16")}
    sums = [one for one in traced if one.primitive is lax.reduce_sum_p and 0 in one.params["axes"]]
    assert {one.invars[0].aval.dtype for one in sums} <= {jnp.dtype("float32"), jnp.dtype("int32")}


def drawn(model, rng):
    """Variables in NumPy: to compile the drawing of a deep model takes longer than all the rest."""

    def draw(path, leaf):
        if path.endswith("kernel"):
            return rng.standard_normal(leaf.shape, np.float32) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        if path.endswith(("scale", "var")):
            return np.ones(leaf.shape, np.float32)
        return 0.1 * rng.standard_normal(leaf.shape, np.float32)

    flat = {path: draw(path, leaf) for path, leaf in trees.flatten(model.shapes()).items()}
    return {"batch_stats": {}} | trees.unflatten(flat)


# At 1e-3 VGG jumps about, and SqueezeNet's ReLU on the class maps dies.
RATES = {"squeezenet1_1": 1e-4, "vgg11_bn": 1e-4}


def training(model, images, targets):
    """(a jitted step of Adam on these images, its optimizer); the step takes over the arrays that it is given."""
    optimizer = optax.adam(RATES.get(model.name, 1e-3))

    def loss(params, stats, key):
        forward = model.apply_train({"params": params, "batch_stats": stats}, images, key, targets=targets)
        criterion = LOSSES["margin" if model.name == "capsnet" else "softmax"]  # a capsule's length is no logit
        total = criterion(forward.logits, targets).mean()
        for logits in forward.auxiliary:
            total += model.auxiliary_weight * criterion(logits, targets).mean()
        if forward.extra is not None:
            total += forward.extra.mean()
        return total, (forward.batch_stats, forward.logits)

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(params, stats, moments, key):
        (value, (stats, logits)), grads = jax.value_and_grad(loss, has_aux=True)(params, stats, key)
        updates, moments = optimizer.update(grads, moments)
        return optax.apply_updates(params, updates), stats, moments, value, grads, logits

    return step, optimizer


@functools.cache
def small_problem(name, count):
    """The family's smallest model, its variables, and `count` images of 4 classes."""
    size, _ = SMALL[name]
    model, rng = create_model(name, 4, input_size=size, dropout=0.0), np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((count, *size), np.float32))
    targets = jax.nn.one_hot(np.arange(count) % 4, 4)
    return model, drawn(model, rng), images, targets


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_one_step_reaches_every_parameter(name):
    model, variables, images, targets = small_problem(name, 4)
    step, optimizer = training(model, images, targets)
    stats = variables["batch_stats"]
    params, begun = jax.tree.map(jnp.array, (variables["params"], stats))
    _, new_stats, _, loss, grads, _ = step(params, begun, optimizer.init(params), KEY)
    assert np.isfinite(loss)
    chex.assert_tree_all_finite((grads, new_stats))
    dead = {path for path, leaf in trees.flatten(grads).items() if not np.any(leaf)}
    assert {path for path in dead if not path.endswith(SMALL[name][1] or ("?",))} == set()
    before, after = trees.flatten(stats), trees.flatten(new_stats)
    assert all(np.any(after[path] != before[path]) for path in before)

    evaluated = model.apply(variables, images)
    features = model.apply(variables, images, method="features")
    np.testing.assert_allclose(
        model.apply(variables, features, method="head"), evaluated, rtol=1e-5, atol=1e-5 * np.abs(evaluated).max()
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_over_fits_32_images(name):
    model, variables, images, targets = small_problem(name, 32)
    step, optimizer = training(model, images, targets)
    params, stats = jax.tree.map(jnp.array, (variables["params"], variables["batch_stats"]))
    moments = optimizer.init(params)
    for number in range(300):
        params, stats, moments, loss, _, logits = step(params, stats, moments, jax.random.fold_in(KEY, number))
        if np.all(np.argmax(logits, -1) == np.argmax(targets, -1)) and loss < 0.5:
            return
    raise AssertionError(f"{name} still has loss {loss} after 300 steps")


def test_the_document_lists_what_there_is():
    document = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    listed = set(re.findall(r"^\| ([\w/]+) \| ([\d,]+) \|", document, re.MULTILINE))
    assert {name for name, _ in listed} == {name for name in MODELS if MODELS[name].card.family != "own"}
    assert {(name, f"{row.params:,}") for name, row in published().items()} <= listed
