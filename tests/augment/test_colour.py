import jax
import numpy as np
import pytest
import scipy.stats

from cnnjax.augment import colour
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics

COUNT = 3000


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), COUNT)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 3, 4, 3), np.uint8)


def statistics(channels=3):
    pixels = np.random.default_rng(1).normal(120, 40, (500, channels)) @ (np.eye(channels) + 0.5)
    return Statistics.from_moments(500, pixels.sum(0), pixels.T @ pixels)


def test_brightness_multiplies_each_picture_by_its_factor(keys, pictures):
    changed = np.asarray(colour.brightness(keys, pictures, amount=0.4))
    factors = changed.sum((1, 2, 3)) / pictures.sum((1, 2, 3))
    np.testing.assert_allclose(changed, pictures * factors[:, None, None, None], rtol=1e-4)
    assert scipy.stats.kstest(factors, scipy.stats.uniform(*(0.6, 0.8)).cdf).pvalue > 1e-3


def test_contrast_keeps_each_channels_mean(keys, pictures):
    changed = np.asarray(colour.contrast(keys, pictures, amount=0.3))
    mean = pictures.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(changed.mean((1, 2), keepdims=True), mean, atol=1e-3)
    factors = np.sqrt(((changed - mean) ** 2).sum((1, 2, 3)) / ((pictures - mean) ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(changed, mean + (pictures - mean) * factors[:, None, None, None], atol=1e-2)
    assert scipy.stats.kstest(factors, scipy.stats.uniform(*(0.7, 0.6)).cdf).pvalue > 1e-3


def test_channel_shift_moves_every_channel_by_itself(keys, pictures):
    moved = np.asarray(colour.channel_shift(keys, pictures, levels=9)) - pictures
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-4)
    assert scipy.stats.kstest(moved[:, 0, 0].ravel(), scipy.stats.uniform(*(-9, 18)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(moved[:, 0, 0].T)[0, 1]) < 0.08


def test_noise_is_normal_and_independent(keys, pictures):
    added = np.asarray(colour.noise(keys, pictures, deviation=5)) - pictures
    assert scipy.stats.kstest(added[:200].ravel(), scipy.stats.norm(*(0, 5)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(added[:, 0, 0].T)[0, 1]) < 0.08


@pytest.mark.parametrize(("scale", "power"), [("deviation", 0.5), ("variance", 1.0)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pca_colour_deviates_along_each_axis_by_the_papers_measure(keys, scale, power, channels):
    measured = statistics(channels)
    grey = np.full((COUNT, 2, 2, channels), 100, np.uint8)
    moved = np.asarray(colour.pca(keys, grey, statistics=measured, deviation=0.1, scale=scale)) - 100
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-3)
    values, axes = np.linalg.eigh(np.asarray(measured.covariance))
    along = moved[:, 0, 0] @ axes / values**power
    np.testing.assert_allclose(along.std(0), 0.1, rtol=0.05)
    assert all(scipy.stats.kstest(one, scipy.stats.norm(*(0, 0.1)).cdf).pvalue > 1e-3 for one in along.T)
    assert np.abs(np.corrcoef(along.T) - np.eye(channels)).max() < 0.08


def test_pca_of_other_channels_is_named(keys, pictures):
    with pytest.raises(UserError, match="colour axes of 5 channels, the pictures have 3"):
        colour.pca(keys, pictures, statistics=statistics(5))
