"""Attacks against a softmax regression, whose gradient NumPy writes down, and a small model, whose loss has curves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from cnnjax.core.errors import UserError
from cnnjax.optim import ATTACKS, adversaries
from cnnjax.optim.losses import softmax_cross_entropy

SHAPE = (6, 5, 4, 2)
RNG = np.random.default_rng(0)
PIXELS = RNG.random(SHAPE, np.float32)
TARGETS = np.eye(3, dtype=np.float32)[np.arange(6) % 3]
WEIGHTS = RNG.standard_normal((40, 3), np.float32)
HIDDEN = RNG.standard_normal((40, 16), np.float32), RNG.standard_normal((16, 3), np.float32)


def regression(pixels):
    return softmax_cross_entropy(pixels.reshape(len(pixels), -1) @ WEIGHTS, TARGETS)


def net(pixels):
    return softmax_cross_entropy(jnp.tanh(pixels.reshape(len(pixels), -1) @ HIDDEN[0]) @ HIDDEN[1], TARGETS)


@functools.cache
def compiled(name, loss):
    def run(pixels, epsilon):
        keys = jax.random.split(jax.random.key(0), len(pixels))
        return adversaries(loss, pixels, attack=ATTACKS[name], epsilon=epsilon, steps=10, keys=keys)

    return jax.jit(run)


def attack(name, loss=regression, pixels=PIXELS, epsilon=0.1):
    return np.asarray(compiled(name, loss)(pixels, epsilon))


def gradient(pixels):
    logits = pixels.reshape(len(pixels), -1).astype(np.float64) @ WEIGHTS
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return ((shares / shares.sum(1, keepdims=True) - TARGETS) @ WEIGHTS.T).reshape(pixels.shape)


def lengths(change):
    return np.sqrt(np.square(change.astype(np.float64)).sum((1, 2, 3)))


def test_one_step_is_the_gradient_of_the_regression():
    slope = gradient(PIXELS)
    expected = np.clip(PIXELS + 0.1 * np.sign(slope), 0, 1)
    np.testing.assert_allclose(attack("fgsm"), expected, atol=1e-6)
    expected = np.clip(PIXELS + 0.1 * slope / lengths(slope)[:, None, None, None], 0, 1)
    np.testing.assert_allclose(attack("fgsm_l2"), expected, atol=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.03, 0.5, 2.0])
@pytest.mark.parametrize("name", list(ATTACKS))
def test_no_change_exceeds_epsilon_or_leaves_the_pixels(name, epsilon):
    moved = attack(name, net, epsilon=epsilon)
    assert moved.min() >= 0
    assert moved.max() <= 1
    change = moved.astype(np.float64) - PIXELS
    largest = np.abs(change).max((1, 2, 3)) if ATTACKS[name].norm == "linf" else lengths(change)
    assert (largest <= epsilon + 1e-6).all()
    if 0 < epsilon < 0.1:
        assert (largest > 0.9 * epsilon).all(), "and the ball is used"


@pytest.mark.parametrize("norm", ["", "_l2"])
def test_many_steps_are_at_least_as_strong_as_one(norm):
    for loss in (regression, net):
        one, many = (np.asarray(loss(attack(name + norm, loss, epsilon=0.2))) for name in ("fgsm", "pgd"))
        before = np.asarray(loss(PIXELS))
        assert many.mean() >= one.mean() > before.mean() + 0.5


def test_a_target_is_approached():
    goal = np.eye(3, dtype=np.float32)[(np.arange(6) + 1) % 3]

    def chance(pixels):
        return -softmax_cross_entropy(pixels.reshape(len(pixels), -1) @ WEIGHTS, goal)

    moved = attack("pgd", chance, epsilon=0.3)
    assert ((moved.reshape(6, -1) @ WEIGHTS).argmax(1) == goal.argmax(1)).all()


def test_steps_begin_anywhere_in_the_ball():
    """A loss without a slope leaves every image at its random start; in the middle of the pixels nothing is cut."""
    pixels = np.full((400, 3, 2, 1), 0.5, np.float32)

    def flat(pixels):
        return 0 * pixels.sum((1, 2, 3))

    change = attack("pgd", flat, pixels, epsilon=0.2) - pixels
    assert stats.kstest(change.ravel(), stats.uniform(-0.2, 0.4).cdf).pvalue > 0.01
    change = attack("pgd_l2", flat, pixels, epsilon=0.2) - pixels
    assert stats.kstest((lengths(change) / 0.2) ** 6, "uniform").pvalue > 0.01
    assert abs(change.mean(0)).max() < 0.02


def test_tiny_gradients_still_have_a_direction():
    moved = attack("fgsm_l2", lambda pixels: 1e-25 * regression(pixels))
    np.testing.assert_allclose(moved, attack("fgsm_l2"), atol=1e-5)


def test_one_step_of_pgd_is_fast_adversarial_training():
    assert ATTACKS["pgd"].step_size(0.2, 1) == pytest.approx(0.25)
    assert ATTACKS["pgd"].step_size(0.2, 10) == pytest.approx(0.05)
    with pytest.raises(UserError, match="unknown attack fgsn; did you mean fgsm"):
        _ = ATTACKS["fgsn"]
