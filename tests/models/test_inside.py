"""Inner layers are named, read and perturbed without a change to the model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core.errors import UserError
from cnnjax.models import create_model
from cnnjax.models.inside import check_layer, layers, look_inside, open_up

NET = "plain:conv4 >> bn >> relu >> drop0.5 >> pool >> fc8 >> relu"


def test_layers_have_the_names_and_shapes_of_summary_in_order():
    model = open_up(create_model(NET, 3, input_size=(8, 6, 2)))
    assert layers(model) == {
        "conv1": (8, 6, 4),
        "bn1": (8, 6, 4),
        "relu1": (8, 6, 4),
        "drop1": (8, 6, 4),
        "pool1": (4, 3, 4),
        "features": (4, 3, 4),
        "flatten1": (48,),
        "fc1": (8,),
        "relu2": (8,),
        "fc2": (3,),
    }
    assert list(layers(model))[4:7] == ["pool1", "features", "flatten1"]


def test_a_layer_that_is_called_twice_has_two_names():
    names = layers(open_up(create_model("resnet18", 3, input_size=(32, 32, 3))))
    assert {"layer1_0.relu", "layer1_0.relu#2", "layer1_0", "features", "avgpool", "fc"} <= set(names)


def test_values_and_gradients_of_a_layer():
    model = open_up(create_model(NET, 3, input_size=(8, 6, 2), remat=True, dtype="bfloat16"))
    assert (model.dtype, model.module.remat) == ("float32", False)
    variables = model.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 8, 6, 2))
    logits, seen = look_inside(model, variables, images, ["features", "relu2"])
    np.testing.assert_array_equal(logits, model.apply(variables, images))
    np.testing.assert_array_equal(seen["features"], model.apply(variables, images, method="features"))
    kernel, bias = (variables["params"]["fc2"][name] for name in ("kernel", "bias"))
    np.testing.assert_allclose(seen["relu2"] @ kernel + bias, logits, rtol=1e-5, atol=1e-6)

    def total(added):
        return look_inside(model, variables, images, added={"relu2": added})[0][:, 1].sum()

    gradient = jax.jit(jax.grad(total))(jnp.zeros((2, 8)))
    np.testing.assert_allclose(gradient, np.stack([kernel[:, 1]] * 2), rtol=1e-6)


def test_an_unknown_layer_is_answered_by_those_there_are():
    model = open_up(create_model(NET, 3, input_size=(8, 6, 2)))
    with pytest.raises(UserError, match=r"has no layer pol1; did you mean pool1\? The layers are conv1, bn1"):
        check_layer(model, "pol1")
    with pytest.raises(UserError, match=r"has no layer zzzz\. The layers are conv1, bn1"):
        check_layer(model, "zzzz")
