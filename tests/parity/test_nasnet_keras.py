"""NASNet in Keras and here: the same logits with the same random weights, found by Keras' layer names."""

import jax
import numpy as np
import pytest

from cnnjax.models import create_model
from cnnjax.weights import bridge

SIDE = 75


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "theirs"), [("nasnet_a_mobile", "NASNetMobile"), ("keras/nasnet_a_large", "NASNetLarge")]
)
def test_logits(monkeypatch, name, theirs):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    net = getattr(keras.applications, theirs)((SIDE, SIDE, 3), weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, SIDE, SIDE, 3), np.float32)
    for layer in net.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.5, 1.5, layer.gamma.shape))
            layer.beta.assign(0.3 * rng.standard_normal(layer.beta.shape))
            layer.momentum = 0.0  # the statistics become those of the next pass
    net(rng.standard_normal((4, SIDE, SIDE, 3), np.float32), training=True)
    logits = np.asarray(net(images, training=False))
    spread = logits.max() - logits.min()
    assert np.abs(logits[0] - logits[1]).max() > 0.02 * spread, "the reference hardly looks at the images"

    state = {f"{layer.name}/{one.name}": np.asarray(one) for layer in net.layers for one in layer.weights}
    model = create_model(name, input_size=(SIDE, SIDE, 3))
    ours = np.asarray(jax.jit(model.apply)(bridge.read_variables(model, state, "keras"), images))
    assert np.abs(ours - logits).max() <= 1e-4 * spread
