"""The order of the operations, whose draws depend on what, and evaluation's frame."""

import colorsys
import dataclasses
import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.augment import eval_pipeline, train_pipeline
from cnnjax.config import AugmentConfig
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics
from cnnjax.evaluation.views import VIEWS

EVERYTHING = AugmentConfig(
    preset="strong",
    pad=2,
    vertical_flip=True,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=0.1,
    noise=3,
    pca=0.1,
    erase=0.5,
)
RESIZED = AugmentConfig(crop="resized", flip=True, pca=0.1)
UNIT = AugmentConfig(crop="center", normalize="unit")


def statistics(channels=3):
    pixels = np.random.default_rng(1).normal(120, 40, (500, channels)) @ (np.eye(channels) + 0.2)
    return Statistics.from_moments(500, pixels.sum(0), pixels.T @ pixels)


@pytest.fixture(scope="module")
def batch():
    """Eight images of noise, their targets, and positions late in a run."""
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), np.uint8)
    return images, np.eye(8, dtype=np.float32), np.arange(8, dtype=np.int32) + 1_000_000


@functools.cache
def built(config, *, seed=3, channels=3, plain=False):
    pipeline = train_pipeline(config, seed=seed, statistics=statistics(channels), input_size=(16, 16), plain=plain)
    return jax.jit(pipeline)


@pytest.mark.parametrize("config", [EVERYTHING, RESIZED])
def test_a_image_does_not_depend_on_its_batch(batch, config):
    images, targets, positions = batch
    run = built(config)
    whole, _ = run(images, targets, positions)
    parts = [run(images[part], targets[part], positions[part])[0] for part in (slice(0, 4), slice(4, 8))]
    np.testing.assert_allclose(whole, np.concatenate(parts), atol=1e-5)
    order = np.asarray([5, 2, 7, 0, 1, 6, 3, 4])
    np.testing.assert_allclose(run(images[order], targets, positions[order])[0], whole[order], atol=1e-5)


def test_draws_follow_seed_and_position(batch):
    images, targets, positions = batch
    first, other = built(RESIZED), built(RESIZED, seed=4)
    result, _ = first(images, targets, positions)
    np.testing.assert_array_equal(result, first(images, targets, positions)[0])
    assert (np.abs(result - other(images, targets, positions)[0]).max((1, 2, 3)) > 0.1).all()
    assert (np.abs(result - first(images, targets, positions + 8)[0]).max((1, 2, 3)) > 0.1).all()
    same = np.broadcast_to(images[:1], images.shape)
    assert len(np.unique(np.asarray(first(same, targets, positions)[0]), axis=0)) == 8


def test_switching_one_operation_leaves_the_draws_of_the_others(batch):
    images, targets, positions = batch
    cropped, _ = built(AugmentConfig(normalize="unit"))(images, targets, positions)
    flipped, _ = built(AugmentConfig(normalize="unit", flip=True))(images, targets, positions)
    erased, _ = built(AugmentConfig(normalize="unit", erase=1.0))(images, targets, positions)
    as_cropped, mirrored = ((np.asarray(flipped) == one).all((1, 2, 3)) for one in (cropped, cropped[:, :, ::-1]))
    assert (as_cropped != mirrored).all()
    assert as_cropped.any()
    assert mirrored.any()
    assert ((np.asarray(erased) == cropped).mean((1, 2, 3)) > 0.5).all()
    # An image of one gray shows brightness alone, whatever else moves its pixels about.
    gray = np.full_like(images, 100)
    alone, _ = built(dataclasses.replace(UNIT, brightness=0.5))(gray, targets, positions)
    moved = AugmentConfig(
        normalize="unit", brightness=0.5, contrast=0.4, flip=True, vertical_flip=True, rotation=30, zoom=0.2
    )
    among_others, _ = built(moved)(gray, targets, positions)
    np.testing.assert_allclose(alone, among_others, atol=1e-5)


