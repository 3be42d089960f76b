"""The images of a study: accuracy over strength, and adversaries beside the images they were made of."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray
from cnnjax.core.files import atomic
from cnnjax.report import drawing
from cnnjax.report.drawing import FAINT, INK, MUTED
from cnnjax.robustness.changes import CHANGES
from cnnjax.robustness.corruptions import CORRUPTIONS

COLUMNS = 3


def curves(report: Mapping[str, Any], path: str | Path) -> None:
    """Draws accuracy over strength, a panel for each change, one for all corruptions and one for each norm of attacks.

    Args:
      report: of `study`.
      path: of the PNG file, written atomically.
    """
    from matplotlib.figure import Figure  # not pyplot: no backend is chosen and no window is kept
    from matplotlib.ticker import PercentFormatter

    panels = _panels(report)
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel, (title, unit, lines) in zip(axes, panels, strict=False):
        panel.axhline(report["clean"]["top1"], color=FAINT, linewidth=1, linestyle="--")
        for number, (label, strengths, top1) in enumerate(lines):
            # Corruptions are many: all faint but for their mean, which comes last.
            main = len(lines) <= 2 or number == len(lines) - 1
            color = drawing.SERIES[number if len(lines) <= 2 else 0] if main else MUTED
            panel.plot(strengths, top1, "o-", markersize=3, linewidth=1.4 if main else 0.7, color=color, label=label)
        if len(lines) > 1:
            panel.legend(*_ends(panel, lines), fontsize=7, frameon=False)
        drawing.dress(panel, title, unit)
        panel.set_ylim(0, 1.02)
        panel.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    for panel in axes[len(panels) :]:
        panel.set_axis_off()
    figure.supylabel("accuracy (top-1)", fontsize=9, color=INK)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _panels(report: Mapping[str, Any]) -> list[tuple[str, str, list[tuple[str, Any, Any]]]]:
    """(title, unit, [(label, strengths, top1)]) of every panel."""
    clean, panels = report["clean"]["top1"], []
    for name, row in report.get("changes", {}).items():
        points = sorted(zip([*row["strengths"], CHANGES[name].none], [*row["top1"], clean], strict=True))
        panels.append((name, row["unit"], [(name, *zip(*points, strict=True))]))
    if "corruptions" in report:
        severities, top1 = [0, 1, 2, 3, 4, 5], report["corruptions"]["top1"]
        lines = [(name, severities, [clean, *row]) for name, row in top1.items()]
        mean = np.mean([row for name, row in top1.items() if not CORRUPTIONS[name].extra], axis=0).tolist()
        title = f"corruptions of {report['corruptions']['figures']}"
        panels.append((title, "severity", [*lines, ("mean", severities, [clean, *mean])]))
    for norm, unit in (("linf", "epsilon, pixels of 0-1"), ("l2", "epsilon, length in pixels of 0-1")):
        attacks = {name: row for name, row in report.get("attacks", {}).items() if row["norm"] == norm}
        lines = [(name, [0, *row["epsilons"]], [clean, *row["top1"]]) for name, row in attacks.items()]
        if lines:
            panels.append((" and ".join(attacks), unit, lines))
    return panels


def _ends(panel: Any, lines: Sequence[Any]) -> tuple[Any, Any]:
    """What the legend names: every line of two, of many the mean alone."""
    handles, labels = panel.get_legend_handles_labels()
    return (handles, labels) if len(lines) <= 2 else (handles[-1:], labels[-1:])


def pairs(
    epsilon: float,
    before: HostArray,
    after: HostArray,
    scores_before: HostArray,
    scores_after: HostArray,
    *,
    classes: Sequence[str],
    path: str | Path,
) -> None:
    """Draws images, their adversaries and the magnified differences, with the likeliest class of each.

    Args:
      epsilon: of the attack, for the title.
      before, after: levels [n, h, w, C]; of other than 1 or 3 channels the mean is drawn.
      scores_before, scores_after: probabilities [n, K].
      classes: names of the K classes.
      path: of the PNG file, written atomically.
    """
    from matplotlib.figure import Figure

    count = len(before)
    difference = after - before
    gain = 127 / max(float(np.abs(difference).max()), 1e-6)
    figure = Figure(figsize=(1.7 * count, 6), layout="constrained")
    axes = figure.subplots(3, count, squeeze=False)
    for column in range(count):
        for row, (levels, scores) in enumerate(((before, scores_before), (after, scores_after))):
            best = int(scores[column].argmax())
            axes[row, column].imshow(_drawn(levels[column]), cmap="gray", vmin=0, vmax=255)
            title = f"{classes[best]} {scores[column, best]:.0%}"
            axes[row, column].set_title(title, fontsize=9, color=INK, parse_math=False)
        axes[2, column].imshow(_drawn(127.5 + gain * difference[column]), cmap="gray", vmin=0, vmax=255)
    for panel, title in zip(axes[:, 0], ("image", f"adversary, {epsilon:g}", f"difference x {gain:.3g}"), strict=True):
        panel.set_ylabel(title, fontsize=9, color=INK)
    for panel in axes.ravel():
        panel.set(xticks=[], yticks=[])
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120)


def _drawn(levels: HostArray) -> HostArray:
    """The image [h, w] or [h, w, 3] in bytes."""
    image = levels if levels.shape[2] == 3 else levels.mean(2)
    drawn: HostArray = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return drawn
