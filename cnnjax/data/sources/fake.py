"""Synthetic images in the shape of ImageNet, made from their index: to try a recipe where no data are."""

import re
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import keys
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.sources import Images, Source

COUNTS = {"train": 2048, "val": 256, "test": 256}


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens fake:imagenet (256 x 256 x 3, 1,000 classes) or fake:HxWxC,CLASSES."""
    form = re.fullmatch(r"(\d+)x(\d+)x(\d+),(\d+)", "256x256x3,1000" if place == "imagenet" else place)
    if not form or not all(int(number) for number in form.groups()):
        raise UserError(f"config.data.source=fake:{place} must be fake:imagenet or fake:HxWxC,CLASSES")
    height, width, channels, classes = map(int, form.groups())
    names = tuple(f"class {number:04d}" for number in range(classes))
    shape = (height, width, channels)
    return Source(names, {split: _split(number, split, shape, classes) for number, split in enumerate(COUNTS)})


def _split(number: int, split: str, shape: tuple[int, int, int], classes: int) -> Images:
    count = COUNTS[split]
    labels = (np.arange(count) % classes).astype(np.int32)
    names = [f"{split}/{index}" for index in range(count)]

    def read(index: int) -> HostArray:
        """A color gradient that belongs to the class, under noise that belongs to the image."""
        height, width, channels = shape
        of_class = keys.generator(int(labels[index]), "fake class").random((3, channels))
        rows, columns = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
        image = 200 * (of_class[0] + rows * (of_class[1] - of_class[0])) * (0.3 + 0.7 * columns * of_class[2])
        noise = keys.generator(number, "fake image", index).integers(0, 56, shape)
        return (image + noise).astype(np.uint8)

    return Images(labels, names, read, f"fake {shape} {classes} {count}")
