"""report.html: one run on one page that needs no network and no server."""

import base64
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cnnjax.report import charts, elements, quality
from cnnjax.report.collect import Collected, flat
from cnnjax.report.confusion import confusion
from cnnjax.report.elements import cards, count, fold, image, note, number, percent, row, section, table

FIGURES_LIMIT = 3 << 20
"""Bytes of the images in figures/ that a page takes in; the others are linked."""
MORE = "cnnjax evaluate --report --workdir RUN writes the figures of the classes, calibration and the images of errors."


def render(run: Collected, *, beside: Path, network: Mapping[str, Any] | None = None) -> str:
    """Returns the page of a run.

    Args:
      run: what its folder holds; sections without data are left out.
      beside: the folder that the page will lie in, from which files are linked.
      network: {params, params_total, macs, layers} of the model, or None.
    """
    sections = [
        section("summary", "At a glance", _headline(run, network), _other_splits(run)),
        section("curves", "Training", *drawn(lambda: [row(*_curves(run))] if run.metrics else [])),
        section("confusion", "Confused classes", confusion(run)),
        section("classes", "Classes", _classes(run)),
        section("trust", "How much to trust it", *drawn(lambda: _trust(run)), _temperature(run)),
        section("mistakes", "Surest mistakes", _mistakes(run)),
        section("doubts", "Least sure hits", _entries(run, "hits", "Right, and closest to wrong.")),
        section("faults", "Likely label faults", _faults(run)),
        section("images", "Images", _figures(run, beside)),
        section("network", "Network", _layers(network)),
        section("origin", "Where it comes from", _config(run), _files(run, beside)),
    ]
    links = "".join(
        f'<a href="#{name}">{escape(title)}</a>' for name, title in (_name_and_title(text) for text in sections if text)
    )
    body = (
        f"<header><h1>{escape(run.name)}</h1><p>{escape(_subtitle(run))}</p>"
        f'<nav aria-label="Sections">{links}</nav></header>'
        f"<main>{''.join(sections)}</main>"
    )
    return elements.page(f"{run.name} | cnnjax", body)


def _name_and_title(text: str) -> tuple[str, str]:
    """Of a section that is ready, for the head's links."""
    return text.split('"')[1], text[text.index("<h2") :].partition(">")[2].partition("<")[0]


def drawn(draw: Any) -> list[str]:
    """What `draw` returns, or a sentence where the library that it needs is absent."""
    try:
        return list(draw())
    except ModuleNotFoundError as error:
        name = (error.name or "a library").partition(".")[0]
        return [note(f"The charts were not drawn: {name} is not installed.")]


def _subtitle(run: Collected) -> str:
    model, data = run.config.get("model", {}).get("name", "a network"), run.config.get("data", {}).get("source", "")
    counts = run.dataset.get("counts", {})
    images = ", ".join(f"{number:,} {split}" for split, number in counts.items())
    return f"{model} on {data}" + (f": {images} images of {len(run.classes):,} classes" if images else "")


# ---------------------------------------------------------------- figures


