"""Every registered net by shape, and every family for real: counts, sizes, gradients, precision, dropout, remat."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.core.errors import UserError
from cnnjax.models import create_model, list_models, summarise

KEY = jax.random.key(0)

# name: (trainable parameters, running statistics, multiply-adds); spec.md 1a and reference/models.json.
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
    "alexnet": (61_100_840, 0, 714_188_480),
    "alexnet_two_tower": (60_965_224, 0, 724_406_816),
}


def test_the_table_is_complete():
    assert set(PUBLISHED) == set(list_models())


@pytest.mark.parametrize("name", PUBLISHED)
def test_exact_counts(name):
    params, statistics, macs = PUBLISHED[name]
    model = create_model(name)
    shapes = model.shapes()
    assert trees.size(shapes["params"]) == params
    assert trees.size(shapes["batch_stats"]) == statistics
    table = summarise(model)
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
    rows = {row.name: row for row in summarise(create_model("alexnet_two_tower")).rows}
    assert {name: rows[name].output_shape for name in wanted} == wanted
    counts = {"conv1": 34_944, "conv2": 307_456, "conv3": 885_120, "conv4": 663_936, "conv5": 442_624}
    counts |= {"fc6": 37_752_832, "fc7": 16_781_312, "fc8": 4_097_000}
    assert {name: rows[name].params for name in counts} == counts
    unpadded = create_model("alexnet_two_tower", input_size=(227, 227, 3))
    assert trees.size(unpadded.shapes()) == 60_965_224
    one_tower = {row.name: row.output_shape for row in summarise(create_model("alexnet")).rows}
    assert (one_tower["conv1"], one_tower["conv5"]) == ((55, 55, 64), (13, 13, 256))
    assert "avgpool" not in one_tower  # at 224 it is the identity
    for side in (227, 300):  # on other sizes it keeps the dense layers as they are
        assert trees.size(create_model("alexnet", input_size=(side, side, 3)).shapes()) == 61_100_840


def test_alexnet_begins_as_its_paper_says():
    params = create_model("alexnet_two_tower", 10, input_size=(63, 63, 3)).init(KEY)["params"]
    for name, layer in params.items():
        bias = 1.0 if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0
        np.testing.assert_array_equal(layer["bias"], bias)
        assert np.std(layer["kernel"]) == pytest.approx(0.01, rel=0.05)
        assert abs(np.mean(layer["kernel"])) < 5e-4
    torch = create_model("alexnet", 10, input_size=(63, 63, 3)).init(KEY)["params"]["conv2"]
    bound = (64 * 25) ** -0.5
    assert np.abs(torch["kernel"]).max() <= bound
    assert np.std(torch["kernel"]) == pytest.approx(bound / 3**0.5, rel=0.02)
    assert 0 < np.abs(torch["bias"]).max() <= bound


SMALL = {
    "mlp": ((4, 4, 1), False),
    "cnn4_bn": ((12, 12, 1), True),
    "vgg_small_bn": ((16, 16, 3), True),
    "lenet5": ((12, 12, 1), False),
    "alexnet": ((63, 63, 3), True),
    "alexnet_two_tower": ((63, 63, 3), True),
}


@pytest.mark.parametrize("name", SMALL)
def test_forward_and_backward_for_real(name):
    size, random = SMALL[name]
    model = create_model(name, 5, input_size=size)
    variables = model.init(KEY)
    chex.assert_trees_all_equal_shapes_and_dtypes(variables, model.shapes())
    images = 50 * jax.random.normal(jax.random.key(1), (8, *size))
    labels = jnp.arange(8) % 5

    def loss(params):
        logits, stats, _ = model.apply_train({**variables, "params": params}, images, jax.random.key(2))
        return -jax.nn.log_softmax(logits)[jnp.arange(8), labels].mean(), (logits, stats)

    gradients, (trained, stats) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    chex.assert_tree_all_finite((gradients, stats))
    dead = [path for path, leaf in trees.flatten(gradients).items() if not np.any(leaf)]
    assert dead == []
    chex.assert_trees_all_equal_shapes_and_dtypes(stats, variables["batch_stats"])
    assert all(
        np.any(new != old) for new, old in zip(*map(jax.tree.leaves, (stats, variables["batch_stats"])), strict=True)
    )

    evaluated = model.apply(variables, images)
    chex.assert_shape(evaluated, (8, 5))
    features = model.apply(variables, images, method="features")
    np.testing.assert_array_equal(model.apply(variables, features, method="head"), evaluated)
    np.testing.assert_array_equal(model.module.apply(variables, images), evaluated)
    assert np.allclose(trained, evaluated, rtol=1e-3, atol=1e-3 * np.abs(evaluated).max()) is not random


def test_same_key_same_parameters():
    model = create_model("lenet5")
    chex.assert_trees_all_equal(model.init(KEY), model.init(KEY))
    assert np.any(
        model.init(KEY)["params"]["fc1"]["kernel"] != model.init(jax.random.key(1))["params"]["fc1"]["kernel"]
    )


def test_bfloat16_computes_coarsely_and_keeps_float32():
    exact = create_model("cnn4_bn", input_size=(12, 12, 1))
    coarse = create_model("cnn4_bn", input_size=(12, 12, 1), dtype="bfloat16")
    variables = coarse.init(KEY)
    images = jax.random.normal(jax.random.key(1), (4, 12, 12, 1))
    logits, stats, _ = coarse.apply_train(variables, images, KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves((logits, stats, variables))} == {jnp.dtype("float32")}
    difference = np.abs(coarse.apply(variables, images) - exact.apply(variables, images)).max()
    assert 0 < difference < 0.05 * np.abs(exact.apply(variables, images)).max()
    assert "bf16" in str(jax.make_jaxpr(coarse.apply)(variables, images))
    assert "bf16" not in str(jax.make_jaxpr(exact.apply)(variables, images))


def test_dropout_rates_can_be_replaced():
    images = jax.random.normal(jax.random.key(1), (4, 16, 16, 1))
    variables = create_model("cnn1", input_size=(16, 16, 1)).init(KEY)

    def trained(rate, seed):
        model = create_model("cnn1", input_size=(16, 16, 1), dropout=rate)
        return np.asarray(model.apply_train(variables, images, jax.random.key(seed))[0])

    evaluated = create_model("cnn1", input_size=(16, 16, 1)).apply(variables, images)
    np.testing.assert_allclose(trained(0.0, 1), evaluated, rtol=1e-5, atol=1e-6)
    assert np.any(trained(None, 1) != trained(None, 2))
    spread = {rate: np.std([trained(rate, seed) for seed in range(6)], axis=0).mean() for rate in (None, 0.9)}
    assert spread[0.9] > 2 * spread[None]  # cnn1's own is 0.2


def test_remat_changes_memory_only():
    images = jax.random.normal(jax.random.key(1), (8, 16, 16, 1))
    variables = create_model("vgg_small_bn", input_size=(16, 16, 1)).init(KEY)

    def backward(remat):
        model = create_model("vgg_small_bn", input_size=(16, 16, 1), remat=remat)

        def loss(params):
            logits, stats, observed = model.apply_train({**variables, "params": params}, images, KEY, observe=True)
            return jnp.square(logits).sum(), (stats, observed)

        _, pull = jax.eval_shape(lambda params: jax.vjp(loss, params, has_aux=True)[:2], variables["params"])
        kept = trees.size([leaf for leaf in jax.tree.leaves(pull) if leaf.ndim == 4 and leaf.shape[0] == 8])
        convolutions = str(jax.make_jaxpr(jax.grad(loss, has_aux=True))(variables["params"])).count(
            "conv_general_dilated["
        )
        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"]), kept, convolutions

    (gradients, aux), kept, convolutions = backward(False)
    (again, aux_again), kept_again, convolutions_again = backward(True)
    chex.assert_trees_all_close(again, gradients, rtol=1e-3, atol=1e-3)
    chex.assert_trees_all_close(aux_again, aux, rtol=1e-5, atol=1e-6)
    assert convolutions_again == convolutions
    outputs = sum(
        8 * row.activation_size for row in summarise(create_model("vgg_small_bn", input_size=(16, 16, 1))).rows
    )
    assert kept_again < 0.4 * kept
    assert kept_again < outputs


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
def test_pictures_too_small_for_the_net(name, size, smallest):
    with pytest.raises(UserError) as error:
        create_model(name, input_size=size)
    assert str(error.value) == (
        f"{name} needs pictures of at least {smallest} x {smallest}; config.model.input_size is {size[0]} x {size[1]}"
    )
    create_model(name, input_size=(smallest, smallest, size[2]))
