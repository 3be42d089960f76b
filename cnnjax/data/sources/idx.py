"""The idx format of MNIST and Fashion-MNIST: big-endian headers before plain bytes, gzipped or not."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.sources import Source, from_arrays
from cnnjax.data.sources.arrays import class_names

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens idx:FOLDER with the four files of MNIST, each with or without .gz."""
    folder = Path(place)
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}; config.data.source=idx:FOLDER needs {FILES['train'][0]} and others"
        )
    splits = {}
    for split, names in FILES.items():
        images, labels = (parse(content(find(folder, name)), name) for name in names)
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise UserError(f"{names[0]} and {names[1]} in {folder} do not fit together; fetch them again")
        splits[split] = from_arrays(images, labels.astype(np.int32), split)
    return Source(class_names(config, [part.labels for part in splits.values()]), splits)


def find(folder: Path, name: str) -> Path:
    """Returns the file of a name, gzipped or not, also where the last dash is a dot, as unpackers write it."""
    for candidate in (name, name.replace("-idx", ".idx")):
        for path in (folder / candidate, folder / f"{candidate}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{folder} has no {name} (.gz); put the file there")


def content(path: Path) -> bytes:
    """Returns a file's bytes, inflated if need be."""
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); fetch it again") from error


def parse(data: bytes, name: str) -> HostArray:
    """Reads one idx file of unsigned bytes."""
    if data[:3] != b"\0\0\x08" or len(data) < 4 + 4 * data[3]:
        raise UserError(f"{name} is no idx file of bytes; fetch it again")
    dimensions = data[3]
    shape = struct.unpack_from(f">{dimensions}I", data, 4)
    values = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
    if values.size != int(np.prod(shape)):
        raise UserError(f"{name} has {values.size} values, but its header says {int(np.prod(shape))}; fetch it again")
    return values.reshape(shape)
