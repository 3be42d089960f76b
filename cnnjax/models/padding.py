"""How windows lie over an image: padding in pixels, TensorFlow's rule, and windows that hang over the edge."""

from typing import Literal, TypeAlias

from cnnjax.core.arrays import Array

Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = Literal["same"] | int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
"""All sides alike, (vertical, horizontal), ((top, bottom), (left, right)), or TensorFlow's rule (`tensorflow_same`)."""


def pair(value: Pair) -> tuple[int, int]:
    """Returns (vertical, horizontal) of a number or a pair."""
    return (value, value) if isinstance(value, int) else value


def sides(padding: Padding, inputs: Array, window: Pair, stride: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns ((top, bottom), (left, right)) for windows over [N, H, W, C]."""
    if padding == "same":
        vertical, horizontal = (
            tensorflow_same(*sizes) for sizes in zip(inputs.shape[1:3], pair(window), pair(stride), strict=True)
        )
        return vertical, horizontal
    assert not isinstance(padding, str)
    above, left = (padding, padding) if isinstance(padding, int) else padding
    return pair(above), pair(left)


def tensorflow_same(side: int, window: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME along one axis: ceil(side / stride) outputs, the odd pixel of padding behind.

    At stride 2 and an even side it pads (0, 1) where PyTorch's models pad (1, 1): weights trained with the one are off
    by a pixel in the other.
    """
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2


def hang_over(side: int, window: int, stride: int, padding: tuple[int, int]) -> tuple[int, int]:
    """Adds padding behind until the last window that begins inside is whole."""
    before, behind = padding
    count = -(-(side + before + behind - window) // stride) + 1
    if (count - 1) * stride >= side + before:
        count -= 1
    return before, max(behind, (count - 1) * stride + window - side - before)