def _headline(run: Collected, network: Mapping[str, Any] | None) -> str:
    if not run.evaluation:
        return note("Nothing has been evaluated yet.") + note(MORE)
    report, items = run.evaluation, []
    intervals = report.get("intervals") or {}
    for key, name, text in (
        # With several labels an image, whether the likeliest class is one of them is but a part of the matter.
        ("top1", "Top-1" if "exact_match" in report else "Accuracy", percent),
        ("top5", "Top-5", percent),
        ("exact_match", "All labels right", percent),
        ("label_accuracy", "Labels right", percent),
        ("mean_average_precision", "Mean average precision", number),
        ("log_loss", "Log loss", number),
        ("brier", "Brier score", number),
        ("ece", "Calibration error", number),
        ("roc_auc", "ROC AUC", number),
    ):
        if report.get(key) is not None:
            low_high = intervals.get(key)
            small = f"{text(low_high[0])} to {text(low_high[1])}" if low_high else ""
            items.append((name, text(report[key]), small))
    if network:
        items.append(("Parameters", count(network["params"]), f"{network['params']:,}"))
        items.append(("Multiply-adds", count(network["macs"]), "of one image"))
    views = report.get("views", "single")
    sentence = f"{(run.split or '').capitalize()} split, {report.get('count', 0):,} images, each once"
    if "checkpoint" in report:
        sentence += f"; {report['checkpoint']} checkpoint, step {report['step']:,}"
    sentence += f"; views: {views}" if views != "single" else ""
    sentence += "; logits divided by the fitted temperature." if report.get("calibrated") else "."
    if intervals:
        sentence += " Small print: 95 % intervals by the bootstrap over images."
    return cards(items) + note(sentence) + ("" if "per_class" in report else note(MORE))


def _other_splits(run: Collected) -> str:
    if len(run.evaluations) < 2:
        return ""
    rows = [
        (split, f"{report.get('count', 0):,}", percent(report["top1"]), number(report.get("log_loss")))
        for split, report in run.evaluations.items()
    ]
    return table(("split", "images", "top-1", "log loss"), rows, caption="All evaluated splits")


def _curves(run: Collected) -> list[str]:
    return charts.curves_svg(run.metrics, test=run.evaluation if run.split == "test" else None)


def _classes(run: Collected) -> str:
    report = run.evaluation
    if "per_class" not in report:
        return ""
    keys = ("precision", "recall", "f1", "roc_auc", "average_precision")
    rows = [(item["name"], f"{item['count']:,}", *(number(item[key]) for key in keys)) for item in report["per_class"]]
    averages = [
        (f"{name} average", "", *(number(report[name][key]) if key in report[name] else "" for key in keys))
        for name in ("macro", "weighted")
        if report.get(name)
    ]
    head = ("class", "images", "precision", "recall", "F1", "ROC AUC", "average precision")
    return table(
        head, rows, caption="Each class against the rest; choose a heading to sort", sortable=True, foot=averages
    )


def _trust(run: Collected) -> list[str]:
    report, drawn = run.evaluation, []
    if report.get("reliability") and any(item["count"] for item in report["reliability"]):
        drawn.append(quality.reliability_svg(report["reliability"], report["ece"]))
    found = run.predictions()
    if found and report.get("per_class"):
        drawn.append(quality.roc_svg(*found, report["per_class"]))
        drawn.append(quality.precision_recall_svg(*found, report["per_class"]))
    return [row(*drawn)]


def _temperature(run: Collected) -> str:
    found = run.evaluation.get("temperature")
    if not found:
        return ""
    if run.evaluation.get("calibrated"):
        return note(f"The logits were divided by the fitted temperature of {found['value']:.3f}.")
    return note(
        f"Divided by a temperature of {found['value']:.3f}, the logits would have a log loss of "
        f"{number(found.get('log_loss'))} and a calibration error of {number(found.get('ece'))}."
    )


# ---------------------------------------------------------------- images


def _names(run: Collected, labels: Sequence[int]) -> str:
    return ", ".join(run.classes[label] for label in labels) or "no class"


def _entry(run: Collected, entry: Mapping[str, Any]) -> str:
    """An image with its classes, what the network said, and how sure it was."""
    own, said = _names(run, entry["labels"]), run.classes[entry["predicted"]]
    right = entry["predicted"] in entry["labels"]
    sure = percent(entry["confidence"], 1)
    alt = f"{entry['file']}: {own}, {'recognized' if right else f'taken for {said}'} with {sure}"
    caption = f"<b>{escape(said)}</b> {sure}" if right else f"{escape(own)} → <b>{escape(said)}</b> {sure}"
    return image(run.images.get(entry["index"]), alt, caption, wrong=not right)


