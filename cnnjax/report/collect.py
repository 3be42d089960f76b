"""A run folder, read into one plain structure; what an old or broken run lacks is empty."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from cnnjax.core import files, logs
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir

SPLITS = ("test", "val", "train")
"""In the order in which a report prefers them."""


@dataclass(frozen=True)
class Collected:
    """What a report needs of one run.

    Attributes:
      config, environment, dataset: the documents of these names.
      metrics: the lines of metrics.jsonl.
      evaluations: eval/<split>.json by split, the one that counts most first.
      classes: names in the order of the outputs.
      errors: of the first split (see `evaluation.errors`), or empty.
      images: thumbnails uint8 [h, w, 1 or 3] that `errors` names, by index; train_images those of training.
      figures: the images that other verbs left in figures/.
    """

    folder: RunDir
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    dataset: Mapping[str, Any]
    metrics: list[dict[str, Any]]
    evaluations: dict[str, dict[str, Any]]
    classes: list[str]
    errors: Mapping[str, Any]
    images: Mapping[int, HostArray]
    train_images: Mapping[int, HostArray]
    figures: list[Path]

    @property
    def name(self) -> str:
        return self.folder.root.resolve().name

    @property
    def split(self) -> str | None:
        """The split that counts most; None where nothing was evaluated."""
        return next(iter(self.evaluations), None)

    @property
    def evaluation(self) -> dict[str, Any]:
        """That of `split`, or empty."""
        return next(iter(self.evaluations.values()), {})

    def predictions(self) -> tuple[HostArray, HostArray] | None:
        """Probabilities float32 [N, K] and labels bool [N, K] from predictions/<split>.csv; None where it has none."""
        path = self.folder.predictions(self.split or "")
        columns = [f"p_{name}" for name in self.classes]
        if not columns or not path.is_file():
            return None
        place = {name: number for number, name in enumerate(self.classes)}
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            head = next(rows, [])
            if head[-len(columns) :] != columns or "label" not in head:
                return None
            label, read = head.index("label"), list(rows)
        probabilities = np.array([row[-len(columns) :] for row in read], np.float32).reshape(len(read), len(columns))
        labels = np.zeros(probabilities.shape, bool)
        for number, row in enumerate(read):
            for name in [row[label]] if row[label] in place else row[label].split("|"):
                if name in place:
                    labels[number, place[name]] = True
        return probabilities, labels


def collect(root: str | Path, split: str | None = None) -> Collected:
    """Reads a run folder.

    Args:
      split: the one that counts most; None: test, else validation, else training.

    Raises:
      UserError: it is no run folder, or a file in it is damaged.
    """
    run = RunDir.existing(root)
    order = sorted(SPLITS, key=lambda name: name != split)
    evaluations = {name: _document(run.evaluation(name)) for name in order if run.evaluation(name).is_file()}
    dataset = _document(run.dataset)
    split = next(iter(evaluations), "")
    errors = _document(run.errors(split))
    if errors.get("params_digest") != evaluations.get(split, {}).get("params_digest"):
        errors = {}  # of an earlier evaluation, of other parameters
    images, train_images = _images(run.images(split))
    return Collected(
        folder=run,
        config=_document(run.config),
        environment=_document(run.environment),
        dataset=dataset,
        metrics=logs.read_metrics(run.metrics),
        evaluations=evaluations,
        classes=list(evaluations.get(split, {}).get("classes") or dataset.get("class_names", [])),
        errors=errors,
        images=images,
        train_images=train_images,
        figures=sorted(path for path in run.figures.rglob("*.png") if path.name != "curves.png"),
    )


def _document(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file."""
    found = files.read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object; restore it from a copy")
    return found


def _images(path: Path) -> tuple[dict[int, HostArray], dict[int, HostArray]]:
    if not path.is_file():
        return {}, {}
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path} is cut off or damaged; write it again with cnnjax evaluate --report") from error
    shown, train = (
        dict(zip(found.get(f"{part}index", np.zeros(0)).tolist(), found.get(f"{part}images", []), strict=True))
        for part in ("", "train_")
    )
    return shown, train


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the leaves of nested objects by dotted name: {"optimizer.lr": 0.1}."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found
