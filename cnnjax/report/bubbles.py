"""Accuracy against complexity: operations to the right, top-1 up, and the area of a bubble is the parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.report import drawing
from cnnjax.report.elements import count

LARGEST = 1600
"""Area of the largest bubble in square points."""


def bubbles_svg(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draws nets as Canziani et al. 2016 (arXiv:1605.07678, figure 2) do, with a logarithmic axis of operations.

    Args:
      rows: {name, macs, params, top1, published}; top1 from 0 to 1; published nets are drawn faintly, and named where
        none is both cheaper and better.
    """
    from matplotlib.ticker import PercentFormatter

    figure, panel = drawing.new(7.2, 4.6)
    largest = max(row["params"] for row in rows)
    ordered = sorted(rows, key=lambda row: (not row["published"], -row["params"]))  # own ones last, small ones on top
    for number, row in enumerate(ordered):
        colour = drawing.MUTED if row["published"] else drawing.SERIES[0]
        area = max(LARGEST * row["params"] / largest, 6)
        panel.scatter(
            [row["macs"]], [row["top1"]], s=area, color=colour, alpha=0.35, linewidths=0.8, gid=f"tip-{number}"
        )
    best = 0.0
    for row in sorted(rows, key=lambda row: (row["macs"], -row["top1"])):
        if not row["published"] or row["top1"] > best:
            panel.annotate(
                row["name"],
                (row["macs"], row["top1"]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7 if row["published"] else 9,
                color=drawing.INK,
                parse_math=False,
            )
        if row["published"]:
            best = max(best, row["top1"])
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda x, _: count(x))
    panel.xaxis.set_minor_formatter(lambda x, _: "")
    panel.margins(0.1)
    panel.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    drawing.dress(panel, "", "multiply-adds of one picture", "top-1")
    tips = [
        f"{row['name']}: {row['top1']:.1%}, {count(row['params'])} parameters, {count(row['macs'])} multiply-adds"
        for row in ordered
    ]
    return drawing.svg(figure, "bubbles", "Top-1 against multiply-adds; the area shows the parameters", tips=tips)
