"""A source, once and for all, as prepared records: decoded, checked, resized, measured, split, and found again later.

Everything that changes the result is in the key of the folder: the source's contents and the options of config.data.
The work is done in a hidden folder beside it, shard by shard; what a broken run finished is kept, and the folder takes
its name when it is whole.
"""

import fcntl
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cnnjax.config import Data, options
from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.logs import Tick, progress, say
from cnnjax.core.statistics import Moments
from cnnjax.data.decode import BadPictureError, decode, fit, load
from cnnjax.data.shards import Dataset, shard_name
from cnnjax.data.sources import Pictures, Source, open_source
from cnnjax.data.splits import split_up

FORMAT = 2  # part of every key: a new layout of the shards gets folders of its own
SHARD_BYTES = 256 << 20
ENCODED_SHARD = 4096  # pictures
PIXELS_LIMIT = 64 << 30  # store=auto keeps encoded files from here on
CHUNK = 32  # pictures a thread takes at once, fewer where they are large:
CHUNK_BYTES = 8 << 20  # of decoded pixels
SIDES = (32, 48, 64, 96, 128)  # of resize=auto

Store = Literal["pixels", "encoded"]
Row = tuple[Any, tuple[int, int], str | None]
"""What is stored of a picture (its pixels or its file), its true size, and what is wrong with it."""


def default_data_dir() -> Path:
    """$CNNJAX_DATA_DIR, else ~/.cache/cnnjax."""
    return Path(os.environ.get("CNNJAX_DATA_DIR") or Path.home() / ".cache" / "cnnjax")


def prepare(config: Data, data_dir: str | Path | None = None) -> Dataset:
    """Returns the prepared data set of a source, and makes it first where it is not there yet.

    Args:
      config: the source, the resize rule, the splits.
      data_dir: where prepared sets and downloads are kept; None: `default_data_dir()`.

    Raises:
      UserError: no such source, a bad picture (unless bad_pictures=skip), pictures of several sizes without a resize
        rule, no space. At most a hidden partial folder is left, which the next call continues.
    """
    root = Path(data_dir) if data_dir else default_data_dir()
    source = open_source(config, root)
    splits = split_up(source, config)
    config, shape = _decide(config, splits["train"])
    store = _store(config, shape, sum(len(part.labels) for part in splits.values()))
    key = _key(config, source, splits, store)
    folder = root / "prepared" / f"{config.source.partition(':')[0]}-{key[:12]}"
    if not (folder / "dataset.json").is_file():
        partial = folder.parent / f".partial-{folder.name}"
        writer = _Writer(config, source, splits, shape, store, partial)
        writer.require_space()
        with _alone(partial):
            if not (folder / "dataset.json").is_file():
                writer.write(key)
                os.replace(partial, folder)
    return Dataset.read(folder)


@contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Makes the partial folder and holds it: of two runs that need the same set, the second waits for the first.

    The lock is on the folder itself, so nothing is left over; as it follows the folder when that gets its name, the
    second run looks whether what it holds is still at `partial`.
    """
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:  # the first run has given it its name just now
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_at(handle, partial):
                yield
                return
        finally:
            if _is_at(handle, partial) and not any(partial.iterdir()):
                partial.rmdir()
            os.close(handle)


def _is_at(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------- decisions


def _decide(config: Data, training: Pictures) -> tuple[Data, tuple[int, int, int]]:
    """Settles resize=auto and the number of channels on the first good pictures; returns the shape of all."""
    rng = np.linspace(0, len(training.labels) - 1, min(len(training.labels), 64)).astype(int)
    first: HostArray | None = None
    sides = []
    for index in rng if config.resize == "auto" else range(len(training.labels)):
        try:
            image = decode(training.read(int(index)), config, training.names[int(index)], config.channels)
        except BadPictureError:
            if config.bad_pictures == "error":
                raise
            continue
        first = image if first is None else first
        sides.append(image.shape[:2])
        if config.resize != "auto":
            break
    if first is None:
        raise UserError(f"{config.source} has no whole picture; see what config.data.source names")
    if config.resize == "auto":
        config = _automatic(config, sides)
    shape = (*fit(first, config)[0].shape[:2], first.shape[2])
    return replace(config, channels=first.shape[2]), (shape[0], shape[1], shape[2])


def _automatic(config: Data, sides: list[tuple[int, int]]) -> Data:
    """Pictures of one size up to 128 stay as they are; others become squares near their median shorter side."""
    if len(set(sides)) == 1 and max(sides[0]) <= SIDES[-1] and config.size is None:
        return replace(config, resize="none")
    shorter = float(np.median([min(side) for side in sides]))
    side = max((side for side in SIDES if side <= shorter), default=SIDES[0])
    return replace(config, resize="center", size=config.size or (side, side))


def _store(config: Data, shape: tuple[int, int, int], count: int) -> Store:
    if config.store != "auto":
        return config.store
    return "pixels" if count * int(np.prod(shape)) < PIXELS_LIMIT else "encoded"


def _key(config: Data, source: Source, splits: dict[str, Pictures], store: Store) -> str:
    """sha256 over the class names, the contents of the splits and the options that change what is stored."""
    fields = options()
    bound = {
        name: value
        for name, value in asdict(config).items()
        if not fields[f"data.{name}"].metadata["free"] and name not in ("batch_size", "source")
    }
    sha = hashlib.sha256(json.dumps([FORMAT, store, source.class_names, bound], sort_keys=True).encode())
    for name, part in splits.items():
        sha.update(f"{name} {part.stamp}".encode())
        sha.update(np.ascontiguousarray(part.labels).tobytes())
    return sha.hexdigest()


# ---------------------------------------------------------------- writing


class _Writer:
    """Writes one data set into its partial folder, shard by shard."""

    def __init__(
        self,
        config: Data,
        source: Source,
        splits: dict[str, Pictures],
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

    def write(self, key: str) -> None:
        """Writes what is not there yet, then the labels, names, sizes and dataset.json."""
        threads = self.config.threads or os.cpu_count() or 1
        with ThreadPoolExecutor(threads) as pool, progress(f"preparing {self.config.source}", self.total) as tick:
            for name, part in self.splits.items():
                for number, start in enumerate(range(0, len(part.labels), self.shard_size)):
                    done = self._sidecar(name, number)
                    indices = range(start, min(start + self.shard_size, len(part.labels)))
                    if done.exists():
                        tick(len(indices))
                    else:
                        files.write_json(done, self._shard(name, part, number, indices, pool, 2 * threads, tick))
        self._finish(key)

    def require_space(self) -> None:
        """Raises UserError where the shards do not fit; nothing is made."""
        if self.store == "pixels":
            need = self.total * int(np.prod(self.shape))
        else:
            need = sum(part.nbytes for part in self.splits.values())
        there = sum(path.stat().st_size for path in self.folder.rglob("*")) if self.folder.exists() else 0
        files.require_space(self.folder, need + (1 << 20) - there, f"preparing {self.config.source}")

    def _sidecar(self, split: str, number: int) -> Path:
        return self.folder / f"{split}-{number:05d}.json"

    def _shard(
        self,
        split: str,
        part: Pictures,
        number: int,
        indices: range,
        pool: ThreadPoolExecutor,
        window: int,
        tick: Tick,
    ) -> dict[str, Any]:
        """Writes one shard and returns what its sidecar keeps: which pictures are in it, and their sums."""
        measured = Moments(self.shape[2])
        kept: list[int] = []
        sizes: list[tuple[int, int]] = []
        skipped: list[str] = []
        sha = hashlib.sha256()
        path = self.folder / shard_name(split, number, self.store)
        images = np.empty((len(indices), *self.shape), np.uint8) if self.store == "pixels" else None
        writer = _record_writer(path) if images is None else None
        length = max(min(CHUNK, CHUNK_BYTES // int(np.prod(self.shape))), 1)
        chunks = [indices[start : start + length] for start in range(0, len(indices), length)]
        for chunk, (rows, moments) in zip(
            chunks, _in_order(pool, window, chunks, lambda chunk: self._chunk(split, part, chunk)), strict=True
        ):
            tick(len(chunk))
            measured.add_json(moments)
            for index, (stored, true, error) in zip(chunk, rows, strict=True):
                if error is not None:
                    skipped.append(f"{part.names[index]}: {error}")
                    continue
                if images is not None:
                    images[len(kept)] = stored
                elif writer is not None:
                    writer.write(stored)
                    sha.update(stored)
                kept.append(index)
                sizes.append(true)
        if images is not None:
            sha.update(images[: len(kept)].tobytes())
            with files.atomic(path) as file:
                np.save(file, images[: len(kept)], allow_pickle=False)
        elif writer is not None:
            writer.close()
        return {"kept": kept, "sizes": sizes, "skipped": skipped, "sha256": sha.hexdigest(), **measured.to_json()}

    def _chunk(self, split: str, part: Pictures, indices: range) -> tuple[list[Row], dict[str, Any]]:
        """What a thread does at a time: several pictures, and the sums over them if they are for training."""
        measured = Moments(self.shape[2])
        rows = [self._one(part, index, measured if split == "train" else None) for index in indices]
        return rows, measured.to_json()

    def _one(self, part: Pictures, index: int, measured: Moments | None) -> Row:
        name = part.names[index]
        try:
            content = part.read(index)
            image, true = load(content, self.config, name, self.config.channels)
        except BadPictureError as bad:
            if self.config.bad_pictures == "error":
                raise
            return None, (0, 0), str(bad)
        if image.shape != self.shape:
            here, first = (f"{shape[0]} x {shape[1]}" for shape in (image.shape, self.shape))
            raise UserError(
                f"{name} is {here}, but the pictures before it are {first}; "
                "set config.data.resize=center and config.data.size=HEIGHT,WIDTH"
            )
        if measured is not None:
            measured.add(image[: true[0], : true[1]])
        if self.store == "pixels":
            return image, true, None
        return content if isinstance(content, bytes) else _npy(content), true, None

    def _finish(self, key: str) -> None:
        """Joins the sidecars into the files of the whole and removes them."""
        counts, shards, skipped = {}, {}, []
        measured, sha = Moments(self.shape[2]), hashlib.sha256(key.encode())
        sidecars = []
        for name, part in self.splits.items():
            parts = range(-(-len(part.labels) // self.shard_size))
            sidecars += [self._sidecar(name, number) for number in parts]
            records = [files.read_json(self._sidecar(name, number)) for number in parts]
            kept = np.concatenate([np.asarray(record["kept"], np.int64) for record in records])
            counts[name], shards[name] = len(kept), [len(record["kept"]) for record in records]
            skipped += [line for record in records for line in record["skipped"]]
            if not len(kept):
                raise UserError(f"no picture of the {name} split of {self.config.source} is whole: {skipped[0]}")
            self._array(f"{name}-labels.npy", part.labels[kept])
            if self.config.resize == "pad":
                sizes = np.concatenate([np.asarray(record["sizes"], np.int32).reshape(-1, 2) for record in records])
                self._array(f"{name}-sizes.npy", sizes)
            files.write_json(self.folder / f"{name}-names.json", [part.names[index] for index in kept])
            for record in records:
                sha.update(record["sha256"].encode())
                measured.add_json(record)
        if skipped:
            say(f"left out {len(skipped)} bad pictures, such as {skipped[0]}")
        rule = ("resize", "size", "max_value", "max_pixels", "max_bytes")
        dataset = Dataset(
            folder=self.folder,
            class_names=self.source.class_names,
            multi_label=self.splits["train"].labels.ndim > 1,
            counts=counts,
            shape=self.shape,
            store=self.store,
            rule={name: getattr(self.config, name) for name in rule},
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

    def _array(self, name: str, array: HostArray) -> None:
        with files.atomic(self.folder / name) as file:
            np.save(file, array, allow_pickle=False)


def _record_writer(path: Path) -> Any:
    from array_record.python.array_record_module import ArrayRecordWriter

    if path.exists():
        path.unlink()  # of a broken run: only a shard with a sidecar is whole
    return ArrayRecordWriter(os.fspath(path), "group_size:1,uncompressed")


def _npy(array: HostArray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _in_order(
    pool: ThreadPoolExecutor, window: int, chunks: Sequence[range], work: Callable[[range], Any]
) -> Iterator[Any]:
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
