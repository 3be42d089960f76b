"""Linear filters of pictures of any number of channels: products with a matrix along each side, and one convolution."""

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
    """Makes a picture smaller by `share` of its sides and as large again, without smoothing: Pillow's BOX, twice."""
    height, width = levels.shape[1:3]
    smaller = [max(int(side * share), 1) for side in (height, width)]
    rows, columns = (_box(few, side) @ _box(side, few) for side, few in zip((height, width), smaller, strict=True))
    return _along(levels, jnp.asarray(rows, jnp.float32), jnp.asarray(columns, jnp.float32))


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
    """Pillow's BOX: pixels whose centres lie within half a new pixel of its centre count alike; at least one does."""
    scale = old / new
    centers = (np.arange(new)[:, None] + 0.5) * scale
    distance = (np.arange(old) + 0.5 - centers) / max(scale, 1.0)
    weights = ((distance > -0.5) & (distance <= 0.5)).astype(np.float64)
    return weights / weights.sum(1, keepdims=True)
