"""The table of every prediction of a split, one line an image, for people and spreadsheets."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from cnnjax.core import files
from cnnjax.core.arrays import HostArray

MOST_COLUMNS = 100
"""Of more classes probabilities are left out: 50,000 images of 1,000 classes would be half a gigabyte of text."""


def write(
    path: str | Path, probabilities: HostArray, labels: HostArray, *, classes: Sequence[str], names: Sequence[str]
) -> None:
    """Writes predictions/<split>.csv, whole or not at all.

    The columns are index, file, label, predicted, confidence, correct (1 or 0), and p_<class> with up to 100 classes.
    Several labels are joined by |; there a class is predicted above 0.5, `confidence` is that of the least certain of
    the decisions, and `correct` asks for all of them.

    Args:
      probabilities: [N, K].
      labels: int [N], or 0 and 1 [N, K].
      names: where each image came from, as the prepared split has it.
    """
    if labels.ndim == 2:
        predicted, present = probabilities > 0.5, labels > 0.5
        told, said = ([_joined(row, classes) for row in rows] for rows in (present, predicted))
        sure, right = abs(probabilities - 0.5).min(1) + 0.5, (predicted == present).all(1)
    else:
        told, said = ([classes[number] for number in numbers] for numbers in (labels, probabilities.argmax(1)))
        sure, right = probabilities.max(1), probabilities.argmax(1) == labels
    columns = list(classes) if len(classes) <= MOST_COLUMNS else []
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["index", "file", "label", "predicted", "confidence", "correct", *(f"p_{name}" for name in columns)])
    for index, name in enumerate(names):
        row = [index, name, told[index], said[index], _exact(sure[index]), int(right[index])]
        table.writerow(row + [_exact(value) for value in probabilities[index, : len(columns)].tolist()])
    files.write_text(path, text.getvalue())


def _exact(value: float) -> str:
    """Nine digits tell any two float32 apart: with fewer, the curves of a sure network rank its images as equal."""
    return f"{value:.9g}"


def _joined(present: HostArray, classes: Sequence[str]) -> str:
    return "|".join(name for name, there in zip(classes, present, strict=True) if there)
