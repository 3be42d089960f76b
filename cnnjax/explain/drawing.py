"""From maps to images: overlays at an image's own size, grids, and the sheet of all methods."""

from collections.abc import Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray
from cnnjax.core.files import atomic
from cnnjax.explain.images import Place
from cnnjax.report.drawing import INK

FOR, AGAINST = np.array([213, 94, 0], np.float32), np.array([0, 114, 178], np.float32)
"""Vermilion and blue of Okabe and Ito, which color-blind readers tell apart."""
TALLEST = 4.0
"""Heights for a width of a sheet's cells; a strip of paper would make it as long as a road."""
UNSEEN = 0.35
"""How bright an image is drawn where the model does not look."""


def as_rgb(image: HostArray) -> HostArray:
    """Returns uint8 [H, W, 3] of an image: gray as it is, the first three of many bands, the mean of two."""
    if image.shape[2] >= 3:
        return image[:, :, :3]
    return np.repeat(image.mean(2, keepdims=True).astype(np.uint8), 3, axis=2)


def stretch(values: HostArray, place: Place, size: tuple[int, int]) -> HostArray:
    """Lays a map [h, w] over an image of `size`, bilinearly; NaN outside of its place.

    Pixel centers lie at halves, as in the resizing of the image itself, so that a map of the input's own size falls
    exactly on what the model saw.
    """
    top, left, bottom, right = place
    rows, inside_rows = _weights(values.shape[0], top, bottom, size[0])
    columns, inside_columns = _weights(values.shape[1], left, right, size[1])
    whole = rows @ np.asarray(values, np.float32) @ columns.T
    return np.where(inside_rows[:, None] & inside_columns, whole, np.nan)


def _weights(cells: int, start: float, end: float, side: int) -> tuple[HostArray, HostArray]:
    """The matrix [side, cells] of linear interpolation, and which of the pixels lie between start and end."""
    pixels = np.arange(side) + 0.5
    where = np.clip((pixels - start) / (end - start) * cells - 0.5, 0, cells - 1)
    matrix = np.stack([np.interp(where, np.arange(cells), row) for row in np.eye(cells)], 1).astype(np.float32)
    return matrix, (pixels >= start) & (pixels <= end)


def scaled(values: HostArray) -> HostArray:
    """Brings a map to -1..1, or 0..1 without negative values; the highest in a hundred lie above and are cut."""
    limit = np.nanquantile(np.abs(values), 0.99) or np.nanmax(np.abs(values))
    return np.clip(values / limit, -1, 1) if limit > 0 else values


def overlay(original: HostArray, values: HostArray, place: Place, *, signed: bool = False) -> HostArray:
    """Returns uint8 [H, W, 3]: the image in gray, and over it what a map says, at the image's own size.

    Signed maps are vermilion where they speak for the class and blue where against it; others go from clear over red to
    yellow. Where the model does not look, the image is dark.
    """
    found = stretch(values, place, original.shape[:2])
    seen = ~np.isnan(found)
    found = scaled(np.nan_to_num(found)) if seen.any() else np.zeros_like(found)
    gray = as_rgb(original).astype(np.float32).mean(2, keepdims=True).repeat(3, 2)
    if signed:
        color = np.where(found[..., None] > 0, FOR, AGAINST)
    else:
        from matplotlib import colormaps

        color = 255 * colormaps["hot"](0.25 + 0.6 * found)[..., :3]
    share = 0.85 * np.abs(found[..., None])
    mixed = 0.75 * (1 - share) * gray + share * color + 0.1 * (1 - share) * 255
    return np.rint(np.where(seen[..., None], mixed, UNSEEN * gray)).astype(np.uint8)


def tiles(maps: HostArray, *, most: int = 256, signed: bool = False) -> HostArray:
    """Returns a near-square grid of maps as uint8 [H, W, 3], each scaled by itself, with a pixel between them.

    Args:
      maps: [K, h, w] in gray, or [K, h, w, 3] in color.
      most: more maps than this are represented by those that vary most, in their order.
      signed: zero is middle gray; otherwise a map goes from black to white.
    """
    maps = np.asarray(maps, np.float32)
    if len(maps) > most:
        spread = maps.reshape(len(maps), -1).std(1)
        maps = maps[np.sort(np.argsort(-spread, kind="stable")[:most])]
    maps = maps[..., None].repeat(3, -1) if maps.ndim == 3 else maps
    axes = (1, 2, 3)
    if signed:
        limit = np.abs(maps).max(axes, keepdims=True)
        levels = 127.5 + 127.5 * maps / np.where(limit > 0, limit, 1)
    else:
        low, high = maps.min(axes, keepdims=True), maps.max(axes, keepdims=True)
        levels = 255 * (maps - low) / np.where(high > low, high - low, 1)
    columns = ceil(sqrt(len(maps)))
    rows, (height, width) = ceil(len(maps) / columns), maps.shape[1:3]
    canvas = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8)
    for number, level in enumerate(levels):
        top, left = (number // columns) * (height + 1) + 1, (number % columns) * (width + 1) + 1
        canvas[top : top + height, left : left + width] = np.rint(level)
    return enlarged(canvas)


def enlarged(image: HostArray, side: int = 512) -> HostArray:
    """Repeats the pixels of a small image a whole number of times, so that its longer side comes near `side`."""
    times = max(side // max(image.shape[:2]), 1)
    return image.repeat(times, 0).repeat(times, 1)


def sheet(
    rows: Sequence[Sequence[HostArray]],
    titles: Sequence[str],
    path: Path,
    *,
    labels: Sequence[str] = (),
    by_cell: bool = False,
) -> None:
    """Writes a table of images as PNG.

    Args:
      titles: one over each column or, with by_cell, one over each image.
      labels: one at each row, or none.
    """
    from matplotlib.figure import Figure  # not pyplot: no backend is chosen and no window is kept

    columns, gap = max(map(len, rows)), 0.25 if by_cell else 0.05
    height, width = rows[0][0].shape[:2]
    ratio = min(height / width, TALLEST)
    figure = Figure(figsize=(1.7 * columns + 0.3, (1.7 * ratio + gap) * len(rows) + 0.3), layout="constrained")
    panels = figure.subplots(len(rows), columns, squeeze=False)
    over = iter(titles)
    for number, (line, cells) in enumerate(zip(panels, rows, strict=True)):
        for panel in line:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        for panel, cell in zip(line, cells, strict=False):
            panel.imshow(cell, interpolation="nearest" if max(cell.shape[:2]) < 128 else "antialiased")
            if by_cell or number == 0:
                panel.set_title(next(over), fontsize=9, color=INK, parse_math=False)
        if labels:
            line[0].set_ylabel(labels[number], fontsize=8, color=INK, parse_math=False)
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=130)


def write(path: Path, image: Any) -> Path:
    """Writes uint8 [H, W, 3] as PNG, whole or not at all."""
    from PIL import Image

    with atomic(path) as file:
        Image.fromarray(np.ascontiguousarray(image)).save(file, format="PNG")
    return path
