"""Every registered model by shape, and every family for real: counts, sizes, gradients, precision, dropout, remat."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.core.errors import UserError
from cnnjax.models import create_model, list_models, summarize
from cnnjax.models.alexnet import AlexNet, AlexNetTwoTower
from cnnjax.models.base import MODELS
from cnnjax.models.blocks import Conv
from cnnjax.models.cards import published
from cnnjax.models.convolution import plain

KEY = jax.random.key(0)

# name: (trainable parameters, running statistics, MACs); spec.md 1a and reference/models.json.
PUBLISHED = {
    "softmax": (7_850, 0, 7_840),
    "mlp": (468_874, 0, None),
    "mnist_mlp": (669_706, 0, None),
    "cnn1": (693_962, 0, None),
    "cnn3": (241_546, 0, None),
    "mnist_cnn": (1_199_882, 0, None),
    "cnn4_bn": (5_479_466, 5_481_130 - 5_479_466, None),
    "vgg_small": (1_898_474, 0, None),
    "vgg_small_bn": (1_900_202, 1_903_658 - 1_900_202, None),
    "cifar_cnn": (1_250_858, 0, None),
    "lenet5": (61_706, 0, None),
    "table_cnn": (59_810, 0, 432_768),
    "small_cnn": (
        9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256)
        + 2 * (2 * (32 + 64 + 128 + 256))
        + 2_570,
        2 * (2 * (32 + 64 + 128 + 256)),
        None,
    ),
    "alexnet": (61_100_840, 0, 714_188_480),
    "alexnet_two_tower": (60_965_224, 0, 724_406_816),
}


# Held against their papers by hand in tests of their own, as are those in published.csv that have no reference.
ELSEWHERE = {"airbench94", "euronet"}


def test_the_table_is_complete():
    ours = {name for name in list_models() if MODELS[name].card.family != "own"}
    assert ours == set(PUBLISHED) | set(published()) | ELSEWHERE


@pytest.mark.parametrize("name", PUBLISHED)
def test_exact_counts(name):
    params, statistics, macs = PUBLISHED[name]
    model = create_model(name)
    shapes = model.shapes()
    assert trees.size(shapes["params"]) == params
    assert trees.size(shapes["batch_stats"]) == statistics
    table = summarize(model)
    assert (table.params, table.params_total) == (params, params + statistics)
    assert macs is None or table.macs == macs


@pytest.mark.parametrize("name", PUBLISHED)
def test_any_number_of_classes_and_channels(name):
    height, width, _ = create_model(name).card.input_size
    model = create_model(name, 7, input_size=(height, width + 3, 5), dtype="bfloat16")
    images = jax.ShapeDtypeStruct((3, height, width + 3, 5), jnp.float32)
    logits = jax.eval_shape(model.apply, model.shapes(), images)
    chex.assert_shape(logits, (3, 7))
    assert logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(model.shapes())} == {jnp.dtype("float32")}


def test_maps_of_the_alexnets():
    wanted = {
        "conv1": (55, 55, 96),
        "pool1": (27, 27, 96),
        "conv2": (27, 27, 256),
        "pool2": (13, 13, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
        "fc6": (4096,),
        "fc7": (4096,),
        "fc8": (1000,),
    }
    rows = {row.name: row for row in summarize(create_model("alexnet_two_tower")).rows}
    assert {name: rows[name].output_shape for name in wanted} == wanted
    counts = {"conv1": 34_944, "conv2": 307_456, "conv3": 885_120, "conv4": 663_936, "conv5": 442_624}
    counts |= {"fc6": 37_752_832, "fc7": 16_781_312, "fc8": 4_097_000}
    assert {name: rows[name].params for name in counts} == counts
    unpadded = create_model("alexnet_two_tower", input_size=(227, 227, 3))
    assert trees.size(unpadded.shapes()) == 60_965_224
    one_tower = {row.name: row.output_shape for row in summarize(create_model("alexnet")).rows}
    assert (one_tower["conv1"], one_tower["conv5"]) == ((55, 55, 64), (13, 13, 256))
    assert "avgpool" not in one_tower  # at 224 it is the identity
    for side in (227, 300):  # on other sizes it keeps the dense layers as they are
        assert trees.size(create_model("alexnet", input_size=(side, side, 3)).shapes()) == 61_100_840


def initials(net):
    """The Init of each convolution and dense layer."""
    return net.apply({}, method=lambda net: {name: getattr(getattr(net, name), "initial", None) for name in net.order})


def test_alexnet_begins_as_its_paper_says():
    ones = ("conv2", "conv4", "conv5", "fc6", "fc7")
    for name, initial in initials(AlexNetTwoTower(num_classes=10)).items():
        if initial is not None:
            np.testing.assert_array_equal(initial.bias(9)(KEY, (4,), jnp.float32), 1.0 if name in ones else 0.0)
            kernel = initial.kernel(KEY, (3, 3, 32, 64), jnp.float32)
            assert np.std(kernel) == pytest.approx(0.01, rel=0.03)
    conv2 = Conv(192, 5, initial=initials(AlexNet(num_classes=10))["conv2"])
    bound = (64 * 25) ** -0.5  # PyTorch's default for kernels and biases
    for values in conv2.init(KEY, jnp.zeros((1, 5, 5, 64)))["params"].values():
        assert 0.95 * bound < np.abs(values).max() <= bound
        assert np.std(values) == pytest.approx(bound / 3**0.5, rel=0.1)


def drawn(model, seed=0):
    """Variables in NumPy: drawing AlexNet's 58 million by jax.random takes longer to compile than all the rest."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        if path.endswith("kernel"):
            return rng.standard_normal(leaf.shape, np.float32) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        return np.full(leaf.shape, 1.0 if path.endswith(("scale", "var")) else 0.0, np.float32)

    flat = {path: draw(path, leaf) for path, leaf in trees.flatten(model.shapes()).items()}
    return {"batch_stats": {}} | trees.unflatten(flat)


