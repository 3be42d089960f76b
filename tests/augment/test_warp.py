"""The affine warp against SciPy and the matrices against Keras' product."""

import jax
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats

from cnnjax.augment import geometry

affine_matrices = jax.jit(geometry.affine_matrices, static_argnums=1)
warp = jax.jit(geometry.warp, static_argnames="fill")


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@pytest.mark.parametrize("fill", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("size", [(17, 23), (8, 8)])
def test_the_warp_is_scipys(fill, size):
    images = np.random.default_rng(0).integers(0, 256, (8, *size, 2)).astype(np.uint8)
    matrices = affine_matrices(keys(8), size, rotation=180, shift=(0.9, 0.9), shear=30, zoom=0.6)
    warped = np.asarray(warp(images, matrices, fill=fill))
    center = (np.asarray(size) - 1) / 2
    for image, matrix, ours in zip(images, np.asarray(matrices, np.float64), warped, strict=True):
        linear, offset = matrix[:, :2], matrix[:, 2] + center - matrix[:, :2] @ center
        for channel in range(2):
            theirs = scipy.ndimage.affine_transform(
                image[..., channel].astype(np.float64), linear, offset, order=1, mode=fill
            )
            # One level of 255 a pixel times 1e-6 pixels of float32 rounding: noise is the hardest image there is.
            np.testing.assert_allclose(ours[..., channel], theirs, atol=2e-3)


def test_a_quarter_turn_by_hand():
    pattern = np.asarray([[1, 2, 3, 4, 5], [0, 0, 0, 0, 6], [0, 0, 9, 0, 7], [0, 0, 0, 0, 0], [8, 0, 0, 0, 0]])
    turned = np.asarray([[8, 0, 0, 0, 1], [0, 0, 0, 0, 2], [0, 0, 9, 0, 3], [0, 0, 0, 0, 4], [0, 0, 7, 6, 5]])
    cos, sin = np.float32(np.cos(np.pi / 2)), np.float32(np.sin(np.pi / 2))
    matrix = np.asarray([[[cos, -sin, 0], [sin, cos, 0]]], np.float32)
    for fill in ("constant", "nearest", "reflect", "wrap"):
        warped = warp(pattern[None, :, :, None].astype(np.float32), matrix, fill=fill)
        np.testing.assert_allclose(warped[0, :, :, 0], turned, atol=1e-4)


def keras_product(theta, down, right, shear, zx, zy):
    """The product that ImageDataGenerator.apply_transform makes, before it is centered."""
    rotation = np.asarray([[np.cos(theta), -np.sin(theta), 0], [np.sin(theta), np.cos(theta), 0], [0, 0, 1]])
    shift = np.asarray([[1, 0, down], [0, 1, right], [0, 0, 1]])
    sheared = np.asarray([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    return (rotation @ shift @ sheared @ np.diag([zx, zy, 1]))[:2]


def test_matrices_are_keras_product_and_each_part_keeps_its_draw():
    options = {"rotation": 40.0, "shift": (0.2, 0.1), "shear": 20.0, "zoom": 0.3}
    together = np.asarray(affine_matrices(keys(20), (30, 50), **options))
    alone = {name: np.asarray(affine_matrices(keys(20), (30, 50), **{name: value})) for name, value in options.items()}
    for i in range(20):
        theta = np.arctan2(alone["rotation"][i, 1, 0], alone["rotation"][i, 0, 0])
        shear = np.arcsin(-alone["shear"][i, 0, 1])
        zx, zy = np.diag(alone["zoom"][i])
        expected = keras_product(theta, *alone["shift"][i, :, 2], shear, zx, zy)
        np.testing.assert_allclose(together[i], expected, atol=1e-4)


def test_parameters_are_uniform_in_their_ranges():
    count = 2000
    turned = np.asarray(affine_matrices(keys(count), (30, 50), rotation=40))
    angles = np.rad2deg(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    assert scipy.stats.kstest(angles, scipy.stats.uniform(*(-40, 80)).cdf).pvalue > 1e-3
    shifts = np.asarray(affine_matrices(keys(count), (30, 50), shift=(0.1, 0.2)))[:, :, 2]
    assert scipy.stats.kstest(shifts[:, 0], scipy.stats.uniform(*(-3, 6)).cdf).pvalue > 1e-3
    assert scipy.stats.kstest(shifts[:, 1], scipy.stats.uniform(*(-10, 20)).cdf).pvalue > 1e-3
    zooms = np.asarray(affine_matrices(keys(count), (30, 50), zoom=0.2))
    assert scipy.stats.kstest(zooms[:, 0, 0], scipy.stats.uniform(*(0.8, 0.4)).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(zooms[:, 0, 0], zooms[:, 1, 1])[0, 1]) < 0.1
