"""Accuracy against complexity: operations to the right, top-1 up, and the area of a bubble is the parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax.report import drawing
from cnnjax.report.elements import count

LARGEST, SMALLEST = 1600, 12
"""Areas of bubbles in square points; no parameters would be none."""
PLACES = [(side, up) for side in (5, -5) for up in (4, -10, -22, 18, -34, 32)]
"""Where a name may stand beside its bubble, in points to the right and up, the best first."""


def bubbles_svg(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draws models as Canziani et al. 2016 (arXiv:1605.07678, figure 2) do, with a logarithmic axis of operations.

    Args:
      rows: {name, macs, params, top1, published}; top1 from 0 to 1; published models are drawn faintly, and named where
        none is both cheaper and better.
    """
    from matplotlib.ticker import PercentFormatter

    figure, panel = drawing.new(7.2, 4.6)
    largest = max(row["params"] for row in rows)
    ordered = sorted(rows, key=lambda row: (not row["published"], -row["params"]))  # own ones last, small ones on top
    for number, row in enumerate(ordered):
        color = drawing.MUTED if row["published"] else drawing.SERIES[0]
        area = max(LARGEST * row["params"] / largest, SMALLEST)
        panel.scatter(
            [row["macs"]], [row["top1"]], s=area, color=color, alpha=0.35, linewidths=0.8, gid=f"tip-{number}"
        )
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda x, _: count(x))
    panel.xaxis.set_minor_formatter(lambda x, _: "")
    panel.margins(0.1)
    panel.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    drawing.dress(panel, "", "MACs of one image", "top-1")
    _name(panel, rows)
    tips = [
        f"{row['name']}: {row['top1']:.1%}, {count(row['params'])} parameters, {count(row['macs'])} MACs"
        for row in ordered
    ]
    return drawing.svg(figure, "bubbles", "Top-1 against MACs; the area shows the parameters", tips=tips)


def _name(panel: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Names one's own models, and of the published ones that are better than all cheaper ones those that find room."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(panel.figure).get_renderer()
    panel.autoscale_view()
    taken: list[Any] = []
    best = 0.0
    own = sorted((row for row in rows if not row["published"]), key=lambda row: (-row["top1"], row["macs"]))
    others = sorted((row for row in rows if row["published"]), key=lambda row: (row["macs"], -row["top1"]))
    for row in own + others:
        if row["published"] and row["top1"] <= best:
            continue
        for x, y in PLACES[:1] if row["published"] else PLACES:
            label = panel.annotate(
                row["name"],
                (row["macs"], row["top1"]),
                xytext=(x, y),
                textcoords="offset points",
                horizontalalignment="left" if x > 0 else "right",
                fontsize=7 if row["published"] else 9,
                color=drawing.INK,
                parse_math=False,
            )
            box = label.get_window_extent(renderer)
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                best = row["top1"] if row["published"] else best
                break
            label.remove()
