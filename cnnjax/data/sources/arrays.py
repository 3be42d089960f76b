"""NumPy arrays in one .npz file.

    images labels                                     one pool, which prepare splits
    x_train y_train [x_val y_val] [x_test y_test]     as Keras' mnist.npz
    train_images train_labels [val_...] [test_...]

Images are [n, H, W] or [n, H, W, C] of uint8, uint16, or fractions in 0..1; labels are integers [n] from 0, or marks
[n, K] of 0 and 1. Channels come last; wider integers may hold either range, so they are refused.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.decode import has_range
from cnnjax.data.sources import Images, Source, stamp_of, version_of

FORMS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens arrays:FILE.npz."""
    path = Path(place)
    if not path.is_file():
        raise UserError(f"there is no file {path}; config.data.source=arrays:FILE.npz needs images and labels in one")
    with _plain(path), np.load(path, allow_pickle=False) as archive:
        names = [name.removesuffix(".npy") for name in archive.zip.namelist() if name.endswith(".npy")]
        arrays = {name: _Member.of(path, name, archive) for name in names}
    pairs = {"train": ("images", "labels")} if {"images", "labels"} <= arrays.keys() else {}
    for arrays_, labels in FORMS:
        for split in ("train", "val", "test"):
            if {arrays_.format(split), labels.format(split)} <= arrays.keys():
                pairs.setdefault(split, (arrays_.format(split), labels.format(split)))
    if "train" not in pairs:
        raise UserError(
            f"{path} holds {', '.join(arrays) or 'nothing'}; name the arrays images and labels, or x_train and y_train"
        )
    splits = {}
    for split, (arrays_, labels) in pairs.items():
        images = arrays[arrays_]
        marks = _checked(path, images, arrays[labels].load(), arrays_, labels)
        names = [f"{split}/{index}" for index in range(len(marks))]
        stamp = stamp_of(str(path.absolute()), version_of(path), arrays_, labels)
        shape = (*images.shape[1:], 1)[:3]
        splits[split] = Images(marks, names, images.at, stamp, shape=(shape[0], shape[1], shape[2]))
    return Source(class_names(config, [part.labels for part in splits.values()]), splits)


@contextmanager
def _plain(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is no .npz file of plain arrays ({error}); save it with numpy.savez") from error


@dataclass
class _Member:
    """One array of the file: its header, and the rest once it is wanted, which a prepared set never does."""

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    lock: Lock = field(default_factory=Lock)
    values: HostArray | None = None

    @classmethod
    def of(cls, path: Path, name: str, archive: Any) -> "_Member":
        with archive.zip.open(f"{name}.npy") as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        return cls(path, name, shape, dtype)

    def load(self) -> HostArray:
        with self.lock, _plain(self.path):  # several threads may want the first image at once
            if self.values is None:
                with np.load(self.path, allow_pickle=False) as archive:
                    self.values = archive[self.name]
        return self.values

    def at(self, index: int) -> HostArray:
        image: HostArray = self.load()[index]
        return image


def _checked(path: Path, images: _Member, labels: HostArray, image_name: str, label_name: str) -> HostArray:
    shape = list(images.shape)
    if len(shape) not in (3, 4) or 0 in shape:
        raise UserError(f"{image_name} of {path} has shape {shape}; it must be [n, H, W] or [n, H, W, C]")
    if len(shape) == 4 and shape[1] <= 4 < shape[2] == shape[3]:
        raise UserError(
            f"{image_name} of {path} has shape {shape}, channels first; save images.transpose(0, 2, 3, 1), [n, H, W, C]"
        )
    if not has_range(images.dtype):
        raise UserError(f"{image_name} of {path} is of type {images.dtype}; save it as uint8 or uint16")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not labels.ndim or len(labels) != shape[0] or labels.ndim > 2 or labels.dtype.kind not in "uib":
        raise UserError(f"{label_name} of {path} must be {shape[0]} integers, one for each image of {image_name}")
    if labels.ndim == 2:
        if labels.max() > 1 or labels.min() < 0:
            raise UserError(f"{label_name} of {path} marks classes by numbers other than 0 and 1")
        return labels.astype(np.uint8)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high > np.iinfo(np.int32).max:  # before the conversion, which would wrap
        raise UserError(f"{label_name} of {path} holds {low if low < 0 else high}; labels count from 0")
    return labels.astype(np.int32)


def class_names(config: DataConfig, labels: list[HostArray]) -> tuple[str, ...]:
    """Returns config.data.class_names, or the numbers of the classes where it is empty; then each must have an image.

    Args:
      labels: of each split.
    """
    if len({part.shape[1:] for part in labels}) > 1:
        raise UserError(
            f"the splits of {config.source} have labels of different forms; give all of them integers, "
            "or all of them marks for the same classes"
        )
    several = labels[0].ndim == 2
    count = labels[0].shape[1] if several else 1 + max(int(part.max()) for part in labels)
    if config.class_names:
        if len(config.class_names) < count or (several and len(config.class_names) != count):
            raise UserError(
                f"config.data.class_names gives {len(config.class_names)} names, but the labels go up to {count - 1}"
            )
        return config.class_names
    there = np.unique(np.concatenate(labels)) if not several else np.arange(count)
    if len(there) < count:
        gap = int(np.flatnonzero(np.append(there, -1) != np.arange(len(there) + 1))[0])
        raise UserError(
            f"no image of {config.source} has the label {gap}, though labels go up to {count - 1}; "
            "count the classes from 0 without gaps, or name all of them with config.data.class_names"
        )
    return tuple(map(str, range(count)))
