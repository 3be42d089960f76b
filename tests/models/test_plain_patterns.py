"""Nets in one line: what a pattern builds, and how a wrong one is answered."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core.errors import UserError
from cnnjax.models import create_model, summarize
from cnnjax.models.plain import parse


def rows(pattern, size=(32, 32, 3), classes=10):
    table = summarize(create_model(f"plain:{pattern}", classes, input_size=size))
    return [(row.name, row.output_shape, row.params) for row in table.rows[1:]]


def test_the_pattern_of_the_deck():
    words = parse("[[conv32 >> relu] * 2 >> pool] * 3 >> fc128 >> relu >> drop0.5")
    stage = ["conv32", "relu", "conv32", "relu", "pool"]
    assert [word.text for word in words] == stage * 3 + ["fc128", "relu", "drop0.5"]
    found = rows("[[conv32 >> relu] * 2 >> pool] * 3 >> fc128 >> relu >> drop0.5")
    assert found[0] == ("conv1", (32, 32, 32), 3 * 9 * 32 + 32)
    assert found[1] == ("conv2", (32, 32, 32), 32 * 9 * 32 + 32)
    assert found[-3:] == [("flatten1", (512,), 0), ("fc1", (128,), 512 * 128 + 128), ("fc2", (10,), 1290)]
    assert len(found) == 6 + 3 + 3


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("conv8k5s2v", [("conv1", (14, 14, 8), 75 * 8 + 8)]),
        ("conv8k5s2", [("conv1", (16, 16, 8), 75 * 8 + 8)]),
        ("conv8k4", [("conv1", (32, 32, 8), 48 * 8 + 8)]),
        ("conv8 >> bn", [("conv1", (32, 32, 8), 27 * 8), ("bn1", (32, 32, 8), 16)]),
        ("conv8 >> relu >> bn", [("conv1", (32, 32, 8), 27 * 8 + 8), ("bn1", (32, 32, 8), 16)]),
        ("pool3s2 >> lrn", [("pool1", (15, 15, 3), 0)]),
        ("avgpool4 >> minpool", [("avgpool1", (8, 8, 3), 0), ("minpool1", (4, 4, 3), 0)]),
        ("gap >> fc5 >> bn >> tanh", [("gap1", (3,), 0), ("fc1", (5,), 15), ("bn1", (5,), 10)]),
    ],
)
def test_layers(pattern, expected):
    assert rows(pattern)[: len(expected)] == expected


def test_one_weight_short_of_a_dense_layer_on_a_photograph():
    # The decks' argument for convolutions: 150,528 x 128 weights (and here the biases).
    assert ("fc1", (128,), 19_267_584 + 128) in rows("fc128", (224, 224, 3))


def test_order_and_values_of_a_small_net():
    model = create_model("plain:conv2k1 >> leaky >> avgpool >> sigmoid >> gap", 3, input_size=(4, 4, 2))
    variables = model.init(jax.random.key(0))
    params = jax.tree.map(np.asarray, variables["params"])
    images = np.random.default_rng(0).normal(size=(5, 4, 4, 2)).astype(np.float32)
    maps = images @ params["conv1"]["kernel"][0, 0] + params["conv1"]["bias"]
    maps = np.where(maps > 0, maps, 0.1 * maps).reshape(5, 2, 2, 2, 2, 2).mean((2, 4))
    features = (1 / (1 + np.exp(-maps))).mean((1, 2))
    expected = features @ params["fc1"]["kernel"] + params["fc1"]["bias"]
    np.testing.assert_allclose(model.apply(variables, jnp.asarray(images)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("pattern", "place", "what"),
    [
        ("", 1, "it ends where a layer or [ is wanted"),
        ("conv32 >>", 10, "it ends where a layer or [ is wanted"),
        ("conv32 >> rellu", 11, '"rellu" is no layer; did you mean relu?'),
        ("conv0", 1, '"conv0" is no layer; did you mean conv32?'),
        ("drop1", 1, '"drop1" is no layer; did you mean drop0.5?'),
        ("conv32 relu", 8, '"relu" stands where >> or the end is wanted'),
        ("conv32 > relu", 8, '">" stands where >> or the end is wanted'),
        ("[conv32 >> relu", 16, "it ends where >> or ] is wanted"),
        ("[conv32 >> relu * 2]", 17, '"*" stands where >> or ] is wanted'),
        ("relu]", 5, '"]" stands where >> or the end is wanted'),
        ("[relu] * 0", 10, '"0" stands where how often, such as 2 is wanted'),
        ("[relu] * >> pool", 10, '">>" stands where how often, such as 2 is wanted'),
        ("[[relu] * 999] * 999", 18, "the model has more than 1000 layers here"),
        ("conv8 >> fc10 >> conv3", 18, '"conv3" needs a map, but the model is flat by then'),
        ("gap >> pool", 8, '"pool" needs a map, but the model is flat by then'),
    ],
)
def test_a_wrong_pattern_is_answered_with_the_place(pattern, place, what):
    with pytest.raises(UserError) as error:
        create_model(f"plain:{pattern}")
    assert str(error.value) == f"plain:{pattern} is wrong at character {place} of the pattern: {what}"
