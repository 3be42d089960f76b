"""Random erasing."""

import jax
import jax.numpy as jnp

from cnnjax.augment import draw
from cnnjax.augment.geometry import box_mask, drawn_boxes, whole
from cnnjax.core.arrays import Array


def erase(
    keys: Array,
    images: Array,
    *,
    probability: float,
    area: tuple[Array | float, Array | float] = (0.02, 0.33),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
) -> Array:
    """Overwrites a rectangle of an image by random levels.

    Zhong et al. 2017, arXiv:1708.04896, algorithm 1, filled as its RE-R: each value is drawn from 0..255, in levels,
    before the image is normalized. The paper draws until a rectangle fits; here, of ten drawn, the first that fits is
    taken, and the logarithm of the aspect is uniform, so that upright and lying rectangles are equally likely.

    Args:
      keys: [N].
      images: [N, H, W, C], levels of 0-255.
      probability: that an image is touched at all.
      area: (smallest, largest) share of the image that is erased.
      ratio: (smallest, largest) width / height of the rectangle.

    Returns:
      [N, H, W, C] of the same dtype.
    """
    keys = jax.vmap(lambda key: jax.random.split(key, 3))(keys)
    size = (images.shape[1], images.shape[2])
    boxes, found = drawn_boxes(keys[:, 0], whole(images), scale=area, ratio=ratio)
    chosen = found & (draw.uniform(keys[:, 1]) < probability)
    mask = box_mask(boxes, size=size) & chosen[:, None, None, None]
    return jnp.where(mask, draw.levels(keys[:, 2], images.shape[1:]).astype(images.dtype), images)