def test_levels_are_clipped_except_by_pca_alone():
    white, targets = np.full((64, 16, 16, 3), 255, np.uint8), np.zeros((64, 2), np.float32)
    positions = np.arange(64, dtype=np.int32)
    run = built(dataclasses.replace(UNIT, brightness=0.5, pca=0.1, noise=5))
    assert run(white, targets, positions)[0].max() == 1
    pale = np.broadcast_to(np.asarray([255, 240, 240], np.uint8), white.shape)
    assert built(dataclasses.replace(UNIT, saturation=1.0, hue=0.1))(pale, targets, positions)[0].max() <= 1
    assert built(dataclasses.replace(UNIT, pca=0.5))(white, targets, positions)[0].max() > 1.05


def test_hue_turns_each_image_as_a_whole_behind_brightness(batch):
    """Largest and smallest channel stay, and all pixels are turned by one angle, none by that of another channel."""
    dark = batch[0] // 2
    lit, _ = built(dataclasses.replace(UNIT, brightness=0.5))(dark, *batch[1:])
    turned, _ = built(dataclasses.replace(UNIT, brightness=0.5, hue=0.2))(dark, *batch[1:])
    np.testing.assert_allclose(turned.max(-1), lit.max(-1), atol=1e-5)
    np.testing.assert_allclose(turned.min(-1), lit.min(-1), atol=1e-5)
    hues = [np.apply_along_axis(lambda pixel: colorsys.rgb_to_hsv(*pixel)[0], -1, images) for images in (lit, turned)]
    turns = (hues[1] - hues[0] + 0.5) % 1 - 0.5
    vivid = np.ptp(np.asarray(lit), -1) > 0.02
    middle = [np.median(one[chosen]) for one, chosen in zip(turns, vivid, strict=True)]
    for one, chosen, turn in zip(turns, vivid, middle, strict=True):
        np.testing.assert_allclose(one[chosen], turn, atol=1e-4)
    assert np.abs(middle).max() <= 0.2
    assert np.ptp(middle) > 0.1


def test_mixing_comes_last(batch):
    images, targets, positions = batch
    plain, _ = built(AugmentConfig())(images, targets, positions)
    mixed, mixed_targets = built(AugmentConfig(mixup=1.0))(images, targets, positions)
    weight = np.diag(mixed_targets)[:, None, None, None]
    np.testing.assert_allclose(mixed, weight * plain + (1 - weight) * np.roll(plain, 1, 0), atol=1e-4)
    np.testing.assert_allclose(mixed_targets.sum(1), 1, atol=1e-6)


def test_one_trace_for_all_batches(batch):
    images, targets, positions = batch
    traces = []
    pipeline = train_pipeline(
        dataclasses.replace(RESIZED, cutmix=1.0), seed=0, statistics=statistics(), input_size=(16, 16)
    )
    run = jax.jit(lambda *arrays: (traces.append(1), pipeline(*arrays))[1])
    for step in range(3):
        arrays_, _ = run(images, targets, positions + 8 * step)
        assert arrays_.dtype == jnp.float32
        assert arrays_.shape == (8, 16, 16, 3)
    assert len(traces) == 1


@pytest.mark.parametrize("config", [EVERYTHING, RESIZED])
def test_devices_share_a_batch_without_talking(batch, config):
    sharding = NamedSharding(Mesh(np.asarray(jax.devices()), ("batch",)), PartitionSpec("batch"))
    shared = jax.device_put(batch, sharding)
    run = built(config)
    program = run.lower(*shared).compile().as_text()
    for talk in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert talk not in program
    np.testing.assert_allclose(run(*shared)[0], run(*batch)[0], atol=1e-4)


def test_mixing_is_the_same_on_a_shared_batch(batch):
    sharding = NamedSharding(Mesh(np.asarray(jax.devices()), ("batch",)), PartitionSpec("batch"))
    run = built(AugmentConfig(mixup=0.4, cutmix=1.0))
    for ours, expected in zip(run(*jax.device_put(batch, sharding)), run(*batch), strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_any_number_of_channels(batch):
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 13), np.uint8)
    arrays, _ = built(AugmentConfig(preset="strong", pca=0.1, contrast=0.1), channels=13)(images, *batch[1:])
    assert arrays.shape == (8, 16, 16, 13)
    assert np.isfinite(arrays).all()
    with pytest.raises(UserError, match="hue is defined for RGB, the images have 13 channels"):
        jax.eval_shape(built(AugmentConfig(hue=0.1), channels=13), images, *batch[1:])


