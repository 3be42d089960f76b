"""The list of models: what there is, how large, how dear, and how good the weights that the bridge loads."""

from typing import Any

from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.models.base import MODELS
from cnnjax.models.cards import aliases
from cnnjax.models.model import create_model
from cnnjax.models.summary import summarize


def catalogue(text: str = "", *, max_params: int | None = None, max_macs: int | None = None) -> list[dict[str, Any]]:
    """Returns {name, family, params, macs, input_size, classes, paper, reference, weights} of the registered models.

    Args:
      text: part of a name, here or in torchvision or timm, or of a family; "" for all.
      max_params, max_macs: leave out larger ones.

    Raises:
      UserError: nothing is called so.
    """
    called = {name: f"{name} {MODELS[name].card.family}" for name in sorted(MODELS)}
    for alias, name in aliases().items():
        called[name] += f" {alias}"
    names = [name for name, words in called.items() if text.lower() in words.lower()]
    if not names:
        families = {entry.card.family for entry in MODELS.values()}
        raise UserError(f"no model or family is called like {text}{nearest(text.lower(), {*called, *families})}")
    rows = [_row(name) for name in names]
    return [
        row
        for row in rows
        if (max_params is None or row["params"] <= max_params) and (max_macs is None or row["macs"] <= max_macs)
    ]


def _row(name: str) -> dict[str, Any]:
    card = MODELS[name].card
    if card.published:
        params, macs = card.published.params, card.published.macs
    else:  # one's own and the smallest, which are quickly traced
        table = summarize(create_model(name))
        params, macs = table.params, table.macs
    weights = [
        {"source": one.source, "tag": one.tag, "top1": one.top1, "top5": one.top5, "input": one.side}
        for one in card.weights
    ]
    return {
        "name": name,
        "family": card.family,
        "params": params,
        "macs": macs,
        "input_size": list(card.input_size),
        "classes": card.num_classes,
        "paper": f"{card.paper.authors.split(',')[0]} {card.paper.year}" if card.paper else None,
        "arxiv": card.paper.arxiv if card.paper else None,
        "reference": card.published.reference if card.published else None,
        "accuracy": card.accuracy,
        "weights": weights,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """The list as the table of docs/models.md."""
    lines = [
        "| name | parameters | MACs | input | top-1 | top-5 | weights | paper |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- | --- |",
    ]
    family = None
    for row in sorted(rows, key=lambda row: (row["family"], row["params"], row["name"])):
        if row["family"] != family:
            family = row["family"]
            lines.append(f"| **{family}** | | | | | | | |")
        paper = f"[{row['paper']}](https://arxiv.org/abs/{row['arxiv']})" if row["arxiv"] else row["paper"] or ""
        macs, size = f"{row['macs'] / 1e6:,.1f} M", "x".join(map(str, row["input_size"]))
        cells = (row["name"], f"{row['params']:,}", macs, size, *_scores(row), paper)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def published() -> list[dict[str, Any]]:
    """Name, operations, parameters and top-1 of the published models, by weights of the input size that is counted."""
    rows = []
    for row in catalogue():
        fitting = [one for one in row["weights"] if one["input"] == row["input_size"][0]]
        if fitting:
            rows.append({name: row[name] for name in ("name", "macs", "params")} | {"top1": fitting[0]["top1"] / 100})
    return rows


def listing(rows: list[dict[str, Any]]) -> str:
    """The list as a table of text."""
    head = ("name", "parameters", "multiply-adds", "input", "top-1", "top-5", "weights")
    lines = [head]
    for row in rows:
        size = "x".join(map(str, row["input_size"]))
        lines.append((row["name"], f"{row['params']:,}", f"{row['macs']:,}", size, *_scores(row)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i in (0, 3, 6) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _scores(row: dict[str, Any]) -> tuple[str, str, str]:
    """Top-1, top-5 and name of the weights that the model's name means, and the input side they were measured at."""
    if not row["weights"]:
        return "", "", ""
    first = row["weights"][0]
    return f"{first['top1']:.2f}", f"{first['top5']:.2f}", f"{first['source']} {first['tag']} @{first['input']}"
