"""Linear filters of images of any number of channels, along one side after the other, and one convolution."""

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, HostArray


def blur(levels: Array, sigma: Array | float) -> Array:
    """Gaussian blur with the edge pixels repeated, cut at 4 sigma; the same as scipy.ndimage.gaussian_filter, nearest.

    Args:
      levels: [N, H, W, C].
      sigma: in pixels, above 0; may be traced.
    """
    return _along(levels, _gaussian(levels.shape[1], sigma), _gaussian(levels.shape[2], sigma))


def pixelate(levels: Array, share: float) -> Array:
    """Makes an image smaller by `share` of its sides and as large again, without smoothing: Pillow's BOX, twice."""
    height, width = levels.shape[1:3]
    smaller = [max(int(side * share), 1) for side in (height, width)]
    rows, columns = (_box(few, side) @ _box(side, few) for side, few in zip((height, width), smaller, strict=True))
    return _along(levels, jnp.asarray(rows, jnp.float32), jnp.asarray(columns, jnp.float32))


def zoom(levels: Array, factor: float) -> Array:
    """Magnifies the center of images to their own size, bilinearly, as the authors of ImageNet-C do.

    Corner pixels lie on corner pixels, as in scipy.ndimage.zoom with order 1. The part that is cut out first, the size
    that it is magnified to and the margin that is trimmed afterwards are whole pixels: by a factor of 1.02 a side of 32
    becomes 33 and loses its last pixel. So images move by up to half a pixel, which is half of the change that zoom
    blur makes to small ones.

    Args:
      levels: [N, H, W, C].
      factor: 1 or more.
    """
    for axis in (1, 2):
        near, beyond, share = _zoomed(levels.shape[axis], factor)
        share = share.reshape(-1, *(1,) * (3 - axis))
        levels = jnp.take(levels, near, axis) * (1 - share) + jnp.take(levels, beyond, axis) * share
    return levels


def _zoomed(side: int, factor: float) -> tuple[HostArray, HostArray, HostArray]:
    """Returns the two old pixels between which each new one lies along a side, and the share of the second."""
    kept = int(np.ceil(side / factor))
    grown = round(kept * factor)
    places = (np.arange(side) + (grown - side) // 2) * ((kept - 1) / max(grown - 1, 1))
    near = np.minimum(np.floor(places).astype(np.int32), kept - 1)
    start = (side - kept) // 2
    return start + near, start + np.minimum(near + 1, kept - 1), (places - near).astype(np.float32)


def defocus(levels: Array, radius: float, softness: float) -> Array:
    """Averages over a disk whose edge a Gaussian of sigma `softness` pixels softens, as out-of-focus lenses do."""
    kernel = disk(radius, softness)
    margin = len(kernel) // 2
    count, height, width, channels = levels.shape
    planes = levels.transpose(0, 3, 1, 2).reshape(count * channels, 1, height, width)
    planes = jnp.pad(planes, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    filtered = jax.lax.conv(planes, jnp.asarray(kernel[None, None]), (1, 1), "VALID", precision="highest")
    return filtered.reshape(count, channels, height, width).transpose(0, 2, 3, 1)


def disk(radius: float, softness: float) -> HostArray:
    """The kernel of `defocus`, float32 [k, k], of sum 1; of 17 x 17 up to radius 8, as ImageNet-C has it."""
    reach, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    steps = np.arange(-reach, reach + 1)
    kernel = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.float32)
    kernel /= kernel.sum()
    offsets = np.arange(-taps, taps + 1)
    weights = np.exp(-(offsets**2) / (2 * softness**2))
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(kernel, [(taps, taps) if other == axis else (0, 0) for other in (0, 1)], mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis)
        kernel = windows @ weights
    return kernel.astype(np.float32)


def _along(levels: Array, rows: Array, columns: Array) -> Array:
    """Multiplies a matrix [h, H] along the height and another [w, W] along the width."""
    return jnp.einsum("yh,nhwc,xw->nyxc", rows, levels.astype(jnp.float32), columns, precision="highest")


def _gaussian(side: int, sigma: Array | float) -> Array:
    """Row i has the weights of the pixels that make the new pixel i; beyond the edges stands the edge pixel."""
    reach = 4 * side  # of a sigma as large as the side
    offsets = np.arange(-reach, reach + 1)
    weights = jnp.exp(-0.5 * jnp.square(offsets / sigma)) * (np.abs(offsets) <= jnp.floor(4 * sigma + 0.5))
    places = np.clip(np.arange(side)[:, None] + offsets, 0, side - 1)
    return jnp.zeros((side, side)).at[np.arange(side)[:, None], places].add(weights / weights.sum())


def _box(old: int, new: int) -> HostArray:
    """Pillow's BOX: pixels whose centers lie within half a new pixel of its center count alike; at least one does."""
    scale = old / new
    centers = (np.arange(new)[:, None] + 0.5) * scale
    distance = (np.arange(old) + 0.5 - centers) / max(scale, 1.0)
    weights = ((distance > -0.5) & (distance <= 0.5)).astype(np.float64)
    return weights / weights.sum(1, keepdims=True)
