"""airbench94: its whitening by NumPy, its parts by what the paper says of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.models import create_model
from cnnjax.models.airbench import HEAD_STEP, Group, Whitening

KEY = jax.random.key(0)


def correlated(count=40, side=8):
    """Smooth images, as photographs are: neighbors and channels are alike."""
    noise = np.random.default_rng(0).normal(size=(count, side + 3, side + 3, 3))
    smooth = sum(noise[:, i : i + side, j : j + side] for i in range(4) for j in range(4))
    return np.float32(smooth + smooth.mean(3, keepdims=True))


def test_the_first_batch_makes_patches_white_and_later_ones_change_nothing():
    layer, images = Whitening(), correlated()
    variables = layer.init(KEY, images)
    before = layer.apply(variables, images) - variables["params"]["bias"]
    np.testing.assert_allclose(before[..., :3], images[:, :-1, :-1], atol=1e-6)

    outputs, changed = layer.apply(variables, images, train=True, mutable=["batch_stats"])
    rows = np.asarray(outputs - variables["params"]["bias"], np.float64).reshape(-1, 24)
    np.testing.assert_allclose(rows[:, 12:], -rows[:, :12], atol=1e-5)
    patches = np.concatenate([images[:, i : i + 7, j : j + 7] for i in (0, 1) for j in (0, 1)], -1).reshape(-1, 12)
    values = np.linalg.eigvalsh(patches.T.astype(np.float64) @ patches / len(patches))
    np.testing.assert_allclose(rows[:, :12].T @ rows[:, :12] / len(rows), np.diag(values / (values + 5e-4)), atol=2e-3)

    _, again = layer.apply({**variables, **changed}, images[:7] * 3, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(again["batch_stats"]["kernel"], changed["batch_stats"]["kernel"])


@pytest.mark.parametrize("level", [0.0, -1.0, 200.0])
def test_images_of_one_color_leave_finite_kernels(level):
    """All eigenvalues but one are zero, give or take a rounding of the largest, which exceeds eps."""
    layer, images = Whitening(), np.full((32, 16, 16, 3), level, np.float32)
    _, changed = layer.apply(layer.init(KEY, images), images, train=True, mutable=["batch_stats"])
    assert np.isfinite(changed["batch_stats"]["kernel"]).all()
    assert np.abs(changed["batch_stats"]["kernel"]).max() <= 5e-4**-0.5 * (1 + 1e-5)


def test_counts_and_maps():
    shapes = create_model("airbench94").shapes()
    kernels = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert trees.size(shapes["params"]) == kernels + 24 + 2 * (64 + 256 + 256) + 256 * 10
    assert trees.size(shapes["batch_stats"]) == 2 * 2 * (64 + 256 + 256) + 4 * 3 * 24 + 1
    features = jax.eval_shape(
        lambda v, x: create_model("airbench94").apply(v, x, method="features"), shapes, jnp.zeros((5, 32, 32, 3))
    )
    assert features.shape == (5, 3, 3, 256)


def test_convolutions_begin_by_passing_their_inputs_on():
    images = np.random.default_rng(0).normal(size=(1, 6, 6, 5)).astype(np.float32)
    kernel = Group(8).init(KEY, images)["params"]["conv1"]["kernel"]
    np.testing.assert_array_equal(
        kernel[..., :5], np.eye(5) * np.eye(3)[1][:, None, None, None] * np.eye(3)[1][:, None, None]
    )
    assert np.abs(kernel[..., 5:]).max() == pytest.approx((9 * 5) ** -0.5, rel=0.05)


def test_the_head_moves_as_at_jordans_rates():
    """A step of 0.053 here changes the logits as one of 0.67 does on weights of deviation 1 over 256 features."""
    model = create_model("airbench94")
    kernel = jax.random.normal(KEY, (256, 10)) / HEAD_STEP
    features = jax.random.normal(jax.random.key(1), (4, 1, 1, 256))

    def logits(kernel):
        return model.apply({"params": {"fc": {"kernel": kernel}}, "batch_stats": {}}, features, method="head")

    target = np.random.default_rng(2).normal(size=(4, 10))
    gradient = jax.grad(lambda kernel: (logits(kernel) * target).sum())(kernel)
    ours = logits(kernel - 0.053 * gradient) - logits(kernel)
    flat = np.asarray(features, np.float64).reshape(4, 256)
    theirs = flat @ (-0.67 * (flat / 256).T @ target) / 256
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_the_largest_features_pass_their_gradient_on_however_xla_fuses():
    """XLA may round a value otherwise where it computes it twice; then no value of a map equals its largest."""
    model = create_model("airbench94")
    variables = model.init(KEY)
    images = jax.random.normal(jax.random.key(1), (1, 32, 32, 3))
    features, back = jax.vjp(jax.jit(lambda images: model.apply(variables, images, method="features")), images)
    of_features = jax.grad(lambda features: model.apply(variables, features, method="head")[0, 0])(features)
    expected = back(of_features)[0]
    found = jax.jit(jax.grad(lambda images: model.apply(variables, images)[0, 0]))(images)
    assert np.count_nonzero(of_features) == features.shape[-1]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("side", [3, 12])  # 144 places are more than an index of 8 bits counts
def test_each_feature_is_learned_where_it_is_largest(side):
    model, kernel = create_model("airbench94"), jax.random.normal(KEY, (256, 10))
    features = jax.random.normal(jax.random.key(1), (2, side, side, 256))

    def logit(features):
        variables = {"params": {"fc": {"kernel": kernel}}, "batch_stats": {}}
        return model.apply(variables, features, method="head")[:, 0].sum()

    gradient = np.asarray(jax.grad(logit)(features)).reshape(2, -1, 256)
    assert (np.count_nonzero(gradient, 1) == 1).all()
    np.testing.assert_array_equal(np.abs(gradient).argmax(1), np.asarray(features).reshape(2, -1, 256).argmax(1))
