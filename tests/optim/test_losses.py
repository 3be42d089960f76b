"""Losses against the worked figures of the decks, scikit-learn and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from cnnjax.core.errors import UserError
from cnnjax.optim import LOSSES, penalties, probabilities, smooth

LOGITS = jnp.array([[3.0, 1, -1, -1], [3, 3, 1, 0], [1, 1, 1, 1], [3, 2, 3, -1]])


def test_softmax_cross_entropy_of_the_worked_example():
    losses = LOSSES["softmax"](LOGITS, jnp.eye(4))
    np.testing.assert_allclose(losses, [0.16, 0.78, 1.386, 4.87], atol=0.005)
    picks = jnp.diagonal(probabilities(LOGITS, "softmax"))
    np.testing.assert_allclose(picks, [0.85, 0.46, 0.25, 0.01], atol=0.005)


def test_softmax_does_not_see_a_constant_and_bears_large_scores():
    plain = LOSSES["softmax"](LOGITS, jnp.eye(4))
    np.testing.assert_allclose(LOSSES["softmax"](LOGITS + 100, jnp.eye(4)), plain, atol=1e-4)
    np.testing.assert_allclose(LOSSES["softmax"](LOGITS * 1e4, jnp.eye(4))[3], 4e4 + np.log(2), rtol=1e-6)
    assert np.isfinite(jax.grad(lambda x: LOSSES["softmax"](x, jnp.eye(4)).sum())(LOGITS * 1e30)).all()


def test_sigmoid_cross_entropy_is_the_mean_binary_log_loss_over_labels():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(5, 7)) * 3, rng.integers(0, 2, (5, 7))
    expected = [log_loss(row, expit(x), labels=[0, 1]) for row, x in zip(targets, logits, strict=True)]
    ours = LOSSES["sigmoid"](jnp.float32(logits), jnp.float32(targets))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_sigmoid_cross_entropy_bears_large_scores():
    loss, grad = jax.value_and_grad(lambda x: LOSSES["sigmoid"](x, jnp.array([[0.0, 1.0]])).sum())(
        jnp.array([[1e4, -1e4]])
    )
    assert loss == 1e4
    np.testing.assert_allclose(grad, [[0.5, -0.5]])


def test_squared_error_is_half_the_sum_of_squares():
    ours = LOSSES["mse"](jnp.array([[1.0, 2.0, 4.0]]), jnp.array([[0.0, 0.0, 1.0]]))
    np.testing.assert_array_equal(ours, [(1 + 4 + 9) / 2])


def test_smoothing_spreads_its_share_over_all_classes():
    """Szegedy's own numbers: 0.1 over 1000 classes leaves the true one 0.9001."""
    ours = smooth(jnp.eye(1000)[:2], 0.1)
    np.testing.assert_allclose(ours[0, :2], [0.9001, 0.0001], rtol=1e-5)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(smooth(jnp.eye(3), 0.0), jnp.eye(3))


def test_probabilities_of_sigmoids():
    x = np.array([[-2.0, 0.5, 3.0]], np.float32)
    np.testing.assert_allclose(probabilities(x, "sigmoid"), expit(x), rtol=1e-6)


def test_one_sigmoid_output_is_two_classes():
    x = np.array([[-2.0], [0.0], [40.0]], np.float32)
    both = probabilities(x, "sigmoid")
    np.testing.assert_allclose(both, np.hstack([expit(-x), expit(x)]), rtol=1e-5)
    assert both[2, 0] > 0  # 1 - p would be 0


def test_probabilities_of_least_squares_outputs():
    outputs = np.array([[1.0, 0.25, 0.0, -0.1], [-3.0, -1.0, -2.0, -4.0]], np.float32)
    ours = np.asarray(probabilities(outputs, "mse"))
    np.testing.assert_allclose(ours[0], [0.8, 0.2, 0, 0], atol=1e-5)
    np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-6)
    assert (ours > 0).all()
    np.testing.assert_array_equal(np.argsort(ours), np.argsort(outputs))


def test_margin_loss_of_worked_lengths():
    """By hand: the present class is 0.4 short of 0.9, absent ones are 0.2 and 0.9 above 0.1, or at most 0.1."""
    lengths = jnp.array([[0.5, 0.3, 0.05], [0.95, 0.1, 0.0], [0.0, 1.0, 0.0]])
    ours = LOSSES["margin"](lengths, jnp.eye(3)[jnp.array([0, 0, 0])])
    np.testing.assert_allclose(ours, [0.16 + 0.5 * 0.04, 0, 0.81 + 0.5 * 0.81], rtol=1e-6)
    both = LOSSES["margin"](lengths[:1], jnp.array([[1.0, 1.0, 0.0]]))  # two classes at once
    np.testing.assert_allclose(both, [0.16 + 0.36], rtol=1e-6)
    slope = jax.grad(lambda x: LOSSES["margin"](x, jnp.eye(3)[:1]).sum())(lengths[:1])
    np.testing.assert_allclose(slope, [[-0.8, 0.2, 0]], rtol=1e-6)


def test_probabilities_of_lengths_are_their_odds():
    """Of independent events of which exactly one happens: P(k) is v_k times the product of the others' 1 - v."""
    lengths = np.array([[0.9, 0.1, 0.1, 0.05], [0.2, 0.3, 0.4, 0.6]])
    absent = 1 - lengths
    alone = lengths / absent * absent.prod(1, keepdims=True)
    ours = probabilities(jnp.float32(lengths), "margin")
    np.testing.assert_allclose(ours, alone / alone.sum(1, keepdims=True), rtol=1e-5)


def test_probabilities_of_lengths_keep_their_rank():
    rng = np.random.default_rng(0)
    lengths = rng.permuted(np.tile(np.float32([0, 1e-9, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 2**-20]), (50, 1)), axis=1)
    outputs = rng.normal(size=(50, 8)).astype(np.float32)  # of a model whose outputs are no lengths
    for values in (lengths, outputs):
        ours = np.asarray(probabilities(values, "margin"))
        assert (ours > 0).all()
        np.testing.assert_array_equal(np.argsort(ours), np.argsort(values))
        np.testing.assert_allclose(ours.sum(1), 1, rtol=1e-5)


def test_every_loss_has_probabilities():
    for name in LOSSES:
        assert probabilities(LOGITS, name).shape == LOGITS.shape
    with pytest.raises(UserError, match="unknown loss hinge"):
        probabilities(LOGITS, "hinge")


def test_penalties_are_over_weights_alone():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(3, 4)), rng.normal(size=(2, 2, 4, 5))]
    params = {
        "fc": {"kernel": jnp.float32(kernels[0]), "bias": jnp.full(4, 9.0)},
        "block": {"conv1": {"kernel": jnp.float32(kernels[1])}, "bn1": {"scale": jnp.full(5, 9.0)}},
    }
    flat = np.concatenate([kernel.ravel() for kernel in kernels])
    expected = 0.1 * np.abs(flat).sum() + 0.3 * (flat**2).sum() / 2
    np.testing.assert_allclose(penalties(params, l1=0.1, l2=0.3), expected, rtol=1e-6)
    np.testing.assert_allclose(penalties(params, l1=0.0, l2=0.3), 0.3 * (flat**2).sum() / 2, rtol=1e-6)
    assert penalties(params, l1=0.0, l2=0.0) == 0
    slope = jax.grad(lambda tree: penalties(tree, l1=0.1, l2=0.3))(params)
    np.testing.assert_allclose(slope["fc"]["kernel"], 0.1 * np.sign(kernels[0]) + 0.3 * kernels[0], rtol=1e-5)
    assert not slope["fc"]["bias"].any()
