"""How good and how honest probabilities are, as charts: reliability, ROC and precision-recall curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray
from cnnjax.report import drawing

HIGHLIGHTED = 5
"""Classes whose curves are named: those with the lowest score."""
STEPS = 200
"""Of a curve on a page."""


def reliability_svg(bins: Sequence[Mapping[str, Any]], ece: float) -> str:
    """How often the network is right where it is so sure; on the diagonal it means what it says (Guo et al. 2017).

    Args:
      bins: {low, high, count, confidence, accuracy}.
      ece: the expected calibration error, which is the mean distance from the diagonal.
    """
    filled = [row for row in bins if row["count"]]
    total = sum(row["count"] for row in filled)
    figure, panel = drawing.new(4.6, 3.8)
    panel.plot([0, 1], [0, 1], color=drawing.MUTED, linewidth=1, linestyle="dashed")
    width = [row["high"] - row["low"] for row in filled]
    shares = [row["count"] / total for row in filled]
    low = [row["low"] for row in filled]
    panel.bar(low, shares, width, align="edge", color=drawing.FAINT, label="share of the images")
    panel.plot(
        [row["confidence"] for row in filled],
        [row["accuracy"] for row in filled],
        color=drawing.SERIES[0],
        marker="o",
        markersize=4,
        linewidth=1.4,
        label=f"accuracy; ECE {ece:.3f}",
    )
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1)
    drawing.dress(panel, "Reliability", "confidence", "accuracy")
    drawing.key(panel, loc="upper left")
    return drawing.svg(figure, "reliability", f"Accuracy against confidence; expected calibration error {ece:.3f}")


def roc_svg(probabilities: HostArray, labels: HostArray, scores: Sequence[Mapping[str, Any]]) -> str:
    """The rate of true against that of false positives of each class, one against the rest.

    Args:
      probabilities: [N, K].
      labels: bool [N, K].
      scores: {name, roc_auc, average_precision} of each class.
    """
    figure, panel = drawing.new(4.6, 3.8)
    panel.plot([0, 1], [0, 1], color=drawing.MUTED, linewidth=1, linestyle="dashed")
    _each_class(panel, probabilities, labels, scores, "roc_auc")
    drawing.dress(panel, "ROC", "false positive rate", "true positive rate")
    drawing.key(panel, loc="lower right")
    return drawing.svg(figure, "roc", "ROC curves of the classes")


def precision_recall_svg(probabilities: HostArray, labels: HostArray, scores: Sequence[Mapping[str, Any]]) -> str:
    """Precision against recall of each class, one against the rest; arguments as in `roc_svg`."""
    figure, panel = drawing.new(4.6, 3.8)
    _each_class(panel, probabilities, labels, scores, "average_precision")
    drawing.dress(panel, "Precision and recall", "recall", "precision")
    drawing.key(panel, loc="lower left")
    return drawing.svg(figure, "precision-recall", "Precision-recall curves of the classes")


def _each_class(
    panel: Any, probabilities: HostArray, labels: HostArray, scores: Sequence[Mapping[str, Any]], name: str
) -> None:
    """A line a class; the lowest scores stand out and are named."""
    there = [number for number, row in enumerate(scores) if row[name] is not None]
    lowest = sorted(there, key=lambda number: scores[number][name])[:HIGHLIGHTED]
    for number in there:
        x, y = _curve(probabilities[:, number], labels[:, number], name)
        if number not in lowest:
            panel.plot(x, y, color=drawing.FAINT, linewidth=1)
    for rank, number in enumerate(lowest):
        x, y = _curve(probabilities[:, number], labels[:, number], name)
        label = f"{scores[number]['name'][:24]} {scores[number][name]:.3f}"
        panel.plot(x, y, linewidth=1.4, label=label, **drawing.series(rank))
    panel.set_xlim(0, 1)
    panel.set_ylim(0, 1.01)


def _curve(probabilities: HostArray, labels: HostArray, name: str) -> tuple[HostArray, HostArray]:
    """The points of one curve, thinned to what a page can show."""
    from sklearn.metrics import precision_recall_curve, roc_curve

    if name == "roc_auc":
        x, y, _ = roc_curve(labels, probabilities)
    else:
        y, x, _ = precision_recall_curve(labels, probabilities)
    cells = np.stack([np.rint(x * STEPS), np.rint(y * STEPS)])
    kept = np.flatnonzero(np.any(cells[:, 1:] != cells[:, :-1], 0)) + 1
    kept = np.concatenate([[0], kept, [len(x) - 1]])
    return x[kept], y[kept]