# name: (smallest images, does training differ from evaluation?)
SMALL = {
    "mlp": ((4, 4, 1), False),
    "vgg_small_bn": ((16, 16, 3), True),
    "lenet5": ((12, 12, 1), False),
    "alexnet": ((63, 63, 3), True),
    "alexnet_two_tower": ((63, 63, 3), True),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "alexnet" in name else []) for name in SMALL]
)
def test_forward_and_backward_for_real(name):
    size, random = SMALL[name]
    model = create_model(name, 5, input_size=size)
    variables = drawn(model)
    images = jax.random.normal(jax.random.key(1), (4, *size))
    labels = jnp.arange(4)

    @jax.jit
    def step(variables):
        def loss(params):
            logits, stats, *_ = model.apply_train({**variables, "params": params}, images, jax.random.key(2))
            return -jax.nn.log_softmax(logits)[jnp.arange(4), labels].mean(), (logits, stats)

        return jax.grad(loss, has_aux=True)(variables["params"])

    gradients, (trained, stats) = step(variables)
    chex.assert_tree_all_finite((gradients, stats))
    assert [path for path, leaf in trees.flatten(gradients).items() if not np.any(leaf)] == []
    before, after = trees.flatten(variables["batch_stats"]), trees.flatten(stats)
    assert before.keys() == after.keys()
    assert all(np.any(after[path] != before[path]) for path in after)

    evaluated = model.apply(variables, images)
    chex.assert_shape(evaluated, (4, 5))
    features = model.apply(variables, images, method="features")
    np.testing.assert_array_equal(model.apply(variables, features, method="head"), evaluated)
    np.testing.assert_array_equal(model.module.apply(variables, images), evaluated)
    assert np.allclose(trained, evaluated, rtol=1e-3, atol=1e-3 * np.abs(evaluated).max()) is not random


def test_init_draws_what_shapes_promises():
    model = create_model("plain:conv4 >> bn >> relu", 3, input_size=(4, 4, 1))
    variables = model.init(KEY)
    chex.assert_trees_all_equal_shapes_and_dtypes(variables, model.shapes())
    chex.assert_trees_all_equal(model.init(KEY), variables)
    other = model.init(jax.random.key(1))
    assert np.any(other["params"]["conv1"]["kernel"] != variables["params"]["conv1"]["kernel"])
    assert type(variables["params"]["conv1"]) is dict
    assert create_model("softmax").shapes()["batch_stats"] == {}


NET = "plain:[conv4 >> bn >> relu] * 3 >> pool >> fc8 >> bn >> relu >> drop0.5"


def test_bfloat16_computes_coarsely_and_keeps_float32():
    exact, coarse = (create_model(NET, 3, input_size=(8, 8, 1), dtype=dtype) for dtype in ("float32", "bfloat16"))
    variables = drawn(coarse)
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    logits, stats, *_ = coarse.apply_train(variables, images, KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, stats))} == {jnp.dtype("float32")}
    difference = np.abs(coarse.apply(variables, images) - exact.apply(variables, images)).max()
    assert 0 < difference < 0.05 * np.abs(exact.apply(variables, images)).max()
    for model, coarsely in ((coarse, True), (exact, False)):
        with plain():
            traced = str(jax.make_jaxpr(lambda *values, model=model: model.apply(*values))(variables, images))
        convolutions = [line for line in traced.splitlines() if "= conv_general" in line]
        assert len(convolutions) == 3
        assert all((":bf16[" in line) is coarsely for line in convolutions)


