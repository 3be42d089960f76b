"""The picture of a run: loss, accuracy and learning rate over the epochs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnjax.core.errors import UserError
from cnnjax.core.files import atomic
from cnnjax.core.logs import read_metrics

# Blue, vermilion and bluish green of Okabe and Ito's palette, which colour-blind readers tell apart.
COLOURS = {"training": "#0072B2", "validation": "#D55E00", "test": "#009E73"}
INK, FAINT = "#333333", "#DDDDDD"
# Shares of a panel's height: the least distance between two labels.
LABEL_GAP = 0.075

Records = Sequence[Mapping[str, Any]]


def curves(metrics: str | Path | Iterable[Mapping[str, Any]], path: str | Path, *, test: Any = None) -> None:
    """Draws the curves of a run as a PNG file, written atomically.

    The learning rate has a panel of its own if it changes. Training values are means since the last log line, with
    augmentation and dropout on: early in a run they lie above the validation's loss without anything being wrong.

    Args:
      metrics: metrics.jsonl, or its records: step, epoch, train/loss, train/top1, lr; on some lines val/loss, val/top1.
      path: of the picture.
      test: an evaluation {"log_loss", "top1"} to mark at the end of the curves, or None.

    Raises:
      UserError: there is no log line yet.
    """
    from matplotlib.figure import Figure  # not pyplot: no backend is chosen and no window is kept
    from matplotlib.ticker import PercentFormatter

    records = read_metrics(Path(metrics)) if isinstance(metrics, (str, Path)) else list(metrics)
    if not records:
        raise UserError(f"{metrics if isinstance(metrics, (str, Path)) else 'the log'} has no log lines to draw yet")
    rates = {record["lr"] for record in records}
    widths = [1, 1, 0.4] if len(rates) > 1 else [1, 1]
    figure = Figure(figsize=(4.4 * sum(widths), 3.2), layout="constrained")
    panels = figure.subplots(1, len(widths), width_ratios=widths)

    loss, accuracy = panels[:2]
    _draw(loss, records, "loss", test and test["log_loss"], "{:.3g}".format)
    _draw(accuracy, records, "top1", test and test["top1"], "{:.1%}".format)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    if len(rates) > 1:
        panels[2].plot(*_series(records, "lr"), color=INK, linewidth=1.2)
        # A few rates are drops by a factor, which only a logarithmic axis shows; many are a smooth curve.
        panels[2].set_yscale("log" if len(rates) <= 6 and min(rates) > 0 else "linear")
    for panel, title in zip(panels, ("Loss", "Accuracy (top-1)", "Learning rate"), strict=False):
        panel.set_xlim(0, records[-1]["epoch"])
        _dress(panel, title)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=160)


def _series(records: Records, name: str) -> tuple[list[float], list[float]]:
    """Returns the epochs and values of the lines that have `name`."""
    found = [(record["epoch"], record[name]) for record in records if record.get(name) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _draw(panel: Any, records: Records, name: str, test: float | None, text: Any) -> None:
    """One panel: a line for each split, named with its last value at its right end."""
    ends = {}
    for split, prefix in (("training", "train"), ("validation", "val")):
        epochs, values = _series(records, f"{prefix}/{name}")
        if values:
            style = {"marker": "o", "markersize": 3} if len(values) <= 40 else {}
            panel.plot(epochs, values, color=COLOURS[split], linewidth=1.4, clip_on=False, **style)
            ends[split] = values[-1]
    if test is not None:
        panel.plot(records[-1]["epoch"], test, "D", color=COLOURS["test"], markersize=5, zorder=3, clip_on=False)
        ends["test"] = test
    panel.autoscale_view()  # matplotlib would find the limits only when it draws
    if name == "top1":
        panel.set_ylim(top=min(panel.get_ylim()[1], 1))
    else:
        panel.set_ylim(bottom=0)
    heights = {split: panel.transLimits.transform((0, value))[1] for split, value in ends.items()}
    for split, height in _apart(heights).items():
        label = f"{split} {text(ends[split])}"
        panel.text(1.03, height, label, color=COLOURS[split], transform=panel.transAxes, va="center", fontsize=9)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Moves labels up until none covers another, then all down by what sticks out above the panel."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = max(height, lowest)
        lowest = placed[name] + LABEL_GAP
    above = max(lowest - LABEL_GAP - 1.0, 0.0)
    return {name: height - above for name, height in placed.items()}


def _dress(panel: Any, title: str) -> None:
    panel.set_title(title, loc="left", fontsize=11, color=INK)
    panel.set_xlabel("epoch", color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)
    panel.tick_params(colors=INK, labelsize=9)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)
