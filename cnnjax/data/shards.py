"""Prepared images on disk: `dataset.json`, and for each split shards of pixels or of encoded files.

dataset.json                    what the set is: class names, counts, statistics, digest
train-00000.npy ...             pixels: uint8 [n, H, W, C], memory-mapped when read
train-00000.array_record ...    encoded: the original files, byte for byte
train-labels.npy train-sizes.npy train-names.json
"""

import functools
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.core.statistics import Statistics
from cnnjax.data.decode import load

LIMITS = ("max_pixels", "max_bytes")
"""The options that say what is no image any more; they change nothing about one that is."""

Store = Literal["pixels", "encoded"]


@dataclass(frozen=True)
class Dataset:
    """A prepared data set; all but the images themselves is in memory, and a run folder keeps a copy.

    Attributes:
      folder: where the shards are.
      class_names: in the order of the labels.
      multi_label: labels are uint8 [n, K] instead of int32 [n].
      counts: images by split.
      shape: (height, width, channels) of every image.
      rule: how images were read (resize, size, max_value, limits), so that new ones are read alike.
      statistics: of the training split.
      digest: sha256 of the class names, the labels and the shards: what was trained on, whatever its files are called.
      skipped: names of bad images that were left out, and why.
      shards: number of images in each shard, by split.
    """

    folder: Path
    class_names: tuple[str, ...]
    multi_label: bool
    counts: Mapping[str, int]
    shape: tuple[int, int, int]
    store: Store
    rule: Mapping[str, Any]
    statistics: Statistics
    digest: str
    skipped: tuple[str, ...]
    shards: Mapping[str, tuple[int, ...]]

    @property
    def prepared(self) -> bool:
        """Whether there are images; a converted run has a description alone."""
        return bool(self.digest)

    @classmethod
    def read(cls, folder: Path) -> "Dataset":
        return cls.from_json(files.read_json(folder / "dataset.json"), folder)

    @classmethod
    def from_json(cls, document: Mapping[str, Any], folder: Path | None = None) -> "Dataset":
        values = dict(document) | {
            "folder": folder or Path(document["folder"]),
            "class_names": tuple(document["class_names"]),
            "shape": tuple(document["shape"]),
            "statistics": Statistics.from_json(document["statistics"]),
            "skipped": tuple(document["skipped"]),
            "shards": {split: tuple(counts) for split, counts in document["shards"].items()},
        }
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}

    @property
    def reading(self) -> DataConfig:
        """The options by which an image is decoded and fitted."""
        lists = {name: value for name, value in self.rule.items() if isinstance(value, list)}  # as JSON has tuples
        return DataConfig(**{**self.rule, **{name: tuple(value) for name, value in lists.items()}})

    def split(self, name: str) -> "Split":
        """Returns one split; UserError names those there are."""
        if name not in self.counts:
            raise UserError(f"the data set has no split {name}{nearest(name, self.counts)}")
        return Split(self, name)


