import numpy as np
import pytest

from cnnjax.augment.normalize import normalize
from cnnjax.config import AugmentConfig
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics


def measured(pixels):
    flat = pixels.reshape(-1, pixels.shape[-1]).astype(np.float64)
    return Statistics.from_moments(len(flat), flat.sum(0), flat.T @ flat)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), np.uint8)


def test_dataset_gives_mean_0_and_deviation_1(pixels):
    normalized = np.asarray(normalize(pixels, AugmentConfig(normalize="dataset"), measured(pixels)))
    assert normalized.dtype == np.float32
    np.testing.assert_allclose(normalized.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normalized.std((0, 1, 2)), 1, atol=1e-5)


def test_mean_subtracts_and_does_not_scale(pixels):
    normalized = normalize(pixels, AugmentConfig(normalize="mean"), measured(pixels))
    np.testing.assert_allclose(normalized, pixels - pixels.mean((0, 1, 2)), atol=1e-4)


def test_unit_maps_levels_to_0_and_1(pixels):
    normalized = normalize(pixels, AugmentConfig(normalize="unit"), measured(pixels))
    np.testing.assert_allclose(normalized, pixels / 255, atol=1e-6)


def test_imagenet_figures_are_the_usual_ones(pixels):
    expected = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(
        normalize(pixels, AugmentConfig(normalize="imagenet"), measured(pixels)), expected, atol=1e-5
    )


def test_a_channel_that_never_varies_stays_finite(pixels):
    pixels[..., 1] = 7
    normalized = normalize(pixels, AugmentConfig(normalize="dataset"), measured(pixels))
    np.testing.assert_allclose(normalized[..., 1], 0, atol=1e-5)


@pytest.mark.parametrize("mode", ["dataset", "imagenet"])
def test_other_channels_than_the_figures_are_named(pixels, mode):
    with pytest.raises(UserError, match=f"normalize={mode} has figures for 3 channels, the images have 5"):
        normalize(np.zeros((1, 2, 2, 5), np.uint8), AugmentConfig(normalize=mode), measured(pixels))


def test_fixed_figures_are_the_ones_given(pixels):
    config = AugmentConfig(normalize="fixed", mean=(128.0, 0.0, 10.0), std=(128.0, 255.0, 2.0))
    expected = (pixels.astype(np.float64) - [128, 0, 10]) / [128, 255, 2]
    np.testing.assert_allclose(normalize(pixels, config, measured(pixels)), expected, atol=1e-5)
