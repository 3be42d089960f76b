"""Where images come from: each file here turns one kind of source into `Source`, with nothing decoded yet."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.data.decode import BadImageError
from cnnjax.data.listing import read_file


@dataclass(frozen=True)
class Images:
    """One split as the source has it.

    Attributes:
      labels: int32 [n], or uint8 [n, K] with several labels an image.
      names: where each image comes from, for errors and lists.
      read: index -> an encoded file, or an array [H, W] or [H, W, C]; called from several threads.
      stamp: what identifies the contents, cheaply: names, sizes and times of files, or a digest of arrays.
      nbytes: of all encoded files; 0 where images are arrays.
      versions: what tells each image from an earlier one of its name; empty where the stamp is all there is.
      shape: (height, width, channels) of every image, where it is known without reading one.
    """

    labels: HostArray
    names: Sequence[str]
    read: Callable[[int], bytes | HostArray]
    stamp: str
    nbytes: int = 0
    versions: Sequence[object] = ()
    shape: tuple[int, int, int] | None = None

    def take(self, indices: HostArray) -> "Images":
        """Returns some of the images."""
        numbers = [int(index) for index in indices]
        return Images(
            labels=self.labels[indices],
            names=[self.names[number] for number in numbers],
            read=lambda index: self.read(numbers[index]),
            stamp=f"{self.stamp} {stamp_of(numbers)}",
            nbytes=self.nbytes * len(numbers) // max(len(self.labels), 1),
            versions=[self.versions[number] for number in numbers] if self.versions else (),
            shape=self.shape,
        )

    def stamp_at(self, indices: Sequence[int]) -> str:
        """What identifies some of the images, whatever becomes of the others."""
        if not self.versions:
            return stamp_of(self.stamp, list(indices))
        return stamp_of([(self.names[index], self.versions[index]) for index in indices])


@dataclass(frozen=True)
class Source:
    """Class names in the order of the labels, and some of the splits train, val, test (train always)."""

    class_names: tuple[str, ...]
    splits: Mapping[str, Images]


KINDS = {
    "digits": "digits",
    "mnist": "named",
    "fashion_mnist": "named",
    "cifar10": "named",
    "cifar100": "named",
    "folder": "folder",
    "zip": "folder",
    "table": "table",
    "arrays": "arrays",
    "idx": "idx",
    "tfds": "tfds",
    "fake": "fake",
}
"""The module of each kind; each has open_source(kind, where, config, data_dir)."""

WITH_PLACE = {"folder", "zip", "table", "arrays", "idx", "tfds", "fake"}


def open_source(config: DataConfig, data_dir: Path) -> Source:
    """Opens what `config.source` names; $VARIABLES and ~ in it are filled in unless there is such a place.

    Raises:
      UserError: no such kind, no such place, or nothing in it that can be trained on.
    """
    kind, _, where = config.source.partition(":")
    if kind not in KINDS:
        raise UserError(f"config.data.source={config.source} is of no known kind{nearest(kind, KINDS)}")
    if bool(where) != (kind in WITH_PLACE):
        form = f"{kind}:PLACE" if kind in WITH_PLACE else kind
        raise UserError(f"config.data.source={config.source} must have the form {form}")
    # A folder may really be called cash$x.
    place = where if os.path.exists(where) else os.path.expandvars(os.path.expanduser(where))
    if "$" in place and not os.path.exists(place):
        name = place.partition("$")[2].partition("/")[0].strip("{}")
        raise UserError(
            f"config.data.source={config.source}: the environment variable {name} is not set; "
            "set it to the folder of the images, or give config.data.source=folder:PATH"
        )
    source: Source = import_module(f"cnnjax.data.sources.{KINDS[kind]}").open_source(kind, place, config, data_dir)
    if len(source.class_names) < 2:
        raise UserError(f"{config.source} has only one class, {source.class_names[0]}; a classifier needs two or more")
    return source


def stamp_of(*parts: object) -> str:
    """sha256 (hex) of what is given, by its text; arrays by their type, shape and bytes."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            sha.update(f"{part.dtype} {part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        else:
            sha.update(repr(part).encode())
    return sha.hexdigest()


def from_arrays(images: HostArray, labels: HostArray, prefix: str) -> Images:
    """Images that are in memory already: images [n, H, W] or [n, H, W, C]."""
    names = [f"{prefix}/{index}" for index in range(len(images))]
    return Images(labels, names, lambda index: images[index], stamp_of(images, labels))


def from_files(paths: Sequence[Path], labels: HostArray, root: Path, limit: int) -> Images:
    """Images that are files; at most `limit` + 1 bytes of each are read, enough to see that it is too large."""
    names = [os.path.relpath(path, root) for path in paths]
    versions = [version_of(path) for path in paths]

    def read(index: int) -> bytes:
        try:
            return read_file(paths[index], limit)
        except UserError as error:
            raise BadImageError(names[index], str(error)) from error

    nbytes = sum(size for size, _ in versions)
    return Images(labels, names, read, stamp_of(names, versions), nbytes, versions)


def version_of(path: Path) -> tuple[int, int]:
    """(bytes, time of the last change); zeros for a link that leads nowhere, which is told by name when it is read."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
