"""Filters against SciPy, Pillow and OpenCV, and changes and corruptions against NumPy and what they promise."""

import colorsys
import itertools

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnnjax.core import keys
from cnnjax.robustness import CHANGES, CORRUPTIONS, filters

RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (3, 20, 18, 3)).astype(np.float32)
KEYS = keys.per_image(0, "test", jnp.arange(3))


def corrupt(name, levels=LEVELS, severity=3):
    item = CORRUPTIONS[name]
    draws = keys.per_image(0, name, jnp.arange(len(levels)))
    return np.asarray(jnp.clip(item.apply(draws, jnp.asarray(levels), item.figure(levels, severity)), 0, 255))


@pytest.mark.parametrize("sigma", [0.3, 0.8, 3.0, 15.0])
def test_blur_is_scipys(sigma):
    expected = ndimage.gaussian_filter(LEVELS.astype(np.float64), (0, sigma, sigma, 0), mode="nearest", truncate=4)
    np.testing.assert_allclose(filters.blur(LEVELS, sigma), expected, atol=2e-3)


@pytest.mark.parametrize("share", [0.25, 0.6, 0.85, 0.95])
def test_pixelate_is_pillows(share):
    found = filters.pixelate(LEVELS, share)
    for levels, ours in zip(LEVELS, found, strict=True):
        image = Image.fromarray(levels.astype(np.uint8))
        small = image.resize((int(18 * share), int(20 * share)), Image.Resampling.BOX)
        expected = np.asarray(small.resize((18, 20), Image.Resampling.BOX), np.float32)
        np.testing.assert_allclose(ours, expected, atol=1.01)  # Pillow rounds to bytes between its passes


@pytest.mark.parametrize(("radius", "softness"), [(0.5, 0.6), (3, 0.1), (8, 0.5), (10, 0.5)])
def test_defocus_is_opencvs(radius, softness):
    reach, taps = (8, 3) if radius <= 8 else (10, 5)
    x, y = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-reach, reach + 1))
    kernel = (x**2 + y**2 <= radius**2).astype(np.float32)
    kernel = cv2.GaussianBlur(kernel / kernel.sum(), ksize=(taps, taps), sigmaX=softness)
    np.testing.assert_allclose(filters.disk(radius, softness), kernel, atol=1e-6)
    expected = [cv2.filter2D(levels, -1, kernel) for levels in LEVELS]
    np.testing.assert_allclose(filters.defocus(jnp.asarray(LEVELS), radius, softness), expected, atol=1e-2)