def test_dropout_rates_can_be_replaced():
    images = jax.random.normal(jax.random.key(1), (4, 4, 4, 1))
    variables = drawn(create_model("mnist_mlp", input_size=(4, 4, 1)))

    def trained(rate, seed):
        model = create_model("mnist_mlp", input_size=(4, 4, 1), dropout=rate)
        return np.asarray(model.apply_train(variables, images, jax.random.key(seed))[0])

    evaluated = create_model("mnist_mlp", input_size=(4, 4, 1)).apply(variables, images)
    np.testing.assert_allclose(trained(0.0, 1), evaluated, rtol=1e-5, atol=1e-5)
    assert np.any(trained(None, 1) != trained(None, 2))
    spread = {rate: np.std([trained(rate, seed) for seed in range(6)], axis=0).mean() for rate in (None, 0.9)}
    assert spread[0.9] > 2 * spread[None]  # its own is 0.2
    with pytest.raises(UserError, match=r"dropout=0\.1 needs a model with a dropout layer, which mlp lacks"):
        create_model("mlp", dropout=0.1)


def test_remat_recomputes_all_but_convolutions_and_products():
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    variables = drawn(create_model(NET, 3, input_size=(8, 8, 1)))

    def backward(remat):
        model = create_model(NET, 3, input_size=(8, 8, 1), remat=remat)

        def loss(params):
            logits, stats, observed, *_ = model.apply_train({**variables, "params": params}, images, KEY, observe=True)
            return jnp.square(logits).sum(), (stats, observed)

        pull = jax.eval_shape(lambda params: jax.vjp(loss, params, has_aux=True)[1], variables["params"])
        maps = trees.size([leaf for leaf in jax.tree.leaves(pull) if leaf.shape[:1] == (4,) and leaf.ndim == 4])
        gradient = jax.grad(loss, has_aux=True)
        traced = str(jax.make_jaxpr(gradient)(variables["params"]))
        products = traced.count("= conv_general_dilated[") + traced.count("= dot_general[")
        return jax.jit(gradient)(variables["params"]), maps, products

    once, maps, products = backward(False)
    again, maps_again, products_again = backward(True)
    chex.assert_trees_all_close(again, once, rtol=1e-3, atol=1e-4)
    norms = 3 * 2  # sums that are products on a CPU, of each norm and again of its gradient
    assert products == 5 + 5 + 4 + 2 * norms  # forward, to the weights, to the inputs but the first
    assert products_again == products, "of norms all but the sums is redone, convolutions and dense layers are not"
    assert maps_again <= 4 * (64 + 3 * 256 + 64)  # images, the convolutions' outputs, the features
    assert maps_again < maps / 3


def test_dead_relus_are_counted_per_channel():
    model = create_model("plain:conv4 >> relu >> conv4 >> relu", 2, input_size=(6, 6, 1))
    variables = model.init(KEY)
    images = jax.random.normal(jax.random.key(1), (3, 6, 6, 1))
    assert model.apply_train(variables, images, KEY)[2] == {}
    assert model.apply_train(variables, images, KEY, observe=True)[2]["dead_relu"] == 0
    variables["params"]["conv1"]["bias"] = jnp.array([-1e6, 0, 0, -1e6])
    variables["params"]["conv2"]["bias"] = jnp.array([0, -1e6, 0, 0])
    assert model.apply_train(variables, images, KEY, observe=True)[2]["dead_relu"] == pytest.approx(3 / 8)
    softmax = create_model("softmax")
    assert softmax.apply_train(softmax.init(KEY), jnp.zeros((2, 28, 28, 1)), KEY, observe=True)[2] == {}


@pytest.mark.parametrize(
    ("name", "size", "smallest"),
    [
        ("cnn3", (8, 8, 1), 18),  # 18 -> 16 -> 8 -> 6 -> 3 -> 1
        ("vgg_small", (28, 15, 1), 16),  # four halvings
        ("lenet5", (11, 40, 1), 12),  # 12 -> 6 -> 2 -> 1
        ("alexnet", (62, 62, 3), 63),  # torchvision's own limit
    ],
)
def test_images_too_small_for_the_net(name, size, smallest):
    with pytest.raises(UserError) as error:
        create_model(name, input_size=size)
    assert str(error.value) == (
        f"{name} needs images of at least {smallest} x {smallest}; config.model.input_size is {size[0]} x {size[1]}"
    )
    create_model(name, input_size=(smallest, smallest, size[2]))
