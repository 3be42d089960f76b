"""The confusion matrix, and the images of each of its cells.

A cell is a link to the images of its pair, which the style sheet shows where they are the page's target: so it works
by mouse and keyboard, goes back with the browser's button, can be sent as a link, and needs no script.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from cnnjax.report.collect import Collected
from cnnjax.report.elements import image, link, percent, scrolling, table

MOST_CLASSES = 30
"""Of a matrix; more give a list of pairs."""
LISTED = 40
"""Pairs in that list."""


def confusion(run: Collected) -> str:
    """The matrix, or with many classes the most confused pairs, and the images behind them; empty without either."""
    matrix = run.evaluation.get("confusion")
    pairs = run.errors.get("pairs", [])
    totals = [item["count"] for item in run.evaluation.get("per_class", [])]
    if not totals or not (matrix or pairs):
        return ""
    shown = {(pair["label"], pair["predicted"]) for pair in pairs if pair["images"]}
    if matrix and len(matrix) <= MOST_CLASSES:
        overview = _matrix(matrix, run.classes, shown)
    else:  # thousands of classes have no matrix
        cells = _wrong(matrix) if matrix else [(pair["count"], pair["label"], pair["predicted"]) for pair in pairs]
        overview = f"<div>{_list(cells, totals, run.classes, shown)}</div>"
    panels = "".join(_pair(run, pair, totals[pair["label"]]) for pair in pairs if pair["images"])
    if panels:
        return f'<div class="confusion">{overview}<div class="pairs" aria-live="polite">{panels}</div></div>'
    return overview


def _anchor(label: int, predicted: int) -> str:
    return f"pair-{label}-{predicted}"


def _matrix(matrix: Sequence[Sequence[int]], classes: Sequence[str], shown: set[tuple[int, int]]) -> str:
    names = [escape(name) for name in classes]
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    lines = []
    for label, counts in enumerate(matrix):
        total = sum(counts) or 1
        cells = "".join(
            _square(label, predicted, count, count / total, names, (label, predicted) in shown)
            for predicted, count in enumerate(counts)
        )
        lines.append(f'<tr><th scope="row">{names[label]}</th>{cells}</tr>')
    inside = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    caption = "Rows are the labels, columns what the network said; a number leads to its images"
    return f"<div>{scrolling(f'<table class=matrix>{inside}</table>', caption)}</div>"


def _square(label: int, predicted: int, count: int, share: float, names: Sequence[str], shown: bool) -> str:
    if not count:
        return '<td class="none">·</td>'
    what = f"{names[label]}, right" if label == predicted else f"{names[label]}, taken for {names[predicted]}"
    text = f"{count:,}"
    if shown:
        anchor = _anchor(label, predicted)
        text = f'<a href="#{anchor}" aria-label="{text} images: {what}">{text}</a>'
    # The root makes a tenth of a row visible, where most of what is interesting lies.
    kind = "right" if label == predicted else "wrong"
    return f'<td class="{kind}" style="--share: {share**0.5:.3f}" title="{what}: {share:.1%} of the row">{text}</td>'


def _wrong(matrix: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """(count, label, predicted) of every pair that was confused."""
    return [
        (count, label, predicted)
        for label, counts in enumerate(matrix)
        for predicted, count in enumerate(counts)
        if count and label != predicted
    ]


def _list(
    cells: Sequence[tuple[int, int, int]], totals: Sequence[int], classes: Sequence[str], shown: set[tuple[int, int]]
) -> str:
    rows = []
    for count, label, predicted in sorted(cells, key=lambda cell: (-cell[0], *cell[1:]))[:LISTED]:
        text: Any = f"{count:,}"
        if (label, predicted) in shown:
            text = (text, link(f"#{_anchor(label, predicted)}", text))
        rows.append((classes[label], classes[predicted], text, percent(count / totals[label], 1)))
    head = ("label", "taken for", "images", "of the label")
    return table(head, rows, caption="The most confused pairs of classes")


def _pair(run: Collected, pair: Mapping[str, Any], total: int) -> str:
    label, predicted = run.classes[pair["label"]], run.classes[pair["predicted"]]
    anchor = _anchor(pair["label"], pair["predicted"])
    chosen = pair["images"]
    which = (
        f"all {pair['count']:,}" if len(chosen) == pair["count"] else f"the surest {len(chosen)} of {pair['count']:,}"
    )
    images = "".join(
        image(
            run.images.get(entry["index"]),
            f"{entry['file']}: {label}, taken for {predicted} with {entry['confidence']:.1%}",
            percent(entry["confidence"], 0),
        )
        for entry in chosen
    )
    return (
        f'<section id="{anchor}" class="pair" tabindex="-1" aria-labeledby="{anchor}-title">'
        f'<h3 id="{anchor}-title">{escape(label)}, taken for {escape(predicted)}</h3>'
        f'<p class="note">{pair["count"] / max(total, 1):.1%} of {total:,} images; '
        f"{which}, with the confidence of the mistake</p>"
        f'<div class="gallery">{images}</div></section>'
    )
