"""MobileNet V1 in Keras and here: the same logits with the same random weights, found by Keras' layer names."""

import jax
import numpy as np
import pytest

from cnnjax.models import create_model
from cnnjax.weights import bridge

# 75 pixels: at odd sides Keras pads a pixel behind and none before, where TensorFlow's rule has one on either side.
CASES = [
    pytest.param("mobilenet_v1_025", 0.25, 75, marks=pytest.mark.slow),
    pytest.param("mobilenet_v1_050", 0.5, 96, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("name", "width", "side"), CASES)
def test_logits_of_mobilenet(monkeypatch, name, width, side):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    net = keras.applications.MobileNet((side, side, 3), alpha=width, weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    state = {}
    for layer in net.layers:
        for variable in layer.weights:
            drawn = rng.standard_normal(variable.shape)
            if variable.name == "kernel":
                # A depthwise kernel is [height, width, channels, 1], and sees one of the channels.
                seen = np.prod(variable.shape[:2]) if variable.shape[3] == 1 else np.prod(variable.shape[:3])
                drawn *= (2 / seen) ** 0.5
            elif variable.name in ("gamma", "moving_variance"):
                drawn = rng.uniform(0.5, 1.5, variable.shape)
            else:
                drawn *= 0.3
            variable.assign(drawn)
            state[f"{layer.name}/{variable.name}"] = np.asarray(variable)
    images = rng.standard_normal((2, side, side, 3), np.float32)
    theirs = np.asarray(jax.jit(lambda arrays: net(arrays, training=False))(images))
    spread = theirs.max() - theirs.min()
    assert np.abs(theirs[0] - theirs[1]).max() > 0.02 * spread, "the reference hardly looks at the images"

    model = create_model(name, input_size=(side, side, 3))
    ours = np.asarray(jax.jit(model.apply)(bridge.read_variables(model, state, "keras"), images))
    assert np.abs(ours - theirs).max() <= 1e-4 * spread
