"""The work of prepare: images decoded, checked and resized in threads, written shard by shard.

A shard is whole when its sidecar (its name with .json: what it was made of, which images are in it, and their sums)
is there, so the next run uses it again where it would make the same. At the end the sidecars become the files of the
whole.
"""

import contextlib
import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.logs import Tick, progress, say
from cnnjax.core.startup import cores
from cnnjax.core.statistics import Moments
from cnnjax.data.decode import BadImageError, load
from cnnjax.data.shards import LIMITS, Dataset, Store, rule_of, shard_name
from cnnjax.data.sources import Images, Source, stamp_of

FORMAT = 1  # a new layout of the shards: part of the key of every set, and of what a shard is made of
SHARD_BYTES = 256 << 20  # of pixels
ENCODED_SHARD = 4096  # images
CHUNK = 32  # images a thread takes at once, fewer where they are large:
CHUNK_BYTES = 2 << 20  # of pixels, so that no thread works long after the others

Row = tuple[Any, tuple[int, int], str | None]
"""The bytes that are stored of an image (its pixels or its file), its true size, and what is wrong with it."""


class Writer:
    """Writes one data set into its partial folder, shard by shard."""

    def __init__(
        self,
        config: DataConfig,
        source: Source,
        splits: dict[str, Images],
        shape: tuple[int, int, int],
        store: Store,
        folder: Path,
    ):
        self.config, self.source, self.splits, self.shape = config, source, splits, shape
        self.store: Store = store
        self.folder = folder
        size = max(SHARD_BYTES // int(np.prod(shape)), 1) if store == "pixels" else ENCODED_SHARD
        self.shard_size = size
        self.total = sum(len(part.labels) for part in splits.values())

    def write(self) -> Dataset:
        """Writes what is not there yet, then the labels, names, sizes and dataset.json."""
        self._clear()
        threads = self.config.threads or cores()
        with ThreadPoolExecutor(threads) as pool, progress(f"preparing {self.config.source}", self.total) as tick:
            for name, part, number, indices in self._shards():
                done = self._sidecar(name, number)
                if done.exists():
                    tick(len(indices))
                else:
                    files.write_json(done, self._shard(name, part, number, indices, pool, 2 * threads, tick))
        return self._finish()

    def _shards(self) -> Iterator[tuple[str, Images, int, range]]:
        """All shards in order: the split, its images, the shard's number and which of them are in it."""
        for name, part in self.splits.items():
            for number, start in enumerate(range(0, len(part.labels), self.shard_size)):
                yield name, part, number, range(start, min(start + self.shard_size, len(part.labels)))

    def _clear(self) -> None:
        """Removes what a killed run was writing, and shards of images or options that are no longer meant."""
        kept = set()
        for name, part, number, indices in self._shards():
            sidecar = self._sidecar(name, number)
            if sidecar.exists() and self._serves(files.read_json(sidecar), part, indices):
                kept |= {sidecar, self.folder / shard_name(name, number, self.store)}
        for path in self.folder.iterdir():
            if path not in kept:
                path.unlink()

    def _serves(self, record: dict[str, Any], part: Images, indices: range) -> bool:
        """Whether a finished shard is what would be made now; limits matter to what was left out, or if they fell."""
        if record["made_of"] != self._made_of(part, indices):
            return False
        if record["skipped"]:
            return self.config.bad_images == "skip" and record["limits"] == self._limits()
        return all(then <= now for then, now in zip(record["limits"], self._limits(), strict=True))

    def _made_of(self, part: Images, indices: range) -> str:
        """A shard's images and how they are read, but for the limits."""
        rule = {name: value for name, value in rule_of(self.config).items() if name not in LIMITS}
        return stamp_of(part.stamp_at(indices), FORMAT, self.store, self.shape, rule)

    def _limits(self) -> list[int]:
        return [getattr(self.config, name) for name in LIMITS]

    def require_space(self) -> None:
        """Raises UserError where the shards that are not there yet do not fit."""
        pixels = int(np.prod(self.shape))
        need = self.total * pixels
        if self.store == "encoded":
            need = sum(part.nbytes or len(part.labels) * pixels for part in self.splits.values())
        there = sum(path.stat().st_size for path in self.folder.iterdir())
        files.require_space(self.folder, need + (1 << 20) - there, f"preparing {self.config.source}")

    def _sidecar(self, split: str, number: int) -> Path:
        return self.folder / f"{split}-{number:05d}.json"

    def _shard(
        self,
        split: str,
        part: Images,
        number: int,
        indices: range,
        pool: ThreadPoolExecutor,
        window: int,
        tick: Tick,
    ) -> dict[str, Any]:
        """Writes one shard and returns what its sidecar keeps: which images are in it, and their sums."""
        measured = Moments(self.shape[2])
        kept: list[int] = []
        sizes: list[tuple[int, int]] = []
        skipped: list[str] = []
        sha = hashlib.sha256()
        length = max(min(CHUNK, CHUNK_BYTES // int(np.prod(self.shape))), 1)
        chunks = [indices[start : start + length] for start in range(0, len(indices), length)]
        done = _in_order(pool, window, chunks, lambda chunk: self._chunk(split, part, chunk))
        path = self.folder / shard_name(split, number, self.store)
        shard = _pixels(path, len(indices), self.shape) if self.store == "pixels" else _encoded(path)
        with shard as write, contextlib.closing(done):
            for chunk, (rows, moments) in zip(chunks, done, strict=True):
                tick(len(chunk))
                measured.add_json(moments)
                for index, (stored, true, error) in zip(chunk, rows, strict=True):
                    if error is not None:
                        skipped.append(f"{part.names[index]}: {error}")
                        continue
                    write(stored)
                    sha.update(stored)
                    kept.append(index)
                    sizes.append(true)
        made = {"made_of": self._made_of(part, indices), "limits": self._limits(), "sha256": sha.hexdigest()}
        return {**made, "kept": kept, "sizes": sizes, "skipped": skipped, **measured.to_json()}

    def _chunk(self, split: str, part: Images, indices: range) -> tuple[list[Row], dict[str, Any]]:
        """What a thread does at a time: several images, and the sums over them if they are for training."""
        measured = Moments(self.shape[2])
        rows = [self._one(part, index, measured if split == "train" else None) for index in indices]
        return rows, measured.to_json()

    def _one(self, part: Images, index: int, measured: Moments | None) -> Row:
        name = part.names[index]
        try:
            content = part.read(index)
            image, true = load(content, self.config, name, self.config.channels)
        except BadImageError as bad:
            if self.config.bad_images == "error":
                raise
            return None, (0, 0), bad.reason
        if image.shape != self.shape:
            here, first = (f"{shape[0]} x {shape[1]}" for shape in (image.shape, self.shape))
            raise UserError(
                f"{name} is {here}, but the images before it are {first}; "
                "set config.data.resize=center and config.data.size=HEIGHT,WIDTH"
            )
        if measured is not None:
            measured.add(image[: true[0], : true[1]])
        if self.store == "pixels":
            return np.ascontiguousarray(image).data, true, None
        return content if isinstance(content, bytes) else _npy(content), true, None

    def _finish(self) -> Dataset:
        """Joins the sidecars into the files of the whole and removes them."""
        counts, shards, skipped = {}, {}, []
        measured = Moments(self.shape[2])
        sha = hashlib.sha256(json.dumps([self.source.class_names, self.shape]).encode())
        sidecars = []
        for name, part in self.splits.items():
            parts = range(-(-len(part.labels) // self.shard_size))
            sidecars += [self._sidecar(name, number) for number in parts]
            records = [files.read_json(self._sidecar(name, number)) for number in parts]
            kept = np.concatenate([np.asarray(record["kept"], np.int64) for record in records])
            counts[name], shards[name] = len(kept), [len(record["kept"]) for record in records]
            skipped += [line for record in records for line in record["skipped"]]
            if not len(kept):
                raise UserError(f"no image of the {name} split of {self.config.source} is whole: {skipped[0]}")
            self._array(f"{name}-labels.npy", part.labels[kept])
            sha.update(name.encode() + part.labels[kept].tobytes())
            if self.config.resize == "pad":
                sizes = np.concatenate([np.asarray(record["sizes"], np.int32).reshape(-1, 2) for record in records])
                self._array(f"{name}-sizes.npy", sizes)
            files.write_json(self.folder / f"{name}-names.json", [part.names[index] for index in kept])
            for record in records:
                sha.update(record["sha256"].encode())
                measured.add_json(record)
        if skipped:
            many = f"{len(skipped):,} bad images, such as" if len(skipped) > 1 else "a bad image,"
            say(f"left out {many} {skipped[0]}")
        dataset = Dataset(
            folder=self.folder,
            class_names=self.source.class_names,
            multi_label=self.splits["train"].labels.ndim > 1,
            counts=counts,
            shape=self.shape,
            store=self.store,
            rule=rule_of(self.config),
            statistics=measured.statistics(),
            digest=sha.hexdigest(),
            skipped=tuple(skipped),
            shards={name: tuple(numbers) for name, numbers in shards.items()},
        )
        document = dataset.to_json()
        del document["folder"]  # it is where the file is
        files.write_json(self.folder / "dataset.json", document)
        for path in sidecars:
            path.unlink()
        return dataset

    def _array(self, name: str, array: HostArray) -> None:
        with files.atomic(self.folder / name) as file:
            np.save(file, array, allow_pickle=False)


@contextlib.contextmanager
def _pixels(path: Path, count: int, shape: tuple[int, int, int]) -> Iterator[Callable[[memoryview], Any]]:
    """Opens a shard of pixels, the file of numpy.save, which takes the bytes of one image after the other."""
    with files.atomic(path) as file:
        _write_header(file, (count, *shape))
        start = file.tell()
        yield file.write
        written = (file.tell() - start) // int(np.prod(shape))
        if written < count:  # images were left out; NumPy's header keeps room for any number of rows
            file.seek(0)
            _write_header(file, (written, *shape))


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextlib.contextmanager
def _encoded(path: Path) -> Iterator[Callable[[bytes], Any]]:
    """Opens a shard of encoded files, which takes one after the other."""
    from array_record.python.array_record_module import ArrayRecordWriter

    path.unlink(missing_ok=True)  # of a broken run: only a shard with a sidecar is whole
    writer = ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")
    try:
        yield writer.write
    finally:
        writer.close()


def _npy(array: HostArray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _in_order(
    pool: ThreadPoolExecutor, window: int, chunks: Sequence[range], work: Callable[[range], Any]
) -> Generator[Any, None, None]:
    """Yields work(chunk) in order; at most `window` chunks are under way, so memory stays bounded."""
    waiting: deque[Future[Any]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) >= window:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
