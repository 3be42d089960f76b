"""The two pages, written into files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cnnjax.core import files
from cnnjax.core.errors import UserError
from cnnjax.report import comparison, page
from cnnjax.report.collect import collect


def write_page(
    root: str | Path,
    *,
    network: Mapping[str, Any] | None = None,
    to: str | Path | None = None,
    split: str | None = None,
) -> Path:
    """Writes the page of one run, from its folder alone, and returns the path.

    Args:
      root: the run folder.
      network: {params, params_total, macs, layers} of its model, or None.
      to: where to; None: report.html in the run folder.
      split: whose figures and images it shows; None: see `collect`.

    Raises:
      UserError: no run folder, a damaged file in it, or no file can be written there; nothing was written.
    """
    run = collect(root, split)
    path = _target(to or run.folder.report)
    files.write_text(path, page.render(run, beside=path.parent, network=network))
    return path


def write_comparison(
    roots: Sequence[str | Path],
    to: str | Path,
    *,
    networks: Sequence[Mapping[str, Any] | None],
    published: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Writes the page that compares runs, and returns its path; arguments and errors as in `comparison.render`."""
    path = _target(to)
    runs = [collect(root) for root in roots]
    files.write_text(path, comparison.render(runs, beside=path.parent, networks=networks, published=published))
    return path


def _target(path: str | Path) -> Path:
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder; name a file, such as {Path(path) / 'report.html'}")
    files.require_folder(Path(path).parent, "--to")
    return Path(path)
