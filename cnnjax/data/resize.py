"""The resize rule: images of any size become the size that a recipe asks for."""

from typing import Literal

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core.arrays import HostArray, Size, center

Interpolation = Literal["bilinear", "bicubic"]


def fit(image: HostArray, config: DataConfig, *, size: Size | None = None) -> tuple[HostArray, Size]:
    """Brings uint8 [H, W, C] to `config.size` by `config.resize`; returns it and the true (height, width) on it.

    none: as it is. center: the smallest scale that covers the size, then its center (AlexNet's rule), in whole pixels
    as torchvision and timm round them (see `_cut`). squash: both sides to the size. pad: shrunk, if need be, until it
    fits the canvas, in its top left corner.

    Args:
      size: (height, width) of the image, where `image` is a reduced decoding of it, whose sides are rounded.
    """
    height, width = image.shape[:2]
    if config.resize == "none":
        return image, (height, width)
    assert config.size is not None
    target_height, target_width = config.size
    if config.resize == "squash":
        return resample(image, config.size, config.interpolation), config.size
    if config.resize == "center":
        return _center(image, config, size), config.size
    true = _on_canvas((height, width), config.size)
    canvas = np.zeros((target_height, target_width, image.shape[2]), np.uint8)
    canvas[: true[0], : true[1]] = resample(image, true, config.interpolation)
    return canvas, true


def box(size: Size, config: DataConfig) -> tuple[float, float, float, float]:
    """The part (top, left, bottom, right) of an image of `size` that `fit` brings to its whole array, in its pixels.

    On a canvas it reaches beyond the image.
    """
    height, width = size
    if config.resize in ("none", "squash"):
        return 0.0, 0.0, float(height), float(width)
    assert config.size is not None
    target_height, target_width = config.size
    if config.resize == "center":
        whole = _covering(size, config.size)
        top, left = _cut(whole, config)
        down, across = height / whole[0], width / whole[1]
        return top * down, left * across, (top + target_height) * down, (left + target_width) * across
    true = _on_canvas(size, config.size)
    return 0.0, 0.0, target_height * height / true[0], target_width * width / true[1]


def _on_canvas(size: Size, canvas: Size) -> Size:
    scale = min(canvas[0] / size[0], canvas[1] / size[1], 1.0)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def effective_crop(config: DataConfig) -> Size | None:
    """Returns `config.center_crop` where it can move the cut of `fit` by a pixel, else None.

    It cannot where its margin is a multiple of four: half of that is even, and changes no rounding to the even number.
    """
    if config.resize != "center" or config.size is None or config.center_crop is None:
        return None
    margins = (side - inner for side, inner in zip(config.size, config.center_crop, strict=True))
    return config.center_crop if any(margin % 4 for margin in margins) else None


def _covering(size: Size, target: Size) -> Size:
    """Returns the size of the whole image at which it just covers `target`, its longer side rounded down."""
    (height, width), (high, wide) = size, target
    return (high, high * width // height) if high * width >= wide * height else (wide * height // width, wide)


def _cut(whole: Size, config: DataConfig) -> Size:
    """Returns (top, left) of `config.size` in the resized image.

    Torchvision and timm round once, when they cut the model's input out of the whole of it. Here evaluation cuts that
    out of what is cut here, so this is the difference of the two roundings.
    """
    assert config.size is not None
    crop = config.center_crop or config.size
    (top, left), (down, across) = center(whole, crop), center(config.size, crop)
    return top - down, left - across


def _center(image: HostArray, config: DataConfig, of: Size | None) -> HostArray:
    """Resizes one side to that of `size`, the other to less than a pixel under its exact length, and cuts the center.

    Pillow could resize the center alone, but takes its edges in float32, and some values are then off by one.
    """
    assert config.size is not None
    strip, (high, wide) = _strip(image, config.size), config.size
    whole = _covering(of if of and strip.shape == image.shape else (strip.shape[0], strip.shape[1]), config.size)
    resized = resample(strip, whole, config.interpolation)
    top, left = _cut(whole, config)
    return np.ascontiguousarray(resized[top : top + high, left : left + wide])


def _strip(image: HostArray, size: Size, longest: int = 16) -> HostArray:
    """The middle of an image of which less than 1 / `longest` would be kept: resized whole it might be huge."""
    (height, width), (high, wide) = image.shape[:2], size
    rows, columns = (max(longest * side // other, 1) for side, other in ((width * high, wide), (height * wide, high)))
    top, left = max(height - rows, 0) // 2, max(width - columns, 0) // 2
    return image[top : height - top, left : width - left]


def resample(image: HostArray, size: Size, how: Interpolation = "bilinear") -> HostArray:
    """Resizes uint8 [H, W, C] to (height, width), with antialiasing."""
    from PIL import Image

    kernel = Image.Resampling.BICUBIC if how == "bicubic" else Image.Resampling.BILINEAR

    if image.shape[:2] == size:
        return image
    if image.shape[2] == 3:
        return np.asarray(Image.fromarray(image).resize(size[::-1], kernel))
    bands = (Image.fromarray(np.ascontiguousarray(image[:, :, band])) for band in range(image.shape[2]))
    return np.stack([np.asarray(band.resize(size[::-1], kernel)) for band in bands], axis=2)
