"""Several runs on one page: their figures, their curves in one panel, and what their configs differ in."""

import os
from collections.abc import Collection, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnnjax.report import bubbles, charts, elements
from cnnjax.report.collect import Collected, flat
from cnnjax.report.elements import count, note, number, percent, row, section, table
from cnnjax.report.page import drawn, plain

# Key of an evaluation, heading, text, and whether more is better.
MEASURES: tuple[tuple[str, str, Any, bool], ...] = (
    ("top1", "top-1", percent, True),
    ("top5", "top-5", percent, True),
    ("mean_average_precision", "mAP", number, True),
    ("log_loss", "log loss", number, False),
    ("brier", "Brier", number, False),
    ("ece", "ECE", number, False),
    ("roc_auc", "ROC AUC", number, True),
)


def render(
    runs: Sequence[Collected],
    *,
    beside: Path,
    networks: Sequence[Mapping[str, Any] | None],
    published: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Returns the page that compares runs.

    Args:
      runs: what their folders hold.
      beside: the folder that the page will lie in, from which their own pages are linked.
      networks: {params, macs, ...} of each one's model, or None.
      published: {name, params, macs, top1} of models to set beside them in the chart, top1 from 0 to 1.
    """
    named = dict(zip(titles(runs), runs, strict=True))
    title = f"{len(runs)} runs compared" if len(runs) > 1 else f"{runs[0].name} beside published models"
    body = (
        f"<header><h1>{escape(title)}</h1><p>{escape(', '.join(named))}</p></header><main>"
        + section("summary", "Figures", _figures(named, networks, beside))
        + section("curves", "Training", *drawn(lambda: [row(*_curves(named))]))
        + section("complexity", "Accuracy against complexity", *drawn(lambda: _bubbles(named, networks, published)))
        + section("classes", "Classes", _classes(named))
        + section("config", "What differs", _differences(named))
        + "</main>"
    )
    return elements.page(f"{title} | cnnjax", body)


def titles(runs: Sequence[Collected]) -> list[str]:
    """The folders' names, or as much of their paths as tells all of them apart."""
    paths = [run.folder.root.resolve().parts for run in runs]
    for depth in range(1, max(map(len, paths)) + 1):
        names = ["/".join(parts[-depth:]) for parts in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{'/'.join(parts)} ({place})" for place, parts in enumerate(paths, 1)]


def _unlike(runs: Collection[Collected]) -> str:
    """What keeps the runs' figures from ranking them, or ""."""
    if len({(run.dataset.get("digest"), run.split) for run in runs}) > 1:
        return "on the same images"
    found = [run.evaluation for run in runs]
    looks = {(each.get("views", "single"), *each.get("scales", [1.0])) for each in found}
    return "with the same views and scales" if len(looks) > 1 else ""


def _figures(named: Mapping[str, Collected], networks: Sequence[Mapping[str, Any] | None], beside: Path) -> str:
    unlike = _unlike(named.values())
    measures = [item for item in MEASURES if any(run.evaluation.get(item[0]) is not None for run in named.values())]
    best = {}
    for key, _, _, more in measures if not unlike else []:
        values = [run.evaluation[key] for run in named.values() if run.evaluation.get(key) is not None]
        best[key] = max(values) if more else min(values)
    rows = []
    for (title, run), network in zip(named.items(), networks, strict=True):
        cells: list[Any] = [_title(title, run, beside), run.config.get("model", {}).get("name", "-"), run.split or "-"]
        for key, _, text, _ in measures:
            value = run.evaluation.get(key)
            inside = escape(text(value))
            if interval := (run.evaluation.get("intervals") or {}).get(key):
                inside += f"<br><small>{' to '.join(escape(text(bound)) for bound in interval)}</small>"
            if value is not None and value == best.get(key):
                inside = f'<span class="best">{inside}</span>'
            cells.append(("", inside))
        cells += [count(network[key]) if network else "-" for key in ("params", "macs")]
        cells.append(f"{run.metrics[-1]['epoch']:g}" if run.metrics else "-")
        rows.append(cells)
    head = ["run", "model", "split", *(item[1] for item in measures), "parameters", "multiply-adds", "epochs"]
    text = f"The runs were not evaluated {unlike}: their figures do not rank them." if unlike else ""
    caption = "Small print: 95 % intervals by the bootstrap over images"
    return note(text) + table(head, rows, caption=caption + ("; the best in bold" if best else ""))


def _title(title: str, run: Collected, beside: Path) -> Any:
    """The run's name, a link to its own page where there is one."""
    if not run.folder.report.is_file():
        return title
    target = Path(os.path.relpath(run.folder.report.resolve(), beside.resolve())).as_posix()
    return title, elements.link(quote(target), title)


def _curves(named: Mapping[str, Collected]) -> list[str]:
    logs = {title: run.metrics for title, run in named.items() if run.metrics}
    return [charts.overlaid_svg(logs, name) for name in ("loss", "top1")] if logs else []


def _bubbles(
    named: Mapping[str, Collected],
    networks: Sequence[Mapping[str, Any] | None],
    published: Sequence[Mapping[str, Any]],
) -> list[str]:
    rows: list[dict[str, Any]] = [
        {**network, "name": title, "top1": run.evaluation["top1"], "published": False}
        for (title, run), network in zip(named.items(), networks, strict=True)
        if network and network["macs"] and run.evaluation.get("top1") is not None
    ]
    if not rows:
        return []
    text = "The area of a bubble shows the parameters."
    if published:
        rows += [{**item, "published": True} for item in published]
        text += " Gray: published models by their top-1 on ImageNet, which is only comparable with runs on ImageNet."
    return [row(bubbles.bubbles_svg(rows)), note(text)]


def _classes(named: Mapping[str, Collected]) -> str:
    """F1 of each class, where all runs have the same ones."""
    scores = [run.evaluation.get("per_class") for run in named.values()]
    if not all(scores) or len({tuple(item["name"] for item in found or ()) for found in scores}) != 1:
        return ""
    rows = []
    for items in zip(*(found or () for found in scores), strict=True):
        rows.append((items[0]["name"], f"{items[0]['count']:,}", *(number(item["f1"]) for item in items)))
    return table(("class", "images", *named), rows, caption="F1 of each class; choose a heading to sort", sortable=True)


def _differences(named: Mapping[str, Collected]) -> str:
    """The options, versions and machines in which the runs differ."""
    tables = []
    for caption, documents in (
        ("Options", [flat(run.config) for run in named.values()]),
        ("Environment", [flat(run.environment) for run in named.values()]),
    ):
        keys = list(dict.fromkeys(key for document in documents for key in document))
        rows = [(key, *(plain(document.get(key)) for document in documents)) for key in keys]
        rows = [cells for cells in rows if len(set(cells[1:])) > 1]
        if rows:
            tables.append(table(("option", *named), rows, caption=caption))
    return "".join(tables) or note("Nothing: config and environment are the same.")
