"""How charts look: colors, axes, and matplotlib's SVG made fit to stand inside a page."""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

# Blue, vermilion and bluish green of Okabe and Ito's palette, which color-blind readers tell apart.
COLORS = {"training": "#0072B2", "validation": "#D55E00", "test": "#009E73"}
INK, FAINT, MUTED = "#333333", "#DDDDDD", "#999999"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A6A00")
DASHES = ("solid", "dashed", "dotted", "dashdot")

# The page's style sheet has a light and a dark value for each.
VARIABLES = {INK: "var(--ink)", FAINT.lower(): "var(--line)", MUTED: "var(--muted)"} | {
    color.lower(): f"var(--series-{number})" for number, color in enumerate(SERIES)
}


def series(number: int) -> dict[str, Any]:
    """Returns color and dash of the n-th of any number of lines."""
    return {"color": SERIES[number % len(SERIES)], "linestyle": DASHES[number // len(SERIES) % len(DASHES)]}


def new(width: float = 4.6, height: float = 3.2, *, right: float = 0.15) -> tuple[Any, Any]:
    """Returns a figure and its one panel; a layout that is known need not be looked for, which takes twice the time.

    Args:
      width, height: in inches.
      right: inches beside the panel, for labels.
    """
    from matplotlib.figure import Figure  # not pyplot: no backend is chosen and no window is kept

    figure = Figure(figsize=(width, height))
    figure.subplots_adjust(left=0.6 / width, right=1 - right / width, bottom=0.5 / height, top=1 - 0.3 / height)
    return figure, figure.subplots()


def dress(panel: Any, title: str = "", x: str = "", y: str = "") -> None:
    """Gives a panel its title, the names of its axes, and the look of all others."""
    panel.set_title(title, loc="left", fontsize=11, color=INK)
    panel.set_xlabel(x, color=INK)
    panel.set_ylabel(y, color=INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(INK)
    panel.tick_params(which="both", colors=INK, labelsize=9)
    panel.grid(axis="y", color=FAINT, linewidth=0.6)
    panel.set_axisbelow(True)


def key(panel: Any, **options: Any) -> None:
    """Draws the legend, without reading formulas into names that come from data."""
    legend = panel.legend(frameon=False, fontsize=8, labelcolor=INK, **options)
    for text in legend.get_texts():
        text.set_parse_math(False)


def svg(figure: Any, name: str, alt: str, *, tips: Sequence[str] = ()) -> str:
    """Returns a figure as an <svg> element for a page.

    Its text stays text, its colors become the page's, so that it follows light and dark, and its ids are its own.

    Args:
      name: of the chart, different from all others on the page.
      alt: what the chart shows, for who cannot see it.
      tips: shown over the elements whose gid is "tip-0", "tip-1", ...
    """
    import matplotlib

    file = io.StringIO()
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "path.simplify_threshold": 0.5}
    with matplotlib.rc_context(style):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, count=1, flags=re.DOTALL)  # would hold for the whole page
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)[0]
    opening = f'<svg role="img" aria-label="{escape(alt)}" viewBox="0 0 {width} {height}">'
    text = opening + text[text.index(">") + 1 :]
    for number, tip in enumerate(tips):
        text = text.replace(f'<g id="tip-{number}">', f"<g><title>{escape(tip)}</title>")
    text = re.sub(r' id="(?![mp][0-9a-f]{10}")[^"]*"', "", text)  # what nothing refers to
    return re.sub(r"\n\s*", "\n", re.sub(r'style="[^"]*"', _themed, text)).strip()


def _themed(style: re.Match[str]) -> str:
    """The page's font and colors in the place of the file's own."""
    text = re.sub(r" ?font-family: [^;\"]*;", "", style[0])
    return re.sub(r"#[0-9a-f]{6}", lambda color: VARIABLES.get(color[0], color[0]), text)
