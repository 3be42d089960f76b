import colorsys

import jax
import numpy as np
import pytest
import scipy.stats
from PIL import Image, ImageEnhance

from cnnjax.augment import color
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics

COUNT = 3000


@pytest.fixture(scope="module")
def keys():
    return jax.random.split(jax.random.key(0), COUNT)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (COUNT, 3, 4, 3), np.uint8)


def statistics(channels=3):
    pixels = np.random.default_rng(1).normal(120, 40, (500, channels)) @ (np.eye(channels) + 0.5)
    return Statistics.from_moments(500, pixels.sum(0), pixels.T @ pixels)


def test_brightness_multiplies_each_image_by_its_factor(keys, images):
    changed = np.asarray(color.brightness(keys, images, amount=0.4))
    factors = changed.sum((1, 2, 3)) / images.sum((1, 2, 3))
    np.testing.assert_allclose(changed, images * factors[:, None, None, None], rtol=1e-4)
    assert scipy.stats.kstest(factors, scipy.stats.uniform(*(0.6, 0.8)).cdf).pvalue > 1e-3


def test_contrast_keeps_each_channels_mean(keys, images):
    changed = np.asarray(color.contrast(keys, images, amount=0.3))
    mean = images.mean((1, 2), keepdims=True)
    np.testing.assert_allclose(changed.mean((1, 2), keepdims=True), mean, atol=1e-3)
    factors = np.sqrt(((changed - mean) ** 2).sum((1, 2, 3)) / ((images - mean) ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(changed, mean + (images - mean) * factors[:, None, None, None], atol=1e-2)
    assert scipy.stats.kstest(factors, scipy.stats.uniform(*(0.7, 0.6)).cdf).pvalue > 1e-3


@pytest.fixture(scope="module")
def colors():
    """Random pixels, and those where two channels or all are equal or at an end."""
    ends = np.stack(np.meshgrid(*[[0, 128, 255]] * 3), -1).reshape(-1, 3)
    drawn = np.random.default_rng(2).integers(0, 256, (165, 3))
    return np.concatenate([ends, drawn]).astype(np.uint8).reshape(1, 12, 16, 3)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
def test_saturation_is_pillows(colors, factor):
    changed = np.clip(color.saturated(colors, factor), 0, 255)[0]
    expected = np.asarray(ImageEnhance.Color(Image.fromarray(colors[0])).enhance(factor), np.float32)
    np.testing.assert_allclose(changed, expected, atol=1.6)  # Pillow rounds the gray image and the result


@pytest.mark.parametrize("turn", [-0.5, -0.21, 0.0, 0.04, 0.33, 0.5])
def test_hue_is_turned_as_by_colorsys(colors, turn):
    expected = np.empty(colors.shape)
    for place in np.ndindex(colors.shape[:3]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(colors[place] / 255))
        expected[place] = np.multiply(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), 255)
    np.testing.assert_allclose(color.with_hue_turned(colors, turn), expected, atol=1e-3)


def test_saturation_draws_one_factor_an_image(keys, images):
    changed = np.asarray(color.saturation(keys, images, amount=0.4))
    gray = (images @ np.array([0.299, 0.587, 0.114]))[..., None]
    colors = images - gray
    factors = ((changed - gray) * colors).sum((1, 2, 3)) / (colors**2).sum((1, 2, 3))
    np.testing.assert_allclose(changed, gray + factors[:, None, None, None] * colors, atol=0.01)
    assert scipy.stats.kstest(factors, scipy.stats.uniform(*(0.6, 0.8)).cdf).pvalue > 1e-3


def test_hue_draws_one_turn_an_image(keys):
    reds = np.full((COUNT, 2, 2, 3), (200, 0, 0), np.uint8)
    changed = np.asarray(color.hue(keys, reds, amount=0.1))
    np.testing.assert_allclose(changed, np.broadcast_to(changed[:, :1, :1], changed.shape), atol=1e-4)
    hues = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in changed[:, 0, 0] / 255])
    assert scipy.stats.kstest((hues + 0.5) % 1 - 0.5, scipy.stats.uniform(*(-0.1, 0.2)).cdf).pvalue > 1e-3


@pytest.mark.parametrize("change", [color.saturation, color.hue])
def test_gray_images_have_no_color_and_other_bands_are_refused(keys, change):
    gray = np.random.default_rng(3).integers(0, 256, (COUNT, 3, 4, 1), np.uint8)
    np.testing.assert_array_equal(change(keys, gray, amount=0.5), gray)
    np.testing.assert_allclose(change(keys, np.repeat(gray, 3, 3), amount=0.5), np.repeat(gray, 3, 3), atol=1e-3)
    with pytest.raises(UserError, match=f"{change.__name__} is defined for RGB, the images have 13"):
        change(keys, np.zeros((COUNT, 3, 4, 13), np.uint8), amount=0.5)


def test_channel_shift_moves_every_channel_by_itself(keys, images):
    moved = np.asarray(color.channel_shift(keys, images, levels=9)) - images
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-4)
    assert scipy.stats.kstest(moved[:, 0, 0].ravel(), scipy.stats.uniform(*(-9, 18)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(moved[:, 0, 0].T)[0, 1]) < 0.08


def test_noise_is_normal_and_independent(keys, images):
    added = np.asarray(color.noise(keys, images, deviation=5)) - images
    assert scipy.stats.kstest(added[:200].ravel(), scipy.stats.norm(*(0, 5)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(added[:, 0, 0].T)[0, 1]) < 0.08


@pytest.mark.parametrize(("scale", "power"), [("deviation", 0.5), ("variance", 1.0)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pca_color_deviates_along_each_axis_by_the_papers_measure(keys, scale, power, channels):
    measured = statistics(channels)
    gray = np.full((COUNT, 2, 2, channels), 100, np.uint8)
    moved = np.asarray(color.pca(keys, gray, statistics=measured, deviation=0.1, scale=scale)) - 100
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1, :1], moved.shape), atol=1e-3)
    values, axes = np.linalg.eigh(np.asarray(measured.covariance))
    along = moved[:, 0, 0] @ axes / values**power
    np.testing.assert_allclose(along.std(0), 0.1, rtol=0.05)
    assert all(scipy.stats.kstest(one, scipy.stats.norm(*(0, 0.1)).cdf).pvalue > 1e-3 for one in along.T)
    assert np.abs(np.corrcoef(along.T) - np.eye(channels)).max() < 0.08


def test_pca_of_other_channels_is_named(keys, images):
    with pytest.raises(UserError, match="color axes of 5 channels, the images have 3"):
        color.pca(keys, images, statistics=statistics(5))
