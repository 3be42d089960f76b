import numpy as np
import pytest
from PIL import Image

from cnnjax.core.errors import UserError
from cnnjax.evaluation.views import VIEWS


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 12, 14, 3), np.uint8)


def test_single_is_the_center(images):
    views = VIEWS["single"](images, (8, 6))
    assert views.shape == (1, 2, 8, 6, 3)
    expected = Image.fromarray(images[1]).crop((4, 2, 10, 10))
    np.testing.assert_array_equal(views[0, 1], np.asarray(expected))


def test_ten_crop_is_alexnets(images):
    views = VIEWS["ten_crop"](images, (8, 6))
    assert views.shape == (10, 2, 8, 6, 3)
    for image in range(2):
        pixels = Image.fromarray(images[image])
        crops = [pixels.crop((x, y, x + 6, y + 8)) for x, y in [(4, 2), (0, 0), (8, 0), (0, 4), (8, 4)]]
        crops += [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in crops]
        np.testing.assert_array_equal(views[:, image], np.stack([np.asarray(crop) for crop in crops]))


def test_mirror_shift_moves_by_a_pixel_over_reflected_edges(images):
    views = np.asarray(VIEWS["mirror_shift"](images, (12, 14)))
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    expected = [images, wide[:, :12, :14], wide[:, 2:, 2:]]
    np.testing.assert_array_equal(views, np.stack([*expected, *(view[:, :, ::-1] for view in expected)]))


def test_an_unknown_view_offers_the_nearest():
    with pytest.raises(UserError, match="did you mean ten_crop"):
        VIEWS["ten_crops"]
