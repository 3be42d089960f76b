"""Pieces of HTML: text made safe, tables, figures, images; and the frame of a page."""

import base64
import hashlib
import io
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any, TypeAlias

from cnnjax.core.arrays import HostArray

EXACT = 48
"""Sides up to which an image is kept to the last bit; larger ones are photographs, and JPEG is smaller."""


def page(title: str, body: str) -> str:
    """Returns a whole document, with style and script inside.

    Its content security policy forbids every request and every other script, so that nothing foreign in a name or a
    image can do anything.
    """
    parts = {name: _asset(f"page.{name}") for name in ("css", "js")}
    digest = base64.b64encode(hashlib.sha256(parts["js"].encode()).digest()).decode()
    frame = Template(_asset("page.html"))
    return frame.substitute(title=escape(title), body=body, style=parts["css"], script=parts["js"], digest=digest)


def _asset(name: str) -> str:
    return resources.files("cnnjax.report").joinpath("assets", name).read_text(encoding="utf-8")


def section(name: str, title: str, *content: str) -> str:
    """A section that the page's head links to; empty without content."""
    inside = "\n".join(part for part in content if part)
    if not inside:
        return ""
    head = f'<h2 id="{name}-title">{escape(title)}</h2>'
    return f'<section id="{name}" aria-labeledby="{name}-title">{head}\n{inside}\n</section>'


def note(text: str) -> str:
    """A paragraph of explanation."""
    return f'<p class="note">{escape(text)}</p>' if text else ""


def row(*items: str) -> str:
    """Charts beside each other, below each other on a phone."""
    inside = "".join(f'<div class="chart">{item}</div>' for item in items if item)
    return f'<div class="row">{inside}</div>' if inside else ""


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """Figures in large type: (name, value, small print)."""
    inside = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(small)}</small></dd></div>"
        for name, value, small in items
    )
    return f'<dl class="cards">{inside}</dl>'


Rows: TypeAlias = Iterable[Sequence[Any]]


def table(head: Sequence[str], rows: Rows, *, caption: str, sortable: bool = False, foot: Rows = ()) -> str:
    """A table whose first column names its rows; cells are text, or (text, html) where the html is ready.

    Args:
      foot: rows that stay at the bottom however the others are sorted.
    """
    kind = ' class="sortable"' if sortable else ""
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body, bottom = ("".join(_line(*cells) for cells in part) for part in (rows, foot))
    last = f"<tfoot>{bottom}</tfoot>" if bottom else ""
    return scrolling(f"<table{kind}><thead><tr>{top}</tr></thead><tbody>{body}</tbody>{last}</table>", caption)


def scrolling(content: str, caption: str) -> str:
    """A table that may be wider than the page: it moves alone, by keyboard too, and its caption stays."""
    text = escape(caption)
    inside = f'<div class="scroll" tabindex="0" role="region" aria-label="{text}">{content}</div>'
    return f'<p class="caption">{text}</p>{inside}'


def _line(first: Any, *others: Any) -> str:
    cells = "".join(f"<td>{_cell(value)}</td>" for value in others)
    return f'<tr><th scope="row">{_cell(first)}</th>{cells}</tr>'


def _cell(value: Any) -> str:
    return value[1] if isinstance(value, tuple) else escape(str(value))


def link(target: str, text: str) -> str:
    """A link to a place of the page or to a file beside it."""
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def fold(title: str, content: str) -> str:
    """Content that opens on demand."""
    return f"<details><summary>{escape(title)}</summary>\n{content}\n</details>"


def image(image: HostArray | None, alt: str, caption: str, *, wrong: bool = False) -> str:
    """A thumbnail with its caption; without an image the caption alone."""
    inside = ""
    if image is not None:
        height, width = image.shape[:2]
        kind = ' class="pixels"' if max(height, width) <= EXACT else ""
        inside = f'<img src="{data_uri(image)}" width="{width}" height="{height}" alt="{escape(alt)}"{kind}>'
    mark = ' class="wrong"' if wrong else ""
    return f'<figure title="{escape(alt)}">{inside}<figcaption{mark}>{caption}</figcaption></figure>'


def data_uri(image: HostArray) -> str:
    """An image uint8 [H, W, 1 or 3] as text: PNG where it is small, else JPEG."""
    from PIL import Image

    file = io.BytesIO()
    opened = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    exact = max(image.shape[:2]) <= EXACT
    if exact:
        opened.save(file, "PNG", optimize=True)
    else:
        opened.save(file, "JPEG", quality=85)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(file.getvalue()).decode()}"


def percent(value: float | None, digits: int = 2) -> str:
    """A share as text; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure as text; a dash where it is undefined."""
    return "-" if value is None else f"{value:.{digits}f}"


def count(value: float) -> str:
    """A large number in short: 469 k, 61.7 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:g}"
