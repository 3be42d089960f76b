"""Where pixels move: crops, mirrors, boxes resampled to a size, and one affine warp.

Coordinates are (row, column) with pixel centers at whole numbers; a box is (top, left, height, width) in pixels and
covers the pixels top ... top + height - 1.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.augment import draw
from cnnjax.core.arrays import Array, center

Fill = Literal["constant", "nearest", "reflect", "wrap"]

TRIES = 10
"""Boxes drawn an image, of which the first that fits is taken (torchvision draws as many, one after the other)."""

ROUNDING = 1e-4
"""Pixels by which a coordinate may leave the image through rounding alone (cos 90 degrees is not 0 in float32)."""

# ---------------------------------------------------------------- crops and mirrors


def center_crop(images: Array, size: tuple[int, int]) -> Array:
    """Cuts the center of [N, H, W, C] to [N, h, w, C]."""
    top, left = center(images.shape[1:3], size)
    return images[:, top : top + size[0], left : left + size[1]]


def random_crop(keys: Array, images: Array, *, size: tuple[int, int], pad: int = 0, fill: str = "zero") -> Array:
    """Cuts every image at a place of its own, all places being equally likely.

    A vmapped dynamic_slice copies rows: 0.8 ms for 128 crops of 224 x 224 x 3 bytes on two CPU cores, where gathering
    rows and then columns takes 4 ms and gathering pixels 30 ms.

    Args:
      keys: [N].
      images: [N, H, W, C], any dtype.
      size: (h, w) of the crop, at most (H + 2 pad, W + 2 pad).
      pad: rows and columns set around the image first.
      fill: zero, or reflect: what they mirror about the edge pixels.

    Returns:
      [N, h, w, C] of the same dtype.
    """
    mode = "reflect" if fill == "reflect" else "constant"
    images = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode=mode)
    places = np.asarray([images.shape[1] - size[0] + 1, images.shape[2] - size[1] + 1])
    offsets = jnp.floor(draw.uniform(keys, (2,)) * places).astype(jnp.int32)
    shape = (*size, images.shape[3])
    return jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), shape))(images, offsets)


def mirror(keys: Array, images: Array, *, axis: Literal[1, 2]) -> Array:
    """Mirrors an image with probability 1/2: left-right along axis 2, top-bottom along axis 1."""
    chosen = draw.uniform(keys) < 0.5
    return jnp.where(chosen[:, None, None, None], jnp.flip(images, axis), images)


# ---------------------------------------------------------------- boxes


def whole(images: Array) -> Array:
    """Returns the sizes [N, 2] of images that fill [N, H, W, C] to its edges."""
    return jnp.broadcast_to(jnp.asarray(images.shape[1:3], jnp.int32), (images.shape[0], 2))


def whole_boxes(images: Array) -> Array:
    """Returns the boxes [N, 4] of all there is of the images."""
    sizes = whole(images).astype(jnp.float32)
    return jnp.concatenate([jnp.zeros_like(sizes), sizes], 1)


def drawn_boxes(
    keys: Array, sizes: Array, *, scale: tuple[Array | float, Array | float], ratio: tuple[float, float]
) -> tuple[Array, Array]:
    """Draws a box by area and aspect in every image, without a loop: ten candidates, of which the first that fits.

    Args:
      keys: [N].
      sizes: [N, 2], (height, width) of the images.
      scale: (smallest, largest) area as a share of the image, drawn uniformly.
      ratio: (smallest, largest) width / height, drawn uniformly in its logarithm.

    Returns:
      boxes float32 [N, 4] of whole numbers, and bool [N]: whether any candidate fitted.
    """
    sizes = sizes.astype(jnp.float32)
    u = draw.uniform(keys, (2 * TRIES + 2,))
    area = (scale[0] + (scale[1] - scale[0]) * u[:, :TRIES]) * sizes.prod(1, keepdims=True)
    low, high = np.log(ratio)
    aspect = jnp.exp(low + (high - low) * u[:, TRIES:-2])
    candidates = jnp.round(jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)], 2))
    fits = ((candidates >= 1) & (candidates <= sizes[:, None])).all(2)
    box = jnp.take_along_axis(candidates, fits.argmax(1)[:, None, None], 1)[:, 0]
    corner = jnp.floor(u[:, -2:] * (sizes - box + 1))
    return jnp.concatenate([corner, box], 1), fits.any(1)


def resized_boxes(keys: Array, sizes: Array, *, scale: tuple[float, float], ratio: tuple[float, float]) -> Array:
    """Draws the boxes [N, 4] of a random resized crop; arguments as of `drawn_boxes`.

    Szegedy et al. 2015, arXiv:1409.4842, section 6, by the rule of torchvision's RandomResizedCrop: where no candidate
    fits, the largest centered box whose aspect is within `ratio`.
    """
    boxes, found = drawn_boxes(keys, sizes, scale=scale, ratio=ratio)
    height, width = sizes[:, 0].astype(jnp.float32), sizes[:, 1].astype(jnp.float32)
    largest = jnp.stack(
        [jnp.minimum(height, jnp.round(width / ratio[0])), jnp.minimum(width, jnp.round(height * ratio[1]))], 1
    )
    largest = jnp.maximum(largest, 1)
    corner = jnp.floor((jnp.stack([height, width], 1) - largest) / 2)
    return jnp.where(found[:, None], boxes, jnp.concatenate([corner, largest], 1))


def scaled_boxes(keys: Array, sizes: Array, *, size: tuple[int, int], shorter: tuple[int, int]) -> Array:
    """Draws the boxes [N, 4] that become `size` when the image's shorter side is brought to a drawn number of pixels.

    VGG's scale jitter (Simonyan and Zisserman 2014, 1409.1556, section 3.1): the shorter side is uniform in `shorter`,
    which begins at the larger of the sides of `size` or above, and the place of the crop is uniform.
    """
    sizes = sizes.astype(jnp.float32)
    u = draw.uniform(keys, (3,))
    target = shorter[0] + (shorter[1] - shorter[0]) * u[:, :1]
    box = jnp.asarray(size, jnp.float32) * sizes.min(1, keepdims=True) / target
    return jnp.concatenate([u[:, 1:] * (sizes - box), box], 1)


def center_boxes(sizes: Array, *, size: tuple[int, int], magnification: Array | float) -> Array:
    """Returns centered boxes [N, 4] that are `magnification` [N] times `size`, in images of `sizes` [N, 2]."""
    box = jnp.stack([magnification * size[0], magnification * size[1]], -1) * jnp.ones_like(sizes, jnp.float32)
    return jnp.concatenate([(sizes - box) / 2, box], 1)


def resample(images: Array, boxes: Array, *, size: tuple[int, int]) -> Array:
    """Brings a box of every image to one size, bilinearly, as if it were cut out first and resized then.

    There is no antialiasing, as in OpenCV's INTER_LINEAR: reduced more than twofold, an image keeps only some of its
    pixels. For training that is one more variation; for images far larger than the input, prepare them smaller.

    Args:
      images: [N, H, W, C], any dtype.
      boxes: [N, 4], within the images.
      size: (h, w) of the result.

    Returns:
      float32 [N, h, w, C].
    """
    top, left, height, width = (boxes[:, i, None] for i in range(4))
    rows = top + (jnp.arange(size[0]) + 0.5) * (height / size[0]) - 0.5
    columns = left + (jnp.arange(size[1]) + 0.5) * (width / size[1]) - 0.5
    # Within the image too, which a box may leave by rounding: XLA may compute a box twice and round differently.
    rows = jnp.clip(rows, jnp.maximum(top, 0), jnp.minimum(top + height, images.shape[1]) - 1)
    columns = jnp.clip(columns, jnp.maximum(left, 0), jnp.minimum(left + width, images.shape[2]) - 1)
    return _bilinear(images, rows[:, :, None], columns[:, None, :])


def box_mask(boxes: Array, *, size: tuple[int, int]) -> Array:
    """Returns bool [N, h, w, 1]: the pixels of each box of whole numbers."""
    rows, columns = jnp.arange(size[0])[:, None], jnp.arange(size[1])
    top, left, height, width = (boxes[:, i, None, None] for i in range(4))
    return ((rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width))[..., None]


# ---------------------------------------------------------------- the affine warp


def affine_matrices(
    keys: Array,
    size: tuple[int, int],
    *,
    rotation: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    shear: float = 0.0,
    zoom: float = 0.0,
) -> Array:
    """Draws one matrix an image for rotation, shift, shear and zoom together, by the conventions of Keras.

    Keras' ImageDataGenerator multiplies rotation, shift, shear and zoom in this order; the product is written out here.
    Its shear moves columns by sin(shear) and narrows them by cos(shear). The two zoom factors are independent, so zoom
    changes the aspect too, and a factor above 1 makes the image smaller, since the matrix leads from output to input.

    Args:
      keys: [N].
      size: (height, width) of the images.
      rotation, shear: largest angle, degrees; drawn from both signs.
      shift: largest (vertical, horizontal) shift, as shares of height and width.
      zoom: the factors lie in [1 - zoom, 1 + zoom].

    Returns:
      [N, 2, 3]: from (row, column, 1) of the output to (row, column) of the input, both measured from the center.
    """
    u = draw.uniform(keys, (6,), low=-1.0, high=1.0)
    angle, skew = jnp.deg2rad(rotation) * u[:, 0], jnp.deg2rad(shear) * u[:, 3]
    down, right = shift[0] * size[0] * u[:, 1], shift[1] * size[1] * u[:, 2]
    zoom_rows, zoom_columns = 1 + zoom * u[:, 4], 1 + zoom * u[:, 5]
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    first = [cos * zoom_rows, -jnp.sin(angle + skew) * zoom_columns, cos * down - sin * right]
    second = [sin * zoom_rows, jnp.cos(angle + skew) * zoom_columns, sin * down + cos * right]
    return jnp.stack([jnp.stack(first, 1), jnp.stack(second, 1)], 1)


def warp(images: Array, matrices: Array, *, fill: Fill) -> Array:
    """Moves every image by its matrix with one bilinear gather; the same as scipy.ndimage.affine_transform, order 1.

    Args:
      images: [N, H, W, C], any dtype.
      matrices: [N, 2, 3], as `affine_matrices` makes them.
      fill: what lies outside, in SciPy's words: constant: zeros; nearest: the edge pixel; reflect: d c b a | a b c d;
        wrap: the opposite edge, first and last pixel lying on each other.

    Returns:
      float32 [N, H, W, C].
    """
    height, width = images.shape[1:3]
    row, column = (height - 1) / 2, (width - 1) / 2
    down, right = jnp.arange(height)[:, None] - row, jnp.arange(width) - column
    m = matrices[:, :, :, None, None]
    rows = m[:, 0, 0] * down + m[:, 0, 1] * right + m[:, 0, 2] + row
    columns = m[:, 1, 0] * down + m[:, 1, 1] * right + m[:, 1, 2] + column
    warped = _bilinear(images, _into(rows, height, fill), _into(columns, width, fill))
    if fill == "constant":
        warped = jnp.where((_within(rows, height) & _within(columns, width))[..., None], warped, 0.0)
    return warped


def _within(coordinates: Array, length: int) -> Array:
    return (coordinates >= -ROUNDING) & (coordinates <= length - 1 + ROUNDING)


def _into(coordinates: Array, length: int, fill: Fill) -> Array:
    """Leads coordinates outside [0, length - 1] back into it."""
    if fill == "wrap":
        coordinates = jnp.where(_within(coordinates, length), coordinates, jnp.mod(coordinates, max(length - 1, 1)))
    elif fill == "reflect":
        # Reflection about the outer edges of the edge pixels; within half a pixel of them both neighbors are the edge.
        folded = jnp.mod(coordinates + 0.5, 2 * length)
        coordinates = jnp.minimum(folded, 2 * length - folded) - 0.5
    return jnp.clip(coordinates, 0, length - 1)


def _bilinear(images: Array, rows: Array, columns: Array) -> Array:
    """Reads [N, H, W, C] at rows [N, h, w] and columns [N, h, w] (or what broadcasts to it) within the image."""
    height, width, channels = images.shape[1:]
    flat = images.reshape(-1, height * width, channels)
    top, left = jnp.floor(rows), jnp.floor(columns)
    low, near = (rows - top)[..., None], (columns - left)[..., None]
    top, left = top.astype(jnp.int32), left.astype(jnp.int32)
    bottom, right = jnp.minimum(top + 1, height - 1), jnp.minimum(left + 1, width - 1)

    def read(row: Array, column: Array) -> Array:
        index = row * width + column
        taken = jax.vmap(lambda image, at: image.at[at].get(mode="promise_in_bounds"))(flat, index)
        return taken.astype(jnp.float32)

    upper = read(top, left) * (1 - near) + read(top, right) * near
    lower = read(bottom, left) * (1 - near) + read(bottom, right) * near
    return upper * (1 - low) + lower * low