class Split:
    """The images of one split.

    Attributes:
      shape: (height, width, channels) of every image.
      labels: int32 [n], or uint8 [n, K] with several labels an image.
      sizes: int32 [n, 2], the true (height, width) of images on a canvas; None where they fill it.
    """

    def __init__(self, dataset: Dataset, name: str):
        self.name, self.shape = name, dataset.shape
        self._dataset = dataset
        self.labels = self._load(f"{name}-labels.npy")
        self.sizes = self._load(f"{name}-sizes.npy") if dataset.rule["resize"] == "pad" else None
        counts = dataset.shards[name]
        self._starts = np.cumsum([0, *counts])
        shards = [shard_name(name, number, dataset.store) for number in range(len(counts))]
        if dataset.store == "pixels":
            self._pixels = [self._load(shard, mmap_mode="r") for shard in shards]
        elif lost := [shard for shard in shards if not (dataset.folder / shard).is_file()]:
            raise self._lost(lost[0])

    def __len__(self) -> int:
        return len(self.labels)

    def _load(self, name: str, mmap_mode: Literal["r"] | None = None) -> HostArray:
        try:
            array: HostArray = np.load(self._dataset.folder / name, mmap_mode, allow_pickle=False)
            return array
        except (OSError, ValueError, EOFError) as error:
            raise self._lost(name) from error

    def _lost(self, name: str) -> UserError:
        folder = self._dataset.folder
        return UserError(f"{folder / name} is gone or cut off; delete {folder}, and the data are prepared again")

    @functools.cached_property
    def names(self) -> list[str]:
        """Where each image came from."""
        names: list[str] = files.read_json(self._dataset.folder / f"{self.name}-names.json")
        return names

    def gather(self, indices: HostArray, out: HostArray | None = None, *, threads: int = 1) -> HostArray:
        """Returns the images at `indices`, uint8 [B, H, W, C].

        Args:
          indices: int64 [B], each in 0..n-1.
          out: filled and returned, instead of a new array.
          threads: that decode at the same time; pixels are copied in the calling thread.

        Raises:
          IndexError: an index below 0 or above n - 1.
        """
        if len(indices) and not 0 <= np.min(indices) <= np.max(indices) < len(self):
            raise IndexError(f"indices reach {np.min(indices)}..{np.max(indices)}, but {self.name} has {len(self)}")
        out = np.empty((len(indices), *self._dataset.shape), np.uint8) if out is None else out
        if self._dataset.store == "encoded":
            return self._decode(indices, out, threads)
        if len(self._pixels) == 1:
            # mode="clip" writes straight into `out`; "raise" would go through a buffer of its own.
            return np.take(self._pixels[0], indices, axis=0, out=out, mode="clip")
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        for row, (shard, index) in enumerate(zip(shards, indices - self._starts[shards], strict=True)):
            out[row] = self._pixels[shard][index]
        return out

    def _decode(self, indices: HostArray, out: HostArray, threads: int) -> HostArray:
        contents = self._contents(indices)
        reading, channels = self._dataset.reading, self._dataset.shape[2]

        def one(row: int) -> None:
            out[row] = load(contents[row], reading, self.names[indices[row]], channels)[0]

        if threads <= 1:
            for row in range(len(indices)):
                one(row)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(len(indices))))
        return out

    def _contents(self, indices: HostArray) -> list[bytes]:
        """The encoded files, read shard by shard."""
        from array_record.python.array_record_module import ArrayRecordReader

        contents: list[bytes] = [b""] * len(indices)
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        for shard in np.unique(shards):
            rows = np.flatnonzero(shards == shard)
            path = self._dataset.folder / shard_name(self.name, shard, "encoded")
            reader = ArrayRecordReader(os.fspath(path))  # one a call: a reader is not safe in two threads
            for row, content in zip(rows, reader.read((indices[rows] - self._starts[shard]).tolist()), strict=True):
                contents[row] = content
            reader.close()
        return contents


class Chosen(Split):
    """Some images of a split, as if it had no others."""

    def __init__(self, split: Split, indices: HostArray):
        self.name, self.shape, self.labels = split.name, split.shape, split.labels[indices]
        self.sizes = None if split.sizes is None else split.sizes[indices]
        self._split, self._indices = split, indices

    @functools.cached_property
    def names(self) -> list[str]:
        return [self._split.names[index] for index in self._indices]

    def gather(self, indices: HostArray, out: HostArray | None = None, *, threads: int = 1) -> HostArray:
        return self._split.gather(self._indices[indices], out, threads=threads)


def shard_name(split: str, number: int, store: Store) -> str:
    """Returns the file name of one shard."""
    return f"{split}-{number:05d}.{'npy' if store == 'pixels' else 'array_record'}"


def rule_of(config: DataConfig) -> dict[str, Any]:
    """Returns the options by which images are read, for `Dataset.rule`."""
    names = ("resize", "size", "center_crop", "interpolation", "max_value", *LIMITS)
    return {name: getattr(config, name) for name in names}
