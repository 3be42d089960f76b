"""The filters that are not learned: what a 3 x 3 kernel makes of an image, from identity to Sobel."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import files
from cnnjax.core.arrays import Array, HostArray
from cnnjax.core.errors import UserError
from cnnjax.data import decode
from cnnjax.data.listing import read_file
from cnnjax.explain import drawing
from cnnjax.models.blocks import convolve

FILTERS: dict[str, HostArray] = {
    name: np.array(rows, np.float32) / divisor
    for name, rows, divisor in (
        ("identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]], 1),
        ("edge, diagonal", [[1, 0, -1], [0, 0, 0], [-1, 0, 1]], 1),
        ("edge, 4 neighbors", [[0, 1, 0], [1, -4, 1], [0, 1, 0]], 1),
        ("edge, 8 neighbors", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], 1),
        ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1),
        ("box blur", [[1, 1, 1], [1, 1, 1], [1, 1, 1]], 9),
        ("Gaussian blur", [[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16),
        ("Sobel, across", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 1),
        ("Sobel, down", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]], 1),
    )
}
"""Kernels [3, 3]; a model cross-correlates, so they are applied as they are written, not turned by 180 degrees."""

SOBEL = "Sobel, both"
"""The length of the two Sobel filters' values as a vector."""


def filtered(image: HostArray) -> dict[str, HostArray]:
    """Applies each of FILTERS to each channel of an image, and joins both Sobel filters.

    Args:
      image: uint8 [H, W, C].

    Returns:
      uint8 [H, W, C] by name, values clipped to 0-255; beyond its edge the image goes on with its last pixels.
    """
    pixels = jnp.pad(jnp.asarray(image, jnp.float32), ((1, 1), (1, 1), (0, 0)), mode="edge")
    bands = jnp.moveaxis(pixels, 2, 0)[..., None]
    found = {name: _apply(bands, kernel) for name, kernel in FILTERS.items()}
    found[SOBEL] = jnp.hypot(found["Sobel, across"], found["Sobel, down"])
    return {name: np.asarray(jnp.rint(jnp.clip(values, 0, 255))).astype(np.uint8) for name, values in found.items()}


def draw_filters(path: str | Path, to: str | Path) -> Path:
    """Writes a grid of what the fixed filters make of an image file, as PNG.

    Raises:
      UserError: a folder, no whole image, or another ending than .png.
    """
    path, to = Path(path), Path(to)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name an image file")
    if to.suffix.lower() != ".png" or to.is_dir():
        raise UserError(f"--to={to} does not end in .png; name a PNG file for the grid")
    files.require_folder(to.parent, "--to")
    rule = DataConfig()
    try:
        image = decode.decode(read_file(path, rule.max_bytes), rule, str(path), None)
    except decode.BadImageError as error:
        raise UserError(f"{path} is no whole image ({error.reason}); name an image file") from None
    found = {name: drawing.as_rgb(values) for name, values in filtered(image).items()}
    columns = 5
    names = list(found)
    rows = [[found[name] for name in names[i : i + columns]] for i in range(0, len(names), columns)]
    drawing.sheet(rows, names, to, by_cell=True)
    return to


def _apply(bands: Array, kernel: HostArray) -> Array:
    return jnp.moveaxis(convolve(bands, jnp.asarray(kernel)[:, :, None, None])[..., 0], 0, 2)
