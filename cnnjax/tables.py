"""What evaluate, predict, doctor and --print_config print for people: tables on a terminal, plain lines elsewhere."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from cnnjax import recipes
from cnnjax.config import parse

Results = Sequence[Mapping[str, Any]]


def evaluation(report: Mapping[str, Any]) -> str:
    """One line a figure, with its 95 % interval where there is one; what is larger stands in eval/<split>.json."""
    intervals = report.get("intervals", {})
    shown = {}
    for name, value in {**report, **report.get("metrics", {})}.items():
        if name == "temperature" and value:
            value = f"{value['value']:.4f}   log loss {value['log_loss']:.4f}, ece {value['ece']:.4f} with it"
        if isinstance(value, Mapping) or (
            isinstance(value, list) and not all(isinstance(v, (int, float)) for v in value)
        ):
            continue
        low_high = intervals.get(name)
        between = f"   {low_high[0]:.4g} to {low_high[1]:.4g}" if low_high else ""
        text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else value
        shown[name] = f"{text}{between}"
    width = max(map(len, shown))
    return "\n".join(f"{name:{width}} {text}" for name, text in shown.items())


def ensemble(report: Mapping[str, Any]) -> str:
    """The members, then one model, all models, and all models with the views that were asked for."""
    rows = [(member["workdir"], member) for member in report["members"]]
    for row in report["rows"]:
        nets = f"{row['nets']} models" if row["nets"] > 1 else "1 model, mean"
        rows.append((nets + ("" if row["views"] == "single" else f", {row['views']}"), row))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}   top-1    top-5    log loss    ({report['split']}, {report['count']:,} images)"]
    for name, row in rows:
        top5 = "       -" if row["top5"] is None else f"{row['top5']:8.2%}"
        lines.append(f"{name:{width}} {row['top1']:8.2%} {top5} {row['log_loss']:10.4f}")
    return "\n".join([*lines, f"gain {report['gain']:+.2%}"])


def show_predictions(results: Results) -> None:
    """Prints a table on a terminal, else a line a file; files with an error are left out."""
    from rich.console import Console  # only where something is shown: every verb begins faster without it
    from rich.table import Table
    from rich.text import Text

    console = Console()
    good = [result for result in results if "classes" in result]
    if not console.is_terminal:
        for result in good:
            classes = "  ".join(f"{item['name']} {item['probability']:.1%}" for item in result["classes"])
            print(f"{result['file']}: {classes}")
        return
    table = Table()
    for column in ("file", "class", "probability", "next"):
        table.add_column(column, overflow="fold")  # a long name is never cut
    for result in good:
        first, *others = result["classes"]
        more = "  ".join(f"{item['name']} {item['probability']:.1%}" for item in others)
        row = (result["file"], first["name"], f"{first['probability']:.1%}", more)
        table.add_row(*map(Text, row))  # as they are: a name may have brackets
    console.print(table)


def show_doctor(report: Mapping[str, Any]) -> None:
    """Prints what `doctor.examine` has found: tables on a terminal, else lines of tab-separated columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    for title, columns, rows in _doctor_tables(report):
        if not console.is_terminal:
            print("\n".join([title, *("  " + "\t".join(row) for row in rows), ""]))
            continue
        table = Table(*columns, title=title, title_justify="left", show_header=any(columns))
        for row in rows:
            table.add_row(*map(Text, row))  # as they are: a path may have brackets
        console.print(table)


def _doctor_tables(report: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]]:
    """Title, headings and rows of each table."""
    from cnnjax.bench.canaries import outcome  # which needs jax

    gpu, memory, optional = report["gpu"], report["memory"], report["optional"]
    versions = [(name, version or "missing", optional.get(name, "")) for name, version in report["versions"].items()]
    machine = [("platform", report["platform"]), ("cores", str(report["cores"]))]
    machine += [(f"memory, {name}", _gib(size)) for name, size in memory.items() if size is not None]
    machine += [
        (f"devices, {backend}", f"{kinds.count(kind)} x {kind}")
        for backend, kinds in report["devices"].items()
        for kind in sorted(set(kinds))
    ]
    machine += [
        (f"folder, {name}", f"{folder['path']}, {_gib(folder['free'])} free")
        for name, folder in report["folders"].items()
    ]
    machine += [
        ("GPU driver", gpu["driver"] or "none (nvidia-smi finds none)"),
        *(("GPU", name) for name in gpu["devices"]),
    ]
    machine += [("GPU plugin", f"{name} {version}") for name, version in gpu["plugins"].items()]
    machine += [("libtpu", gpu["libtpu"])] if gpu["libtpu"] else []
    machine += [("problem", sentence) for sentence in report["problems"]]
    flags = [(f"--{flag['name']}={flag['value']}", f"set by {flag['origin']}") for flag in report["flags"]]
    faults = [
        (
            f"{fault['package']} {fault['version']}",
            fault["what"],
            "avoided by the flags in force" if fault["avoided"] else f"NOT AVOIDED: set {fault['remedy']}",
            " ".join(fault["links"]),
        )
        for fault in report["known_faults"]
    ]
    canaries = [
        (
            "ok" if row["ok"] else "FAILED",
            row["backend"],
            row["name"],
            outcome(row),
        )
        for row in report["canaries"]
    ]
    return [
        ("Versions", ("package", "version", "for"), versions),
        ("Machine", ("", ""), machine),
        ("Flags in force (XLA_FLAGS)", ("flag", "origin"), flags or [("none", "")]),
        ("Known faults of these versions", ("package", "fault", "here", "see"), faults or [("none", "", "", "")]),
        ("Canaries: jit against float64 NumPy", ("", "backend", "what", "largest difference"), canaries),
    ]


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"


def options(recipe: recipes.Recipe) -> str:
    """Every option of a recipe with its value, where that came from, and what it means."""
    lines = []
    fields = parse.options()
    for key, value in parse.flat(recipe.config).items():
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        origin = recipe.origin.get(key, "default")
        lines.append(f"config.{key} = {shown}  ({origin})\n    {fields[key].metadata['doc']}")
    return "\n".join(lines)


def predictions_csv(results: Results) -> str:
    """One line a file and class, the likeliest first: file,rank,class,probability."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["file", "rank", "class", "probability"])
    for result in results:
        for rank, item in enumerate(result.get("classes", []), 1):
            table.writerow([result["file"], rank, item["name"], f"{item['probability']:.6g}"])
    return text.getvalue()
