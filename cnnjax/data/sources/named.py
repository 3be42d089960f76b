"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 by name: found under the data folder, or fetched from their homes.

What is found is held against a pinned digest, whoever put it there. CIFAR is read in its binary form: the Python form
is a pickle, which can run code.
"""

import hashlib
import http.client
import tarfile
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.logs import progress
from cnnjax.data.sources import Images, Source, from_arrays
from cnnjax.data.sources.idx import FILES, content, find, parse

TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Home:
    """Where a set lives.

    Attributes:
      address: the folder of its files on the web, with the last slash.
      digests: sha256 of each file; of gzipped idx files that of the contents, since copies are often compressed anew.
    """

    address: str
    digests: dict[str, str]


_IDX = [name for pair in FILES.values() for name in pair]
HOMES = {
    "mnist": Home(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        dict(
            zip(
                _IDX,
                [
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ],
                strict=True,
            )
        ),
    ),
    "fashion_mnist": Home(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        dict(
            zip(
                _IDX,
                [
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ],
                strict=True,
            )
        ),
    ),
    "cifar10": Home(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ),
    "cifar100": Home(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
    ),
}
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """Opens one of the sets by its name."""
    folder, home = data_dir / kind, HOMES[kind]
    if kind in CLASSES:
        arrays = {name: parse(_inflated(folder, name, home), name) for name in _IDX}
        splits = {
            split: from_arrays(arrays[images], arrays[labels].astype(np.int32), split)
            for split, (images, labels) in FILES.items()
        }
        return Source(CLASSES[kind], splits)
    return _cifar(folder, home)


def _inflated(folder: Path, name: str, home: Home) -> bytes:
    try:
        path = find(folder, name)
    except UserError:
        path = _fetch(f"{name}.gz", folder, home, home.digests[name])
    data = content(path)
    if hashlib.sha256(data).hexdigest() != home.digests[name]:
        raise UserError(f"{path} is not the {name} that is expected (sha256 differs); delete it to fetch it again")
    return data


def _fetch(name: str, folder: Path, home: Home, digest: str) -> Path:
    """Downloads one file into the folder: whole and the one that is expected, or not at all."""
    address, path, sha = home.address + name, folder / name, hashlib.sha256()
    # 47: a gzip header, and the largest window; an archive (.tar.gz) is pinned as it is.
    unpack = bytes if name.endswith(".tar.gz") else zlib.decompressobj(47).decompress
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, files.atomic(path) as file:
            size = int(answer.headers.get("Content-Length") or 0)
            with progress(f"fetching {name}", size >> 10) as tick:
                while piece := answer.read(1 << 16):
                    file.write(piece)
                    sha.update(unpack(piece))
                    tick(len(piece) >> 10)
            if size and file.tell() != size:
                raise OSError(f"{file.tell():,} of {size:,} bytes came")
            if sha.hexdigest() != digest:
                raise OSError("what came is not the file that is expected: its sha256 differs")
    except (OSError, zlib.error, http.client.HTTPException) as error:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer too, and keeps the connection open
        reason = error if isinstance(error, urllib.error.HTTPError) else getattr(error, "reason", error)
        raise UserError(f"{address} cannot be fetched ({reason}); put that file into {folder}") from error
    return path


# ---------------------------------------------------------------- CIFAR


def _cifar(folder: Path, home: Home) -> Source:
    ((name, digest),) = home.digests.items()
    path = folder / name
    if not path.is_file():
        path = _fetch(name, folder, home, digest)
    if files.sha256(path) != digest:
        raise UserError(f"{path} is not the archive that is expected (sha256 differs); delete it to fetch it again")
    try:
        with tarfile.open(path) as archive:
            members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}

            def read(member: str) -> bytes:
                file = archive.extractfile(members[member])  # into memory: nothing is unpacked
                assert file is not None
                return file.read()

            hundred = "train.bin" in members
            train = ["train.bin"] if hundred else [f"data_batch_{number}.bin" for number in range(1, 6)]
            test = ["test.bin"] if hundred else ["test_batch.bin"]
            names = read("fine_label_names.txt" if hundred else "batches.meta.txt").decode().split()
            splits = {
                split: _records(b"".join(map(read, parts)), split, labels=2 if hundred else 1)
                for split, parts in (("train", train), ("test", test))
            }
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise UserError(f"{path} is no whole CIFAR archive ({error}); delete it to fetch it again") from error
    return Source(tuple(names), splits)


def _records(data: bytes, split: str, *, labels: int) -> Images:
    """One record is the label (CIFAR-100: coarse, then fine) and 32 x 32 pixels, plane by plane."""
    table: HostArray = np.frombuffer(data, np.uint8).reshape(-1, labels + 3 * 32 * 32)
    images = np.ascontiguousarray(table[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return from_arrays(images, table[:, labels - 1].astype(np.int32), split)
