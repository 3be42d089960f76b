"""What a run tells the world while it works: lines and a progress bar on stderr, metrics.jsonl, TensorBoard events.

stdout stays empty, so that `--json` can print exactly one document there.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnnjax.core.files import atomic, finite
from cnnjax.core.meters import duration

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Prints one line on stderr, above a progress bar if one is running."""
    console.print(text, markup=False)


class Tick(Protocol):
    """Called with how many more items are done and, optionally, a note to show beside them."""

    def __call__(self, done: int = 1, note: str = "") -> None: ...


@contextmanager
def progress(what: str, total: int, done: int = 0, *, lines: bool = True) -> Iterator[Tick]:
    """Shows how far long work is: a bar on a terminal, elsewhere (if `lines`) a plain line every ten seconds."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),  # it may be a path with brackets
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(what, total=total, completed=done, note="")
            yield lambda done=1, note="": bar.update(task, advance=done, **({"note": note} if note else {}))
        return
    yield _plain_ticks(what, total, done) if lines else lambda done=1, note="": None


def _plain_ticks(what: str, total: int, already: int) -> Tick:
    finished = already
    start = shown = time.monotonic()

    def tick(done: int = 1, note: str = "") -> None:
        nonlocal finished, shown
        finished += done
        now = time.monotonic()
        if now - shown >= 10 and finished > already:
            shown = now
            left = (now - start) / (finished - already) * (total - finished)
            say(f"{what}: {finished:,} of {total:,}, {duration(left)} left {note}".rstrip())

    return tick


class MetricsLog:
    """metrics.jsonl: one object a log line, each step once, flushed line by line.

    Args:
      path: the file; made at once, with its folder.
      keep_to: the step a resumed run starts from; later lines, and a line torn by a kill, are cut off.
    """

    def __init__(self, path: Path, keep_to: int):
        self.path = path
        kept = [record for record in read_metrics(path) if record["step"] <= keep_to]
        with atomic(path) as file:
            file.writelines(json.dumps(record).encode() + b"\n" for record in kept)
        self._file = open(path, "a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(finite(record)) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of metrics.jsonl in order; a torn last line is left out."""
    records = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return records


class TensorBoard:
    """Scalars as TensorBoard events, beside metrics.jsonl; absent where tensorboardX is not installed.

    Args:
      folder: the run folder.
      purge_step: a resumed run's events from this step on replace those of the broken one.
    """

    def __init__(self, folder: Path, purge_step: int | None):
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            self._writer = None
            return
        self._writer = SummaryWriter(logdir=str(folder), purge_step=purge_step, flush_secs=30)

    def write(self, record: dict[str, Any]) -> None:
        if self._writer is None:
            return
        for name, value in record.items():
            if name not in ("step", "epoch") and value is not None:
                self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
