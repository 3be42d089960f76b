"""Aliases for the arrays and trees that travel between the stages, and the letters of their axes.

N images of a batch, H height, W width, C channels, K classes, V views. Sizes are (height, width), images are
[N, H, W, C], labels are int [N] or, multi-label and soft, float [N, K].
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
HostArray: TypeAlias = np.ndarray
Tree: TypeAlias = dict[str, Any]
"""Nested dicts of arrays, as Flax variables are."""
Batch: TypeAlias = dict[str, jax.Array]
"""`images` uint8 [N, H, W, C], `labels`, `position` (index in the sample stream) [N], and in evaluation `mask` [N]."""
Size: TypeAlias = tuple[int, int]
"""(height, width)."""


def center(outer: Sequence[int], inner: Size) -> Size:
    """Returns (top, left) of the center crop; half an odd margin is rounded to the even number.

    So does torchvision: of a margin of 11 pixels 6 lie above and 5 below.
    """
    return round((outer[0] - inner[0]) / 2), round((outer[1] - inner[1]) / 2)
