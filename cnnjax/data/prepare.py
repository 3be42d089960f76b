"""A source, once and for all, as prepared records: decoded, checked, resized, measured, split, and found again later.

Everything that changes the result is in the key of the folder: the source's contents and the options of config.data.
The work is done in a hidden folder beside it, shard by shard; what a broken run finished is kept, and the folder takes
its name when it is whole.
"""

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cnnjax.config import Data
from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.decode import BadPictureError, decode
from cnnjax.data.resize import fit
from cnnjax.data.shards import Dataset, Store
from cnnjax.data.sources import Pictures, Source, open_source
from cnnjax.data.splits import split_up
from cnnjax.data.writer import Writer
from cnnjax.recipes import options

FORMAT = 1  # part of every key: a new layout of the shards gets folders of its own
PIXELS_LIMIT = 64 << 30  # store=auto keeps encoded files from here on
SIDES = (32, 48, 64, 96, 128)  # of resize=auto


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
        writer = Writer(config, source, splits, shape, store, partial)
        writer.require_space()
        try:
            with files.alone(partial):  # of two runs that need the same set, the second waits
                if not (folder / "dataset.json").is_file():
                    writer.write(key)
                    os.replace(partial, folder)
        except OSError as error:  # sources tell of files that cannot be read, so this is about writing
            raise UserError(
                f"{folder.parent} cannot be written ({error.strerror or error}); make room or name another folder "
                "with --data_dir; what is finished is kept"
            ) from error
    return Dataset.read(folder)


# ---------------------------------------------------------------- decisions


def _decide(config: Data, training: Pictures) -> tuple[Data, tuple[int, int, int]]:
    """Settles resize=auto and the number of channels on the first good pictures; returns the shape of all."""
    spread = np.linspace(0, len(training.labels) - 1, min(len(training.labels), 64)).astype(int)
    first: HostArray | None = None
    sides = []
    for index in spread if config.resize == "auto" else range(len(training.labels)):
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
    """Pictures of one size up to 128 keep it; others become squares near their median shorter side.

    Either way a picture of any other size, which only prediction may meet, has a rule.
    """
    if len(set(sides)) == 1 and max(sides[0]) <= SIDES[-1]:
        size = sides[0]
    else:
        shorter = float(np.median([min(side) for side in sides]))
        size = (max((side for side in SIDES if side <= shorter), default=SIDES[0]),) * 2
    return replace(config, resize="center", size=config.size or size)


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
        if not fields[f"data.{name}"].metadata["free"] and name not in ("batch_size", "source", "store")
    }
    sha = hashlib.sha256(json.dumps([FORMAT, store, source.class_names, bound], sort_keys=True).encode())
    for name, part in splits.items():
        sha.update(f"{name} {part.stamp}".encode())
        sha.update(np.ascontiguousarray(part.labels).tobytes())
    return sha.hexdigest()
