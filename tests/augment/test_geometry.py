"""Crops, mirrors and boxes against NumPy, Pillow and OpenCV."""

import cv2
import jax
import numpy as np
import pytest
import scipy.stats
from PIL import Image

from cnnjax.augment import geometry

resample = jax.jit(geometry.resample, static_argnames="size")
resized_boxes = jax.jit(geometry.resized_boxes, static_argnames=("scale", "ratio"))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def numbered(count, height, width):
    """Images whose pixels say where they were: 1000 * row + column + 1."""
    one = 1000 * np.arange(height)[:, None] + np.arange(width) + 1.0
    return np.broadcast_to(one[None, :, :, None], (count, height, width, 1)).astype(np.float32)


def photograph(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def test_center_crop_is_pillows_where_torchvision_cuts():
    image = photograph(12, 15)
    cropped = geometry.center_crop(image[None], (6, 8))
    np.testing.assert_array_equal(cropped[0], np.asarray(Image.fromarray(image).crop((4, 3, 12, 9))))


@pytest.mark.parametrize("pad", [0, 2])
def test_random_crop_is_a_window_of_the_padded_image(pad):
    images = numbered(40, 9, 11)
    crops = np.asarray(geometry.random_crop(keys(40), images, size=(8, 8), pad=pad))
    padded = np.pad(images[0, :, :, 0], pad)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8)).reshape(-1, 8, 8)
    assert all((windows == crop[:, :, 0]).all((1, 2)).sum() == 1 for crop in crops)
    assert len(np.unique(crops, axis=0)) > (15 if pad else 5)


def test_padding_may_reflect():
    images = numbered(30, 6, 7)
    crops = np.asarray(geometry.random_crop(keys(30), images, size=(6, 7), pad=2, fill="reflect"))
    padded = np.pad(images[0, :, :, 0], 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (6, 7)).reshape(-1, 6, 7)
    assert all((windows == crop[:, :, 0]).all((1, 2)).any() for crop in crops)
    assert len(np.unique(crops, axis=0)) > 10


def test_all_places_of_a_random_crop_are_equally_likely():
    count = 5000
    crops = np.asarray(geometry.random_crop(keys(count), numbered(count, 8, 9), size=(4, 5)))
    places, seen = np.unique(crops[:, 0, 0, 0], return_counts=True)
    assert len(places) == 25
    assert scipy.stats.chisquare(seen).pvalue > 1e-3


@pytest.mark.parametrize(
    ("axis", "transpose"), [(2, Image.Transpose.FLIP_LEFT_RIGHT), (1, Image.Transpose.FLIP_TOP_BOTTOM)]
)
def test_mirror_is_pillows_for_half_of_the_images(axis, transpose):
    image = photograph(5, 7)
    mirrored = np.asarray(geometry.mirror(keys(1000), np.stack([image] * 1000), axis=axis))
    expected = np.asarray(Image.fromarray(image).transpose(transpose))
    chosen = (mirrored == expected).all((1, 2, 3))
    assert (mirrored[~chosen] == image).all()
    assert scipy.stats.binomtest(int(chosen.sum()), 1000).pvalue > 1e-3


@pytest.mark.parametrize("size", [(20, 24), (9, 7), (31, 5)])
def test_a_resampled_box_is_what_opencv_resizes(size):
    images = np.stack([photograph(40, 50, seed=seed) for seed in range(3)])
    boxes = np.asarray([[0, 0, 40, 50], [3, 8, 21, 17], [30, 1, 1, 40]], np.float32)
    resampled = resample(images, boxes, size=size)
    for image, (top, left, height, width), ours in zip(images, boxes.astype(int), resampled, strict=True):
        cut = image[top : top + height, left : left + width].astype(np.float32)
        np.testing.assert_allclose(ours, cv2.resize(cut, size[::-1], interpolation=cv2.INTER_LINEAR), atol=0.01)


def test_an_enlarged_box_is_what_pillow_resizes():
    image = photograph(20, 20)
    ours = resample(image[None], np.asarray([[2, 4, 9, 11]], np.float32), size=(32, 48))
    theirs = Image.fromarray(image[2:11, 4:15]).resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(ours[0], np.asarray(theirs, np.float32), atol=1.01)  # Pillow rounds twice