def _entries(run: Collected, name: str, text: str) -> str:
    found = run.errors.get(name, [])
    return (
        note(text) + f'<div class="gallery wide">{"".join(_entry(run, entry) for entry in found)}</div>'
        if found
        else ""
    )


def _mistakes(run: Collected) -> str:
    found = run.errors.get("mistakes", [])
    alike = [entry for entry in found if entry.get("nearest")]
    if not alike:
        return _entries(run, "mistakes", "Wrong, and sure of it: the label → what the network said.")
    blocks = []
    for entry in alike:
        near = "".join(
            image(
                run.train_images.get(other["index"]),
                f"{other['file']}: {_names(run, other['labels'])}, distance {other['distance']:.3g}",
                escape(_names(run, other["labels"])),
            )
            for other in entry["nearest"]
        )
        blocks.append(f'<div class="alike">{_entry(run, entry)}<div class="gallery">{near}</div></div>')
    rest = "".join(_entry(run, entry) for entry in found if not entry.get("nearest"))
    text = (
        "Wrong, and sure of it: the label → what the network said. Beside each are the training images that are "
        "nearest to it in the features of the network's last layer."
    )
    return note(text) + f'<div class="alikes">{"".join(blocks)}</div><div class="gallery wide">{rest}</div>'


def _faults(run: Collected) -> str:
    total = run.errors.get("fault_count", 0)
    text = (
        f"For {total:,} images the network believes another class than the label's by confident learning (Northcutt "
        "et al. 2021); these are the likeliest. Each is a fault of the label or of the network: look."
    )
    return _entries(run, "faults", text)


def _figures(run: Collected, beside: Path) -> str:
    """The images that explain and robustness have left, named by their files."""
    shown, left, rest = [], FIGURES_LIMIT, []
    for path in run.figures:
        size = path.stat().st_size
        name = path.relative_to(run.folder.figures).with_suffix("").as_posix()
        caption = name.replace("_", " ").replace("/", ": ")
        if size > left:
            rest.append(elements.link(_relative(path, beside), caption))
            continue
        left -= size
        uri = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        shown.append(
            f'<figure class="figure"><img src="{uri}" alt="{escape(caption)}" loading="lazy">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )
    more = f'<p class="note">Too large for this page: {", ".join(rest)}</p>' if rest else ""
    return (f'<div class="figures">{"".join(shown)}</div>' if shown else "") + more


# ---------------------------------------------------------------- origin


def _layers(network: Mapping[str, Any] | None) -> str:
    if not network:
        return ""
    rows = [
        (
            layer["name"],
            " x ".join(map(str, layer["output_shape"])),
            f"{layer['activation_size']:,}",
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
        )
        for layer in network["layers"]
    ]
    head = ("layer", "output", "values", "parameters", "multiply-adds")
    return fold(f"{len(rows):,} layers", table(head, rows, caption="Layers in the order of their use"))


def _config(run: Collected) -> str:
    parts = []
    for title, document in (("Config", run.config), ("Environment", run.environment)):
        rows = [(name, plain(value)) for name, value in flat(document).items()]
        if rows:
            parts.append(fold(title, table(("option", "value"), rows, caption=title)))
    return "".join(parts)


def plain(value: Any) -> str:
    """The value of an option as text."""
    return ", ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)


def _files(run: Collected, beside: Path) -> str:
    """Links to the files that the page was made of."""
    folder, split = run.folder, run.split or "test"
    paths = [folder.config, folder.environment, folder.dataset, folder.metrics]
    paths += [folder.evaluation(name) for name in run.evaluations] + [folder.predictions(split)]
    links = [
        elements.link(_relative(path, beside), path.relative_to(folder.root).as_posix())
        for path in paths
        if path.is_file()
    ]
    return f'<p class="note">Made of {", ".join(links)}.</p>'


def _relative(path: Path, beside: Path) -> str:
    return quote(Path(os.path.relpath(path.resolve(), beside.resolve())).as_posix())
