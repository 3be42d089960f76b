"""The images that are explained: at their own size, as the model sees them, and where on the one the other lies."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from cnnjax.augment import pipeline
from cnnjax.augment.normalize import normalize
from cnnjax.core.arrays import Array, HostArray
from cnnjax.core.errors import UserError
from cnnjax.data import Split, decode, resize
from cnnjax.data.listing import read_file
from cnnjax.evaluation.views import VIEWS
from cnnjax.runs.run import Run

Place: TypeAlias = tuple[float, float, float, float]
"""top, left, bottom, right of what the model sees, in pixels of the image at its own size; it may reach beyond it."""


@dataclass(frozen=True)
class Images:
    """A batch of images on their way into a model.

    Attributes:
      names: of their files, without the ending, or of the split and the row.
      originals: uint8 [H, W, C] each, at their own size.
      images: float32 [N, h, w, C], what the model sees: the center view, normalized.
      places: where on each original that lies.
      labels: what each shows, "" where that is not known.
    """

    names: tuple[str, ...]
    originals: tuple[HostArray, ...]
    images: Array
    places: tuple[Place, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


def from_files(run: Run, items: Any) -> Images:
    """Reads image files, or takes arrays [H, W, C], and fits them as the training data were fitted.

    Raises:
      UserError: a folder, or a file that is no whole image.
    """
    items = [items] if isinstance(items, (str, Path)) else list(items)
    if not items:
        raise UserError("there is no image to explain; name image files, or a split with --split")
    originals, records, sizes, names = [], [], [], []
    for number, item in enumerate(items):
        path = Path(item) if isinstance(item, (str, Path)) else None
        if path is not None and path.is_dir():
            raise UserError(f"{path} is a folder; name image files, or a split of the run's data with --split")
        found = run.fit(item)
        if isinstance(found, UserError):
            raise found
        fitted, true = found
        rule, name = run.config.data, str(path or "an array")
        content = read_file(path, rule.max_bytes) if path else np.asarray(item)
        originals.append(decode.decode(content, rule, name, run.dataset.shape[2]))
        records.append(fitted)
        sizes.append(true)
        names.append(path.stem if path else f"image_{number}")
    fits = [resize.box(original.shape[:2], run.reading) for original in originals]
    return _view(run, _apart(names), originals, records, sizes, fits, [""] * len(items))


def from_split(run: Run, split: Split, count: int) -> Images:
    """Takes `count` images of a split, evenly spread over it, at the size at which they were prepared."""
    indices = np.unique(np.linspace(0, len(split) - 1, min(count, len(split))).astype(np.int64))
    records = list(split.gather(indices))
    sizes = [record.shape[:2] for record in records] if split.sizes is None else split.sizes[indices].tolist()
    originals = [record[: size[0], : size[1]] for record, size in zip(records, sizes, strict=True)]
    fits = [(0.0, 0.0, float(record.shape[0]), float(record.shape[1])) for record in records]
    single = split.labels.ndim == 1
    labels = [run.classes[split.labels[i]] if single else _several(run.classes, split.labels[i]) for i in indices]
    names = [f"{split.name}_{index:05d}" for index in indices]
    return _view(run, names, originals, records, sizes, fits, labels)


def black_and_white(run: Run) -> tuple[Array, Array]:
    """The normalized levels of black and of white, float32 [C] each."""
    ends = jnp.array([[0.0], [255.0]]) * jnp.ones((1, run.dataset.shape[2]))
    low, high = normalize(ends, run.config.augment, run.dataset.statistics)
    return low, high


def _view(
    run: Run, names: list[str], originals: list[Any], records: list[Any], sizes: list[Any], fits: list[Any], labels: Any
) -> Images:
    augment, input_size = run.config.augment, run.model.input_size[:2]
    canvas = run.config.data.resize == "pad"
    views = pipeline.eval_pipeline(
        augment, statistics=run.dataset.statistics, input_size=input_size, views=VIEWS["single"]
    )
    images = views(jnp.asarray(np.stack(records)), jnp.asarray(sizes, jnp.int32) if canvas else None)[0]
    places = []
    for record, size, (top, left, bottom, right) in zip(records, sizes, fits, strict=True):
        down, across = (bottom - top) / record.shape[0], (right - left) / record.shape[1]
        seen = pipeline.center_view(augment, size if canvas else record.shape[:2], input_size, canvas=canvas)
        places.append((top + down * seen[0], left + across * seen[1], top + down * seen[2], left + across * seen[3]))
    return Images(tuple(names), tuple(originals), images, tuple(places), tuple(labels))


def _apart(names: Iterable[str]) -> list[str]:
    """Gives files of one name in several folders names of their own: cat, cat_2."""
    found: list[str] = []
    for name in names:
        number, new = 1, name
        while new in found:
            number += 1
            new = f"{name}_{number}"
        found.append(new)
    return found


def _several(classes: tuple[str, ...], row: HostArray) -> str:
    return ", ".join(name for name, there in zip(classes, row, strict=True) if there)
