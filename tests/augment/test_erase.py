import jax
import numpy as np
import pytest
import scipy.stats

from cnnjax.augment import erase as room

erase = jax.jit(room.erase)

COUNT, SIDE = 1500, 40


@pytest.fixture(scope="module")
def erased():
    """Images of a level that does not exist, so that every pixel that was erased shows."""
    keys = jax.random.split(jax.random.key(0), COUNT)
    return np.asarray(erase(keys, np.full((COUNT, SIDE, SIDE, 1), 300.0, np.float32), probability=0.5))


def rectangles(erased):
    for image in erased[..., 0]:
        rows, columns = np.where(image != 300)
        if len(rows):
            yield np.ptp(rows) + 1, np.ptp(columns) + 1, len(rows)


def test_half_of_the_images_lose_one_whole_rectangle_each(erased):
    found = list(rectangles(erased))
    assert scipy.stats.binomtest(len(found), COUNT).pvalue > 1e-3
    assert all(height * width == count for height, width, count in found)


def test_area_and_aspect_are_the_papers(erased):
    height, width, count = np.asarray(list(rectangles(erased))).T
    share, aspect = count / SIDE**2, np.log(width / height)
    slack = 1 + 2 / np.minimum(height, width)  # sides are whole pixels
    assert (share <= 0.33 * slack).all()
    assert (share >= 0.02 / slack).all()
    assert (np.abs(aspect) <= np.log(slack / 0.3)).all()
    assert share.max() > 0.3
    assert share.min() < 0.04
    assert abs(aspect.mean()) < 0.1


def test_erased_pixels_are_uniform_levels(erased):
    values = erased[erased != 300]
    assert (values == np.round(values)).all()
    assert (values.min(), values.max()) == (0, 255)
    assert scipy.stats.chisquare(np.bincount(values.astype(int), minlength=256)).pvalue > 1e-3


def test_bytes_stay_bytes():
    keys = jax.random.split(jax.random.key(1), 4)
    images = np.full((4, 9, 9, 13), 7, np.uint8)
    changed = erase(keys, images, probability=1.0)
    assert changed.dtype == np.uint8
    assert (np.asarray(changed) != 7).any((1, 2, 3)).all()