def torchvision_boxes(generator, height, width, scale, ratio, count):
    """RandomResizedCrop.get_params, one try after the other."""
    found = []
    for _ in range(count):
        for _ in range(10):
            area = height * width * generator.uniform(*scale)
            aspect = np.exp(generator.uniform(*np.log(ratio)))
            w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                found.append((generator.integers(0, height - h + 1), generator.integers(0, width - w + 1), h, w))
                break
        else:
            w, h = width, height
            if width / height < ratio[0]:
                h = round(w / ratio[0])
            elif width / height > ratio[1]:
                w = round(h * ratio[1])
            found.append(((height - h) // 2, (width - w) // 2, h, w))
    return np.asarray(found, float)


@pytest.mark.parametrize("size", [(100, 100), (60, 200), (90, 50)])
def test_resized_boxes_are_spread_as_torchvisions(size):
    count, scale, ratio = 3000, (0.08, 1.0), (3 / 4, 4 / 3)
    boxes = np.asarray(resized_boxes(keys(count), np.full((count, 2), size), scale=scale, ratio=ratio))
    assert (boxes == np.round(boxes)).all()
    assert (boxes >= [0, 0, 1, 1]).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= size).all()
    theirs = torchvision_boxes(np.random.default_rng(0), *size, scale, ratio, count)
    for ours, reference in [(boxes.T[i], theirs.T[i]) for i in range(4)] + [
        (boxes[:, 2:].prod(1), theirs[:, 2:].prod(1))
    ]:
        assert scipy.stats.ks_2samp(ours, reference).pvalue > 1e-3


def test_where_no_box_fits_the_largest_centerd_one_is_taken():
    sizes = np.asarray([[100, 100], [40, 300], [100, 250]])
    boxes = resized_boxes(keys(3), sizes, scale=(1.0, 1.0), ratio=(2.0, 3.0))
    np.testing.assert_array_equal(boxes[:2], [[25, 0, 50, 100], [0, 90, 40, 120]])
    # The third image's own aspect is allowed, but no candidate has exactly its area and shape: it is taken whole.
    np.testing.assert_array_equal(boxes[2], [0, 0, 100, 250])


def test_box_mask_covers_the_pixels_of_the_box():
    mask = geometry.box_mask(np.asarray([[1, 2, 2, 3], [0, 0, 0, 4]], np.float32), size=(4, 6))
    expected = np.zeros((2, 4, 6, 1), bool)
    expected[0, 1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


def test_scaled_boxes_have_vgg_s_scales_and_lie_inside():
    images = 4000
    sizes = np.tile([[300, 400], [500, 333]], (images // 2, 1))
    boxes = np.asarray(geometry.scaled_boxes(keys(images), sizes, size=(224, 112), shorter=(256, 512)))
    scale = 224 / boxes[:, 2]
    np.testing.assert_allclose(112 / boxes[:, 3], scale, rtol=1e-5)
    drawn = scale * sizes.min(1)  # what the shorter side becomes
    assert 256 - 1e-3 <= drawn.min() < 262
    assert 506 < drawn.max() <= 512 + 1e-3
    assert abs(drawn.mean() - 384) < 5
    room = sizes - boxes[:, 2:]
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] <= room + 1e-3).all()
    np.testing.assert_allclose((boxes[:, :2] / room).mean(0), 0.5, atol=0.02)


@pytest.mark.parametrize("box", [(-2e-5, 0, 8, 9), (0, -2e-5, 8, 9), (0, 0, 9, 9), (0, 0, 8, 10), (1, 1, 8, 9)])
def test_no_pixel_is_taken_from_beyond_the_image(box):
    """Boxes leave it by rounding, and by a pixel where XLA rounds a side twice and differently."""
    image = np.zeros((1, 8, 9, 1), np.float32)
    image[0, 7] = image[0, :, 8] = 1  # what an index beyond an edge would read: the opposite edge
    seen = resample(image, np.asarray([box], np.float32), size=(24, 27))[0, ..., 0]
    rows = np.clip(box[0] + (np.arange(24) + 0.5) * box[2] / 24 - 0.5, max(box[0], 0), min(box[0] + box[2], 8) - 1)
    columns = np.clip(box[1] + (np.arange(27) + 0.5) * box[3] / 27 - 0.5, max(box[1], 0), min(box[1] + box[3], 9) - 1)
    edge = 1 - np.clip(7 - rows, 0, 1)[:, None] * np.clip(8 - columns, 0, 1)  # how much of it is dark
    np.testing.assert_allclose(seen, edge, atol=1e-6)


def test_a_draw_times_a_count_stays_below_it():
    """Places are floor(u n): the largest float32 that is drawn is 1 - 2^-23."""
    counts = np.arange(1, 1 << 17).astype(np.float32)
    assert (np.floor(np.float32(1 - 2**-23) * counts) == counts - 1).all()
    drawn = np.asarray(jax.random.uniform(jax.random.key(0), (1 << 22,)))
    assert drawn.max() <= 1 - 2**-23
    assert (drawn * 2**23 % 1 == 0).all(), "a draw has 23 bits"
