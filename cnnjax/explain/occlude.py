"""Attribution by covering up: how much of a class's score is lost with each part of the picture."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, Tree
from cnnjax.explain.gradients import compiled, score
from cnnjax.models import Model


@compiled("window", "stride")
def occlusion(
    model: Model,
    variables: Tree,
    images: Array,
    targets: Array,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.0,
) -> Array:
    """The score that a grey square takes away, at each pixel the mean over the squares that cover it.

    Zeiler and Fergus 2014 (1311.2901), section 4.2, who draw the probability that is left; a soft-max near 1 hides what
    its logit shows. Negative where the cover helps.

    Args:
      images: normalised, [N, h, w, C].
      window: side of the square; None: a seventh of the picture's shorter side.
      stride: of its places; None: half a window. The last row and column of squares end with the picture.
      fill: normalised level of the square; 0 is the mean.

    Returns:
      float32 [N, h, w].
    """
    height, width = images.shape[1:3]
    window = window or max(min(height, width) // 7, 1)
    stride = stride or max(window // 2, 1)
    places = [(top, left) for top in _starts(height, window, stride) for left in _starts(width, window, stride)]
    whole = score(model.apply(variables, images), targets)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)

    def add(total: Array, place: Array) -> tuple[Array, None]:
        covered = (rows >= place[0]) & (rows < place[0] + window)
        covered &= (columns >= place[1]) & (columns < place[1] + window)
        left = score(model.apply(variables, jnp.where(covered[..., None], fill, images)), targets)
        return total + covered * (whole - left)[:, None, None], None

    total, _ = jax.lax.scan(add, jnp.zeros(images.shape[:3]), jnp.asarray(places))
    counts = np.zeros((height, width), np.float32)
    for top, left in places:
        counts[top : top + window, left : left + window] += 1
    return total / np.maximum(counts, 1)


def _starts(side: int, window: int, stride: int) -> Iterator[int]:
    yield from range(0, side - window, stride)
    yield max(side - window, 0)
