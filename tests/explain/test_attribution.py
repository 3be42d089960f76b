"""Attributions where one can say by hand what they must be, and against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core.errors import UserError
from cnnjax.explain import cams, pixels
from cnnjax.explain.methods import METHODS
from cnnjax.models import create_model
from cnnjax.models.inside import open_up
from cnnjax.models.vit import Row, VisionTransformer
from tests.explain.conftest import SQUARE

TARGET = jnp.array([1])


def net(pattern, size=(9, 7, 2), classes=3, seed=0):
    model = open_up(create_model(f"plain:{pattern}", classes, input_size=size))
    variables = model.init(jax.random.key(seed))
    images = jax.random.normal(jax.random.key(seed + 1), (3, *size))
    return model, variables, images, jnp.array([0, 2, 1])


@pytest.mark.parametrize("name", METHODS)
def test_every_map_peaks_inside_the_planted_square(planted, name):
    model, variables, image = planted
    options = (
        {"layer": "features"} if METHODS[name].layered else {"window": 3, "stride": 1} if name == "occlusion" else {}
    )
    values = np.asarray(METHODS[name].maps(model, variables, image, TARGET, **options))[0]
    assert values.shape == (24, 24)
    row, column = np.unravel_index(values.argmax(), values.shape)
    inside = np.zeros_like(values, bool)
    inside[SQUARE] = True
    assert inside[row, column]
    assert values[inside].sum() > 0.5 * np.abs(values).sum()


def test_cam_is_the_dense_layers_row_and_grad_cam_its_positive_part():
    model, variables, images, targets = net("conv6 >> relu >> pool >> conv5 >> relu >> gap")
    maps = np.asarray(model.apply(variables, images, method="features"))
    dense = {name: np.asarray(leaf) for name, leaf in variables["params"]["fc1"].items()}
    expected = np.stack([maps[i] @ dense["kernel"][:, target] for i, target in enumerate(targets)])
    found = np.asarray(cams.cam(model, variables, images, targets))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    logits = np.asarray(pixels.score(model.apply(variables, images), targets))
    np.testing.assert_allclose(found.mean((1, 2)) + dense["bias"][np.asarray(targets)], logits, rtol=1e-4, atol=1e-5)
    graded = np.asarray(cams.grad_cam(model, variables, images, targets, "features"))
    np.testing.assert_allclose(graded * maps.shape[1] * maps.shape[2], np.maximum(expected, 0), rtol=1e-4, atol=1e-5)


def test_grad_cam_plus_plus_by_the_paper():
    """Equations 10 and 19 in NumPy; with a mean and a dense layer the gradient of the logit is known."""
    model, variables, images, targets = net("conv6 >> relu >> conv5 >> relu >> gap")
    maps = np.asarray(model.apply(variables, images, method="features"), np.float64)
    kernel = np.asarray(variables["params"]["fc1"]["kernel"], np.float64)
    for i, target in enumerate(targets):
        slope = kernel[:, target] / (maps.shape[1] * maps.shape[2])
        alphas = slope**2 / (2 * slope**2 + maps[i].sum((0, 1)) * slope**3)
        weights = alphas * np.maximum(slope, 0) * maps.shape[1] * maps.shape[2]
        expected = np.maximum(maps[i] @ weights, 0)
        found = cams.grad_cam_plus_plus(model, variables, images, targets, "features")[i]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("pattern", ["conv4 >> relu >> fc6 >> relu", "conv4 >> relu >> gap >> fc6 >> relu"])
def test_cam_refuses_other_heads(pattern):
    model, variables, images, targets = net(pattern)
    with pytest.raises(UserError, match="take grad_cam"):
        cams.cam(model, variables, images, targets)


def test_a_hidden_layer_by_hand():
    model, variables, images, targets = net("fc8 >> relu", size=(4, 3, 2))
    first, second = (np.asarray(variables["params"][name]["kernel"]) for name in ("fc1", "fc2"))
    flat = np.asarray(images).reshape(3, -1)
    on = flat @ first + np.asarray(variables["params"]["fc1"]["bias"]) > 0
    upper = second[:, np.asarray(targets)].T
    for method, passed in ((pixels.saliency, upper), (pixels.guided_backprop, np.maximum(upper, 0))):
        expected = np.abs((on * passed) @ first.T).reshape(3, 4, 3, 2).max(-1)
        np.testing.assert_allclose(method(model, variables, images, targets), expected, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_are_complete():
    model, variables, images, targets = net("conv8 >> relu >> pool >> fc16 >> tanh")
    baseline = jnp.full(images.shape[1:], -0.3)
    maps = pixels.integrated_gradients(model, variables, images, targets, baseline, steps=64)
    ends = [pixels.score(model.apply(variables, x), targets) for x in (images, baseline + 0 * images)]
    np.testing.assert_allclose(maps.sum((1, 2)), ends[0] - ends[1], rtol=1e-2, atol=1e-2)


def test_smoothgrad_averages_what_noise_changes():
    model, variables, images, targets = net("fc8 >> relu", size=(4, 3, 2))
    plain = pixels.saliency(model, variables, images, targets)
    same = pixels.smoothgrad(model, variables, images, targets, noise=0.0, draws=2)
    np.testing.assert_allclose(same, plain, rtol=1e-5, atol=1e-7)
    other = pixels.smoothgrad(model, variables, images, targets, noise=0.5, draws=2)
    assert not np.allclose(other, plain, rtol=1e-2)
    linear = net("flatten", size=(4, 3, 2))
    np.testing.assert_allclose(
        pixels.smoothgrad(*linear, noise=0.5, draws=2), pixels.saliency(*linear), rtol=1e-5, atol=1e-7
    )


def test_occlusion_against_a_loop():
    model, variables, images, targets = net("conv4 >> relu >> gap", size=(9, 7, 2))
    found = pixels.occlusion(model, variables, images, targets, window=3, stride=2, fill=0.5)
    whole = np.asarray(pixels.score(model.apply(variables, images), targets))
    total, count = np.zeros((3, 9, 7)), np.zeros((9, 7))
    for top in (0, 2, 4, 6):
        for left in (0, 2, 4):
            covered = np.array(images)
            covered[:, top : top + 3, left : left + 3] = 0.5
            lost = whole - np.asarray(pixels.score(model.apply(variables, covered), targets))
            total[:, top : top + 3, left : left + 3] += lost[:, None, None]
            count[top : top + 3, left : left + 3] += 1
    np.testing.assert_allclose(found, total / count, rtol=1e-4, atol=1e-5)


def test_one_output_for_two_classes():
    logits = jnp.array([[2.0], [-3.0]])
    assert pixels.score(logits, jnp.array([1, 0])).tolist() == [2.0, 3.0]


class SmallTransformer(VisionTransformer):
    row: Row = Row(patch=8, depth=2, width=16, heads=2)


def test_what_a_transformer_looks_at_is_found_before_its_head_has_learned():
    """Its head sees the class token alone, and begins at zero, where no score depends on anything."""
    model = open_up(create_model(f"{__name__}:SmallTransformer", 4, input_size=(32, 32, 3)))
    variables, images = model.init(jax.random.key(0)), jnp.ones((1, 32, 32, 3))
    assert not np.any(variables["params"]["fc"]["kernel"])
    untrained = cams.default_layer(model, variables, images, TARGET)
    variables["params"]["fc"]["kernel"] = jax.random.normal(jax.random.key(1), (16, 4))
    assert untrained == cams.default_layer(model, variables, images, TARGET)
    assert "encoder_layer_1" in untrained