def zoom_with_scipy(image, factor):
    """Magnifies the center of an image [H, W, C], each side by itself: cut to whole pixels, enlarged, trimmed."""
    kept = [int(np.ceil(side / factor)) for side in image.shape[:2]]
    top, left = ((side - few) // 2 for side, few in zip(image.shape[:2], kept, strict=True))
    grown = ndimage.zoom(image[top : top + kept[0], left : left + kept[1]], (factor, factor, 1), order=1)
    top, left = ((many - side) // 2 for side, many in zip(image.shape[:2], grown.shape[:2], strict=True))
    return grown[top : top + image.shape[0], left : left + image.shape[1]]


@pytest.mark.parametrize("severity", range(1, 6))
@pytest.mark.parametrize("size", [(32, 32), (28, 32), (224, 224)])
def test_zoom_blur_is_scipys(size, severity):
    """Over the factors of make_cifar_c.py and make_imagenet_c.py."""
    ends, steps = ((1.06, 1.11, 1.16, 1.21, 1.26), (0.01,) * 5)
    if size == (224, 224):
        ends, steps = (1.11, 1.16, 1.21, 1.26, 1.31), (0.01, 0.01, 0.02, 0.02, 0.03)
    factors = np.arange(1, ends[severity - 1], steps[severity - 1])
    images = np.random.default_rng(severity).integers(0, 256, (2, *size, 3)).astype(np.float64)
    expected = [np.mean([image, *(zoom_with_scipy(image, factor) for factor in factors)], 0) for image in images]
    np.testing.assert_allclose(corrupt("zoom_blur", images.astype(np.float32), severity), expected, atol=1e-2)


@pytest.mark.parametrize("name", list(CHANGES))
def test_change_leaves_a_image_alone_at_its_neutral_strength(name):
    if name in ("blur", "occlusion"):
        pytest.skip("a blur or a square of no size is not defined")
    changed = CHANGES[name].apply(KEYS, jnp.asarray(LEVELS), CHANGES[name].none)
    np.testing.assert_allclose(changed, LEVELS, atol=1e-2)


def test_turn_shift_and_scale_move_what_they_should():
    square = LEVELS[:, :18]
    turned = np.asarray(CHANGES["rotation"].apply(KEYS, jnp.asarray(square), 90.0))
    for ours, image in zip(turned, square, strict=True):
        assert any(np.allclose(ours, np.rot90(image, times), atol=0.05) for times in (1, 3))
    dot = np.zeros((3, 21, 21, 1), np.float32)
    dot[:, 9:12, 9:12] = 255
    for strength in (0.1, 0.3):
        moved = np.asarray(CHANGES["translation"].apply(KEYS, jnp.asarray(dot), strength))[..., 0]
        centers = np.array([ndimage.center_of_mass(image) for image in moved]) - 10
        np.testing.assert_allclose(np.hypot(*centers.T), 21 * strength, atol=0.01)
        angles = np.arctan2(*centers.T)
        assert np.ptp(angles) > 0.1, "each in a direction of its own"
        if strength == 0.1:
            first = angles
    np.testing.assert_allclose(angles, first, atol=1e-3, err_msg="the same at every strength")
    larger = np.asarray(CHANGES["scale"].apply(KEYS, jnp.asarray(dot), 2.0))
    np.testing.assert_allclose(larger.sum((1, 2, 3)) / dot.sum((1, 2, 3)), 4, rtol=0.02)


def test_occlusion_covers_its_share_and_noise_has_its_size():
    black = jnp.zeros((8, 40, 40, 1))
    draws = keys.per_image(0, "x", jnp.arange(8))
    for strength in CHANGES["occlusion"].strengths:
        covered = np.asarray(CHANGES["occlusion"].apply(draws, black, strength)) > 0
        assert covered.mean((1, 2, 3)) == pytest.approx(strength * 255 / 256, rel=0.12)
    noisy = CHANGES["noise"].apply(draws, black + 127, 0.1) - 127
    assert float(noisy.std()) == pytest.approx(25.5, rel=0.03)


def test_brightness_and_saturation_are_those_of_hsv():
    levels = LEVELS.copy()
    levels[0, 0, 0], levels[0, 0, 1] = 0, 80  # black and gray
    figures = {"brightness": 0.15, "saturate": (1.5, 0)}
    for name in ("brightness", "saturate"):
        expected = np.empty_like(levels)
        for place in np.ndindex(levels.shape[:3]):
            hue, saturation, value = colorsys.rgb_to_hsv(*(levels[place] / 255))
            if name == "brightness":
                value = min(value + figures[name], 1)
            else:
                saturation = min(saturation * figures[name][0], 1)
            expected[place] = np.multiply(colorsys.hsv_to_rgb(hue, saturation, value), 255)
        np.testing.assert_allclose(corrupt(name, levels), expected, atol=0.01)
    gray = np.full((1, 4, 4, 3), 100, np.float32)
    reddish = np.multiply(colorsys.hsv_to_rgb(0, 0.1, 100 / 255), 255)
    np.testing.assert_allclose(corrupt("saturate", gray, 4)[0, 0, 0], reddish, atol=0.01)


def test_noise_of_corruptions_has_the_published_size():
    """On gray images of 32 x 32: CIFAR-10-C's figures of severity 3, of 224 x 224 ImageNet-C's."""
    for side, gauss, photons, impulse, speckle in ((32, 0.08, 100, 0.03, 0.12), (80, 0.18, 12, 0.09, 0.35)):
        gray = np.full((2, side, side, 3), 102, np.float32)
        assert corrupt("gaussian_noise", gray).std() == pytest.approx(255 * gauss, rel=0.06)
        shot = corrupt("shot_noise", gray)
        assert shot.mean() == pytest.approx(102, rel=0.02)
        assert shot.std() == pytest.approx(255 * (0.4 / photons) ** 0.5, rel=0.06)
        np.testing.assert_allclose(shot / 255 * photons, np.round(shot / 255 * photons), atol=1e-3)
        hit = corrupt("impulse_noise", gray)
        assert (hit == 255).mean() == pytest.approx(impulse / 2, rel=0.25)
        assert (hit == 0).mean() == pytest.approx(impulse / 2, rel=0.25)
        assert corrupt("speckle_noise", gray).std() == pytest.approx(102 * speckle, rel=0.06)


@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_severities_rise(name):
    """Each severity lies farther from the image than the one before; saturation first falls, then rises."""
    smooth = np.asarray(filters.blur(LEVELS, 1.5)) * 2 - 128
    smooth = np.clip(smooth, 0, 255).astype(np.float32)
    if CORRUPTIONS[name].channels is None:
        smooth = np.concatenate([smooth, smooth[..., :2]], 3)  # any number of channels will do
    damage = [np.abs(corrupt(name, smooth, severity) - smooth).mean() for severity in range(1, 6)]
    if name == "saturate":
        assert damage[1] > damage[0]
        assert damage[4] > damage[3] > damage[2]
    else:
        assert all(later >= before - 1e-4 for before, later in itertools.pairwise(damage)), damage
        assert damage[4] > 1.02 * damage[0]
