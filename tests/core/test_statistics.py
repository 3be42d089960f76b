"""Moments against numpy.cov and numpy.linalg."""

import dataclasses
import json

import numpy as np
import pytest

from cnnjax.core.statistics import Moments, Statistics


def moments(pixels):
    return len(pixels), pixels.sum(0), pixels.T @ pixels


@pytest.fixture
def pixels():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(5000, 3)) @ np.array([[40, 30, 20], [0, 15, -10], [0, 0, 4]]) + 120
    return np.clip(mixed, 0, 255).astype(np.uint8).astype(np.int64)


def test_statistics_are_those_of_numpy(pixels):
    ours = Statistics.from_moments(*moments(pixels))
    np.testing.assert_allclose(ours.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(ours.std, pixels.std(0), rtol=1e-9)
    covariance = np.cov(pixels, rowvar=False, bias=True)
    np.testing.assert_allclose(ours.covariance, covariance, rtol=1e-9)
    values = np.sort(np.linalg.eigvals(covariance))[::-1]
    np.testing.assert_allclose(ours.eigenvalues, values, rtol=1e-9)
    vectors = np.array(ours.eigenvectors)
    np.testing.assert_allclose(covariance @ vectors, vectors * values, atol=1e-7)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)


def test_sign_of_an_axis_does_not_depend_on_the_order_of_channels(pixels):
    ours = np.array(Statistics.from_moments(*moments(pixels)).eigenvectors)
    turned = np.array(Statistics.from_moments(*moments(pixels[:, ::-1])).eigenvectors)
    np.testing.assert_allclose(turned[::-1], ours, atol=1e-9)
    assert (ours[np.abs(ours).argmax(0), range(3)] > 0).all()


def test_one_channel_and_flat_images():
    flat = Statistics.from_moments(*moments(np.full((100, 3), 77)))
    assert flat.std == flat.eigenvalues == (0.0, 0.0, 0.0)
    gray = Statistics.from_moments(*moments(np.arange(256)[:, None]))
    np.testing.assert_allclose([*gray.mean, *gray.std], [127.5, np.arange(256).std()])
    assert gray.eigenvectors == ((1.0,),)


def test_json_round_trip(pixels):
    ours = Statistics.from_moments(*moments(pixels))
    assert Statistics.from_json(json.loads(json.dumps(dataclasses.asdict(ours)))) == ours


@pytest.mark.parametrize("shape", [(7, 5, 1), (300, 400, 3), (70, 50, 13)])
@pytest.mark.parametrize("white", [False, True])
def test_moments_are_exact(shape, white):
    """All white, more than 65,536 pixels would not fit into 32 bits together."""
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8) if not white else np.full(shape, 255, np.uint8)
    ours = Moments(shape[2])
    ours.add(image)
    ours.add(image[:3])
    count, total, products = moments(np.concatenate([image, image[:3]]).reshape(-1, shape[2]).astype(np.int64))
    assert ours.count == count
    np.testing.assert_array_equal(ours.total, total)
    np.testing.assert_array_equal(ours.products, products)
