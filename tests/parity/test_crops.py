"""Images reach a converted model pixel by pixel as through the transforms that its library has for the weights."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from cnnjax.augment import eval_pipeline
from cnnjax.augment.normalize import as_levels
from cnnjax.data.decode import load
from cnnjax.evaluation.views import VIEWS
from cnnjax.models import create_model
from cnnjax.models.cards import published_weights
from cnnjax.runs import convert as converted

SIZES = [(375, 500), (500, 333), (400, 533), (427, 640), (351, 351), (612, 430), (301, 447), (640, 373)]


def odd_rows(source):
    """(name, row) of all weights whose margin is no multiple of four, so that cutting twice may be off by a pixel."""
    for name, rows in sorted(published_weights().items()):
        for row in rows:
            if row.source == source and (int(row.side / row.crop + 1e-3) - row.side) % 4:
                yield name, row


def one_of_each(source):
    """The first row of each side, resized side, rule and interpolation."""
    found = {}
    for name, row in odd_rows(source):
        found.setdefault((row.side, int(row.side / row.crop + 1e-3), row.resize, row.interpolation), (name, row))
    return list(found.values())


def photograph(height, width):
    """Something like a photograph: smooth areas, edges and a little noise."""
    rng = np.random.default_rng(height * width)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 13, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 8, (height, width, 3))
    noisy[height // 3 : height // 2, width // 4 : width // 2] += 90
    return np.clip(noisy, 0, 255).astype(np.uint8)


def as_we_do(name, row, images):
    """What a run of `cnnjax convert` shows its model, in pixel values of 0-255."""
    model = create_model(name, input_size=(row.side, row.side, 3))
    config, dataset = converted._describe(model, row, ("a",))
    views = eval_pipeline(
        as_levels(config.augment), statistics=dataset.statistics, input_size=(row.side,) * 2, views=VIEWS["single"]
    )
    prepared = [load(image, config.reading, "an image", 3)[0] for image in images]
    return np.asarray(views(np.stack(prepared)))[0].astype(np.uint8)


def check(name, row, transform):
    images = [photograph(*size) for size in SIZES]
    expected = np.stack([transform(Image.fromarray(image)) for image in images])
    np.testing.assert_array_equal(as_we_do(name, row, images), expected)


@pytest.mark.parametrize(("name", "row"), one_of_each("torchvision"))
def test_images_are_cropped_as_by_torchvisions_transforms(torch_libraries, name, row):
    from torchvision import models

    preset = models.get_model_weights(name.rpartition("/")[2])[row.tag].transforms()
    mean, std = (np.asarray(values)[:, None, None] for values in (preset.mean, preset.std))

    def transform(image):
        levels = (preset(image).numpy() * std + mean) * 255
        np.testing.assert_allclose(levels, levels.round(), atol=1e-3)
        return levels.round().astype(np.uint8).transpose(1, 2, 0)

    check(name, row, transform)


@pytest.mark.parametrize(("name", "row"), one_of_each("timm"))
def test_images_are_cropped_as_by_timms_transforms(torch_libraries, name, row):
    from timm.data import create_transform, resolve_data_config
    from timm.models import get_pretrained_cfg

    theirs = dataclasses.asdict(get_pretrained_cfg(row.tag))
    options = [resolve_data_config(pretrained_cfg=theirs, use_test_size=test) for test in (False, True)]
    chosen = next(one for one in options if one["input_size"][1] == row.side and abs(one["crop_pct"] - row.crop) < 0.01)
    transform = create_transform(**chosen, normalize=False)
    check(name, row, lambda image: transform(image).numpy().transpose(1, 2, 0))