@pytest.mark.parametrize("crop", ["random", "center", "resized"])
def test_plain_is_what_evaluation_sees(batch, crop):
    config = dataclasses.replace(EVERYTHING, crop=crop, mixup=1.0)
    for sizes in (None, np.full((8, 2), (17, 19), np.int32)):
        plain, targets = built(config, plain=True)(*batch, sizes)
        seen = eval_pipeline(config, statistics=statistics(), input_size=(16, 16), views=VIEWS["single"])(
            batch[0], sizes
        )
        np.testing.assert_array_equal(plain, seen[0])
        np.testing.assert_array_equal(targets, batch[1])


def test_evaluation_of_prepared_images_is_the_center_crop(batch):
    run = eval_pipeline(
        AugmentConfig(normalize="unit"), statistics=statistics(), input_size=(16, 16), views=VIEWS["ten_crop"]
    )
    views = run(batch[0])
    assert views.shape == (10, 8, 16, 16, 3)
    np.testing.assert_allclose(views[0], batch[0][:, 2:18, 2:18] / 255, atol=1e-6)
    np.testing.assert_allclose(views[4], batch[0][:, 4:, 4:] / 255, atol=1e-6)


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (56, 56)])
def test_a_canvas_is_resized_by_its_shorter_side_and_cut(size):
    canvas = np.zeros((1, 64, 64, 3), np.uint8)
    canvas[0, : size[0], : size[1]] = np.random.default_rng(0).integers(0, 256, (*size, 3))
    config = dataclasses.replace(UNIT, crop="resized", eval_resize=0.875)
    run = eval_pipeline(config, statistics=statistics(), input_size=(28, 28), views=VIEWS["single"])
    short, (top, left) = min(size), ((size[0] - min(size)) // 2, (size[1] - min(size)) // 2)
    square = canvas[0, top : top + short, left : left + short].astype(np.float32)
    expected = cv2.resize(square, (32, 32), interpolation=cv2.INTER_LINEAR)[2:30, 2:30]
    np.testing.assert_allclose(run(canvas, np.asarray([size], np.int32))[0, 0], expected / 255, atol=1e-4)


@pytest.mark.parametrize("crop", ["random", "center", "resized"])
def test_training_takes_nothing_from_beyond_a_image_on_its_canvas(crop):
    canvas = np.full((64, 40, 40, 3), 255, np.uint8)
    canvas[:, :22, :31] = 10
    sizes = np.full((64, 2), (22, 31), np.int32)
    run = built(AugmentConfig(crop=crop, normalize="unit"))
    images, _ = run(canvas, np.zeros((64, 2), np.float32), np.arange(64, dtype=np.int32), sizes)
    np.testing.assert_allclose(images, np.full((64, 16, 16, 3), 10 / 255), atol=1e-5)


def test_images_smaller_than_the_input_are_refused_while_tracing(batch):
    sentence = "images are 20 x 20 but the model's input is 32 x 32; set config.data.resize and config.data.size"
    for config in (AugmentConfig(), AugmentConfig(crop="center"), AugmentConfig(pad=5)):
        with pytest.raises(UserError, match=sentence):
            jax.eval_shape(train_pipeline(config, seed=0, statistics=statistics(), input_size=(32, 32)), *batch)
    evaluation = eval_pipeline(AugmentConfig(), statistics=statistics(), input_size=(32, 32), views=VIEWS["single"])
    with pytest.raises(UserError, match=sentence):
        jax.eval_shape(evaluation, batch[0])
    padded = train_pipeline(AugmentConfig(pad=6), seed=0, statistics=statistics(), input_size=(32, 32))
    assert jax.eval_shape(padded, *batch)[0].shape == (8, 32, 32, 3)


def test_a_canvas_at_another_scale_is_resized_once():
    canvas = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    config = dataclasses.replace(UNIT, crop="resized", eval_resize=0.875)
    run = eval_pipeline(config, statistics=statistics(), input_size=(28, 28), views=VIEWS["single"])
    expected = cv2.resize(canvas[0].astype(np.float32), (48, 48), interpolation=cv2.INTER_LINEAR)[10:38, 10:38]
    np.testing.assert_allclose(run(canvas, np.asarray([[64, 64]], np.int32), 1.5)[0, 0], expected / 255, atol=1e-4)
