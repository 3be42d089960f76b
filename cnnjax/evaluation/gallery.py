"""The images of a report, small, beside the predictions of a run: those it errs on, and what they resemble.

predictions/<split>_errors.json     the lists of `errors.analyze`, each entry with the file it came from
predictions/<split>_images.npz    index [P], images uint8 [P, h, w, 1 or 3]; the same of training images: train_...
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from cnnjax.core import files
from cnnjax.core.arrays import HostArray
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import errors, neighbors

SIDE = 96
"""Of a thumbnail, at most."""
SEARCHED = 12
"""Mistakes whose nearest training images are looked for, and NEAREST of them each."""
NEAREST = 5


class Images(Protocol):
    """One split, as stage 1 prepares it."""

    name: str
    labels: HostArray

    @property
    def names(self) -> Sequence[str]: ...
    def gather(self, indices: HostArray, /) -> HostArray: ...


Embed = Callable[[Any, HostArray | None], Iterable[HostArray]]
"""f(Images, indices or None for all) -> their features float32 [B, F], batch by batch."""


def write(
    run: RunDir,
    images: Images,
    probabilities: HostArray,
    *,
    params_digest: str,
    train: Images | None,
    embed: Embed,
) -> None:
    """Looks for what is worth showing of a split's predictions and keeps it in the run folder.

    Args:
      params_digest: of the parameters that were evaluated, so that a reader sees what belongs together.
      probabilities: [N, K], in the order of `images`.
      train: where nearest images are looked for; None: nowhere.
      embed: features of images.
    """
    found = errors.analyze(probabilities, images.labels)
    shown = [pair["images"] for pair in found["pairs"]] + [found[name] for name in ("mistakes", "hits", "faults")]
    for entry in (entry for entries in shown for entry in entries):
        entry["file"] = images.names[entry["index"]]
    index = np.unique([entry["index"] for entries in shown for entry in entries]).astype(np.int64)
    arrays: dict[str, Any] = {"index": index, "images": thumbnails(images, index)}
    if train is not None and found["mistakes"]:
        alike = _nearest(found["mistakes"][:SEARCHED], images, train, embed)
        arrays |= {"train_index": alike, "train_images": thumbnails(train, alike)}
    with files.atomic(run.images(images.name)) as file:
        np.savez_compressed(file, **arrays)
    files.write_json(run.errors(images.name), {"params_digest": params_digest, **found})


def _nearest(mistakes: list[dict[str, Any]], images: Images, train: Images, embed: Embed) -> HostArray:
    """Gives each entry "nearest", a list of {"index", "labels", "distance"}, and returns all indices in it."""
    queries = np.concatenate(list(embed(images, np.array([entry["index"] for entry in mistakes]))))
    distances, places = neighbors.nearest_features(embed(train, None), queries, NEAREST)
    several = train.labels.ndim == 2
    for entry, far, row in zip(mistakes, distances.tolist(), places.tolist(), strict=True):
        entry["nearest"] = [
            {
                "index": place,
                "labels": np.flatnonzero(train.labels[place]).tolist() if several else [int(train.labels[place])],
                "distance": distance,
                "file": train.names[place],
            }
            for distance, place in zip(far, row, strict=True)
        ]
    return np.unique(places)


def thumbnails(images: Images, indices: HostArray) -> HostArray:
    """Returns uint8 [n, h, w, 1 or 3] with no side above 96: means of whole squares of pixels, the rest cut off.

    Of images with other channels the first three are shown, of two the first.
    """
    chunks = [_shrink(images.gather(indices[start : start + 256])) for start in range(0, len(indices), 256)]
    return np.concatenate(chunks) if chunks else np.zeros((0, 1, 1, 1), np.uint8)


def _shrink(images: HostArray) -> HostArray:
    images = images[..., : 3 if images.shape[-1] >= 3 else 1]
    count, height, width, channels = images.shape
    factor = -(-max(height, width) // SIDE)
    if factor == 1:
        return images
    rows, columns = max(height // factor, 1), max(width // factor, 1)
    cut = images[:, : rows * factor, : columns * factor]
    blocks = cut.reshape(count, rows, cut.shape[1] // rows, columns, cut.shape[2] // columns, channels)
    return np.rint(blocks.mean((2, 4))).astype(np.uint8)
