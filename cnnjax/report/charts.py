"""The course of a run: loss, accuracy and learning rate over the epochs; and of several runs on one panel."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnjax.core.errors import UserError
from cnnjax.core.files import atomic
from cnnjax.core.logs import read_metrics
from cnnjax.report import drawing

# Shares of a panel's height: the least distance between two labels.
LABEL_GAP = 0.075
TITLES = {"loss": "Loss", "top1": "Accuracy (top-1)", "lr": "Learning rate"}
MOST_POINTS = 400
"""Of a line on a page, which is some hundred pixels wide."""

Records = Sequence[Mapping[str, Any]]


def curves(metrics: str | Path | Iterable[Mapping[str, Any]], path: str | Path, *, test: Any = None) -> None:
    """Draws the curves of a run as a PNG file, written atomically.

    The learning rate has a panel of its own if it changes. Training values are means since the last log line, with
    augmentation and dropout on: early in a run they lie above the validation's loss without anything being wrong.

    Args:
      metrics: metrics.jsonl, or its records: step, epoch, train/loss, train/top1, lr; on some lines val/loss, val/top1.
      path: of the image.
      test: an evaluation {"log_loss", "top1"} to mark at the end of the curves, or None.

    Raises:
      UserError: there is no log line yet.
    """
    from matplotlib.figure import Figure

    records = read_metrics(Path(metrics)) if isinstance(metrics, (str, Path)) else list(metrics)
    if not records:
        raise UserError(f"{metrics if isinstance(metrics, (str, Path)) else 'the log'} has no log lines to draw yet")
    names = _panels(records)
    widths = [0.4 if name == "lr" else 1 for name in names]
    figure = Figure(figsize=(4.4 * sum(widths), 3.2), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(names), width_ratios=widths), names, strict=True):
        _draw(panel, records, name, test)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=160)


def curves_svg(records: Records, *, test: Any = None) -> list[str]:
    """The same panels, each as an <svg> of its own, so that a page can set them beside or below each other."""
    found = []
    for name in _panels(records):
        figure, panel = drawing.new(right=0.15 if name == "lr" else 1.25)
        _draw(panel, _thinned(records), name, test)
        found.append(drawing.svg(figure, f"curve-{name}", f"{TITLES[name]} over the epochs"))
    return found


def overlaid_svg(runs: Mapping[str, Records], name: str) -> str:
    """One quantity of several runs in one panel: that of validation where the run has one, else of training.

    Args:
      runs: the log of each by its title.
      name: loss or top1.
    """
    figure, panel = drawing.new(7.2, 3.8)
    for number, (title, records) in enumerate(runs.items()):
        epochs, values = _series(_thinned(records), f"val/{name}")
        if not values:
            epochs, values = _series(_thinned(records), f"train/{name}")
        mark = {"marker": "o", "markersize": 3} if len(values) <= 40 else {}
        panel.plot(epochs, values, linewidth=1.4, label=title, **drawing.series(number), **mark)
    _dress(panel, name, "Validation: " + TITLES[name].lower())
    drawing.key(panel)
    return drawing.svg(figure, f"overlaid-{name}", f"{TITLES[name]} of all runs over the epochs")


def _panels(records: Records) -> list[str]:
    return ["loss", "top1", "lr"] if len({record["lr"] for record in records}) > 1 else ["loss", "top1"]


def _thinned(records: Records) -> Records:
    """Every n-th log line, those with a validation, and the last."""
    stride = -(-len(records) // MOST_POINTS)
    return [
        record
        for number, record in enumerate(records, 1)
        if number % stride == 0 or number == len(records) or record.get("val/loss") is not None
    ]


def _series(records: Records, name: str) -> tuple[list[float], list[float]]:
    """Returns the epochs and values of the lines that have `name`."""
    found = [(record["epoch"], record[name]) for record in records if record.get(name) is not None]
    return [epoch for epoch, _ in found], [value for _, value in found]


def _draw(panel: Any, records: Records, name: str, test: Any) -> None:
    """One panel of a run's curves."""
    from matplotlib.ticker import LogFormatter

    if name == "lr":
        rates = {record["lr"] for record in records}
        panel.plot(*_series(records, "lr"), color=drawing.INK, linewidth=1.2)
        # A few rates are drops by a factor, which only a logarithmic axis shows; many are a smooth curve.
        if len(rates) <= 6 and min(rates) > 0:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(LogFormatter())  # 1e-03: the usual one wants fonts for formulas
            panel.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    elif name == "loss":
        _lines(panel, records, "loss", test and test.get("log_loss"), "{:.3g}".format)
    else:
        _lines(panel, records, "top1", test and test["top1"], "{:.1%}".format)
    panel.set_xlim(0, records[-1]["epoch"])
    _dress(panel, name, TITLES[name])


def _lines(panel: Any, records: Records, name: str, test: float | None, text: Any) -> None:
    """A line for each split, named with its last value at its right end."""
    ends = {}
    for split, prefix in (("training", "train"), ("validation", "val")):
        epochs, values = _series(records, f"{prefix}/{name}")
        if values:
            style = {"marker": "o", "markersize": 3} if len(values) <= 40 else {}
            panel.plot(epochs, values, color=drawing.COLORS[split], linewidth=1.4, clip_on=False, **style)
            ends[split] = values[-1]
    if test is not None:
        panel.plot(records[-1]["epoch"], test, "D", color=drawing.COLORS["test"], markersize=5, zorder=3, clip_on=False)
        ends["test"] = test
    panel.autoscale_view()  # matplotlib would find the limits only when it draws
    if name == "top1":
        panel.set_ylim(top=min(panel.get_ylim()[1], 1))
    else:
        panel.set_ylim(bottom=0)
    heights = {split: panel.transLimits.transform((0, value))[1] for split, value in ends.items()}
    for split, height in _apart(heights).items():
        label = f"{split} {text(ends[split])}"
        panel.text(1.03, height, label, color=drawing.COLORS[split], transform=panel.transAxes, va="center", fontsize=9)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Moves labels up until none covers another, then all down by what sticks out above the panel."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name, height in sorted(heights.items(), key=lambda item: item[1]):
        placed[name] = max(height, lowest)
        lowest = placed[name] + LABEL_GAP
    above = max(lowest - LABEL_GAP - 1.0, 0.0)
    return {name: height - above for name, height in placed.items()}


def _dress(panel: Any, name: str, title: str) -> None:
    from matplotlib.ticker import PercentFormatter

    drawing.dress(panel, title, "epoch")
    if name == "top1":
        panel.yaxis.set_major_formatter(PercentFormatter(xmax=1))
