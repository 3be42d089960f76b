"""The resize rule: pictures of any size become the size that a recipe asks for."""

from typing import Literal

import numpy as np

from cnnjax.config import Data
from cnnjax.core.arrays import HostArray

Size = tuple[int, int]
"""(height, width)"""

Interpolation = Literal["bilinear", "bicubic"]


def fit(image: HostArray, config: Data) -> tuple[HostArray, Size]:
    """Brings uint8 [H, W, C] to `config.size` by `config.resize`; returns it and the true (height, width) on it.

    none: as it is. center: the smallest scale that covers the size, then its centre (AlexNet's rule). squash: both
    sides to the size. pad: shrunk, if need be, until it fits the canvas, in its top left corner.
    """
    height, width = image.shape[:2]
    if config.resize == "none":
        return image, (height, width)
    assert config.size is not None
    target_height, target_width = config.size
    if config.resize == "squash":
        return resample(image, config.size, config.interpolation), config.size
    if config.resize == "center":
        scale = max(target_height / height, target_width / width)
        # Rounding must not push the box over the edge, which Pillow refuses.
        box_height, box_width = min(target_height / scale, height), min(target_width / scale, width)
        top, left = (height - box_height) / 2, (width - box_width) / 2
        box = (left, top, left + box_width, top + box_height)
        return resample(image, config.size, config.interpolation, box), config.size
    scale = min(target_height / height, target_width / width, 1.0)
    true = (max(round(height * scale), 1), max(round(width * scale), 1))
    canvas = np.zeros((target_height, target_width, image.shape[2]), np.uint8)
    canvas[: true[0], : true[1]] = resample(image, true, config.interpolation)
    return canvas, true


def resample(
    image: HostArray, size: Size, how: Interpolation = "bilinear", box: tuple[float, float, float, float] | None = None
) -> HostArray:
    """Resizes `box` (left, top, right, bottom) of uint8 [H, W, C] to (height, width), with antialiasing."""
    from PIL import Image

    kernel = Image.Resampling.BICUBIC if how == "bicubic" else Image.Resampling.BILINEAR

    if image.shape[:2] == size and box in (None, (0, 0, *size[::-1])):
        return image
    if image.shape[2] == 3:
        picture = Image.fromarray(image).resize(size[::-1], kernel, box)
        return np.asarray(picture)
    bands = (Image.fromarray(np.ascontiguousarray(image[:, :, band])) for band in range(image.shape[2]))
    return np.stack([np.asarray(band.resize(size[::-1], kernel, box)) for band in bands], axis=2)
