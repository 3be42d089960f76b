"""A source, once and for all, as prepared records: decoded, checked, resized, measured, split, and found again later.

Everything that changes the result is in the key of the folder: the source's contents and the options of config.data.
The work is done in a hidden folder beside it, one for each source, shard by shard; what a broken run finished is kept
as far as it serves the next, and the folder takes its name when it is whole.
"""

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig, Experiment, options
from cnnjax.core import files, logs
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.decode import BadImageError, decode
from cnnjax.data.resize import effective_crop, fit
from cnnjax.data.shards import Dataset, Store
from cnnjax.data.sources import Images, Source, open_source, stamp_of
from cnnjax.data.splits import split_up
from cnnjax.data.writer import FORMAT, Writer

GRAY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")  # of Pillow
PIXELS_LIMIT = 64 << 30  # store=auto keeps encoded files from here on
SIDES = (32, 48, 64, 96, 128)  # of resize=auto


def default_data_dir() -> Path:
    """$CNNJAX_DATA_DIR, else ~/.cache/cnnjax."""
    return Path(os.environ.get("CNNJAX_DATA_DIR") or Path.home() / ".cache" / "cnnjax")


def prepare(config: Experiment | DataConfig, data_dir: str | Path | None = None) -> Dataset:
    """Returns the prepared data set of a source, and makes it first where it is not there yet.

    Args:
      config: of an experiment, whose training finds the same set, or its `data` alone: the source, the resize rule, the
        splits.
      data_dir: where prepared sets and downloads are kept; None: `default_data_dir()`.

    Raises:
      UserError: no such source, a bad image (unless bad_images=skip), images of several sizes without a resize
        rule, no space. At most a hidden partial folder is left, which the next call continues.
    """
    config = config.reading if isinstance(config, Experiment) else config
    # A run keeps where its images are, and may be opened from another directory.
    root = Path(data_dir or default_data_dir()).absolute()
    source = open_source(config, root)
    splits = split_up(source, config)
    config, shape = _decide(config, splits)
    store = _store(config, shape, sum(len(part.labels) for part in splits.values()))
    home, kind = root / "prepared", config.source.partition(":")[0]
    # What becomes of a bad image makes no difference to a set without any: that one is shared.
    policies = [replace(config, bad_images="error"), config]
    whole, ours = (home / f"{kind}-{_key(each, source, splits, store)[:12]}" for each in policies)
    if not (ready := _ready(whole, ours)):
        partial = home / f".partial-{kind}-{stamp_of(config.source)[:12]}"
        writer = Writer(config, source, splits, shape, store, partial)
        try:
            with files.alone(partial, busy=lambda: logs.say(f"waiting: another run prepares {config.source}")):
                if not (ready := _ready(whole, ours)):
                    writer.require_space()  # which counts what is there: nobody else may be writing it
                    ready = ours if writer.write().skipped else whole
                    os.replace(partial, ready)
        except OSError as error:  # sources tell of files that cannot be read, so this is about writing
            raise UserError(
                f"{home} cannot be written ({error.strerror or error}); make room or name another folder "
                "with --data_dir; what is finished is kept"
            ) from error
    return Dataset.read(ready)


def _ready(*folders: Path) -> Path | None:
    return next((folder for folder in folders if (folder / "dataset.json").is_file()), None)


# ---------------------------------------------------------------- decisions


def _decide(config: DataConfig, splits: Mapping[str, Images]) -> tuple[DataConfig, tuple[int, int, int]]:
    """Settles resize=auto and the number of channels on the first good images; returns the shape of all."""
    training = splits["train"]
    first: HostArray | None = None
    sides = []
    if training.shape:  # then all are alike, and to read one may mean to read them all
        first = np.zeros((*training.shape[:2], config.channels or training.shape[2]), np.uint8)
        sides = [training.shape[:2]]
    else:
        kinds = set()
        for image in _good(config, training):
            first = image if first is None else first
            sides.append((image.shape[0], image.shape[1]))
            kinds.add(image.shape[2])
            if config.resize != "auto" and config.channels:
                break
        if first is None:
            if config.bad_images == "error":  # it says what is wrong with the first
                decode(training.read(0), config, training.names[0], config.channels)
            raise UserError(f"{config.source} has no whole image; see what config.data.source names")
        if config.channels is None and (kinds == {1, 3} or (kinds == {1} and any(map(_any_color, splits.values())))):
            logs.say(
                f"{config.source}: some images are gray and some have color; all are taken as RGB (data.channels=3)"
            )
            first = np.zeros((*first.shape[:2], 3), np.uint8)
    if config.resize == "auto":
        config = _automatic(config, sides)
    shape = (*fit(first, config)[0].shape[:2], first.shape[2])
    config = replace(config, channels=first.shape[2], center_crop=effective_crop(config))
    return config, (shape[0], shape[1], shape[2])


def _good(config: DataConfig, training: Images) -> Iterator[HostArray]:
    """Yields the good ones of 64 images spread over all; of all in order where the first good one says enough."""
    count, some = len(training.labels), config.resize == "auto" or config.channels is None
    for index in np.linspace(0, count - 1, min(count, 64)).astype(int) if some else range(count):
        with contextlib.suppress(BadImageError):  # the writer reports it, when what comes before is finished
            yield decode(training.read(int(index)), config, training.names[int(index)], config.channels)


def _any_color(images: Images) -> bool:
    """Returns whether any image file has color, by its header."""
    from PIL import Image

    for index in range(len(images.labels)):
        content = images.read(index)
        if not isinstance(content, bytes):
            return False  # arrays are alike
        try:
            with Image.open(io.BytesIO(content)) as image:
                if image.mode not in GRAY_MODES:
                    return True
        except Exception:  # no whole image, of which the writer tells
            continue
    return False


def _automatic(config: DataConfig, sides: list[tuple[int, int]]) -> DataConfig:
    """Images of one size up to 128 keep it; others become squares near their median shorter side.

    Either way an image of any other size, which only prediction may meet, has a rule.
    """
    if len(set(sides)) == 1 and max(sides[0]) <= SIDES[-1]:
        size = sides[0]
    else:
        shorter = float(np.median([min(side) for side in sides]))
        size = (max((side for side in SIDES if side <= shorter), default=SIDES[0]),) * 2
    return replace(config, resize="center", size=config.size or size)


def _store(config: DataConfig, shape: tuple[int, int, int], count: int) -> Store:
    if config.store != "auto":
        return config.store
    return "pixels" if count * int(np.prod(shape)) < PIXELS_LIMIT else "encoded"


def _key(config: DataConfig, source: Source, splits: dict[str, Images], store: Store) -> str:
    """sha256 over the class names, the contents of the splits and the options that change what is stored."""
    fields = options()
    bound = {
        name: value
        for name, value in asdict(config).items()
        if not fields[f"data.{name}"].metadata["free"] and name not in ("batch_size", "source", "store")
    }
    if config.center_crop is None:
        del bound["center_crop"]  # sets keep the names that they had before this option
    sha = hashlib.sha256(json.dumps([FORMAT, store, source.class_names, bound], sort_keys=True).encode())
    for name, part in splits.items():
        sha.update(f"{name} {part.stamp}".encode())
        sha.update(np.ascontiguousarray(part.labels).tobytes())
    return sha.hexdigest()
