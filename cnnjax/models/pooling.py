"""Pooling: the largest, smallest or mean value of windows, of the whole map, or of a fixed number of windows."""

import functools
import math
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.padding import Padding, Pair, hang_over, pair, sides

Two = tuple[int, int]


class MaxPool(nn.Module):
    """Largest value of each window: MaxPool(3, stride=2) overlaps; stride None is the window's side.

    Padding never wins: it counts as minus infinity.

    Attributes:
      ceil: a last window that hangs over the edge counts too, as in Caffe and PyTorch's ceil_mode, if it begins inside
        the picture or the padding before it.
    """

    window: Pair = 2
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        window = pair(self.window)
        whole = not self.ceil or all(side % step == 0 for side, step in zip(inputs.shape[1:3], window, strict=True))
        side_by_side = pair(window if self.stride is None else self.stride) == window and not self.padding and whole
        if side_by_side and math.prod(window) < 128 and jax.default_backend() == "cpu":
            return max_pool_by_index(inputs, window)
        if jax.default_backend() == "gpu":
            return _pool(max_pool_by_place, self, inputs)
        return _pool(nn.max_pool, self, inputs)


class MinPool(MaxPool):
    """Smallest value of each window."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return -super().__call__(-inputs, train)


class AvgPool(MaxPool):
    """Mean of each window.

    Attributes:
      count_padding: zeros of the padding count, as PyTorch's default has it; what `ceil` or "same" adds never does.
    """

    count_padding: bool = True

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        if self.count_padding and self.ceil and self.padding:
            raise ValueError("AvgPool cannot count some of its padding and not the rest: ceil, padding, count_padding")
        count = self.count_padding and self.padding != "same" and not self.ceil
        return _pool(functools.partial(nn.avg_pool, count_include_pad=count), self, inputs)


def _pool(function: Callable[..., Array], layer: MaxPool, inputs: Array) -> Array:
    # By keyword: exporters to ONNX replace these functions and know no positional arguments.
    window, stride = pair(layer.window), pair(layer.window if layer.stride is None else layer.stride)
    around = sides(layer.padding, inputs, window, stride)
    if layer.ceil:
        axes = zip(inputs.shape[1:3], window, stride, around, strict=True)
        around = cast(Any, tuple(hang_over(*axis) for axis in axes))
    return function(inputs, window_shape=window, strides=stride, padding=around)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool_by_index(inputs: Array, window: tuple[int, int]) -> Array:
    """Max-pooling by windows that do not overlap, whose gradient remembers where the maximum was.

    Equal to nn.max_pool to the bit, in values and in gradients (the first of equal values gets it all). On a CPU XLA
    finds the maxima a second time for the gradient, one by one: 22 ms for 64 x 28 x 28 x 32 where this takes 0.5.

    Args:
      inputs: [N, H, W, C]; rows and columns that fill no window are left out.
      window: (height, width), fewer than 128 values.
    """
    return nn.max_pool(inputs, window_shape=window, strides=window, padding="VALID")


def _pool_forward(inputs: Array, window: tuple[int, int]) -> tuple[Array, tuple[Array, Array]]:
    count, height, width, channels = inputs.shape
    (down, right), kept = window, inputs[:, : height // window[0] * window[0], : width // window[1] * window[1]]
    cells = kept.reshape(count, height // down, down, width // right, right, channels)
    parts = [cells[:, :, i, :, j] for i in range(down) for j in range(right)]
    largest = functools.reduce(jnp.maximum, parts)
    first = jnp.full(largest.shape, len(parts) - 1, jnp.int8)
    for number in reversed(range(len(parts) - 1)):
        first = jnp.where(parts[number] == largest, jnp.int8(number), first)
    rest = jnp.zeros((height % down, width % right))  # by its shape alone, the size of what was left out
    return largest, (first, rest)


def _pool_backward(window: tuple[int, int], saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    first, rest = saved
    count, height, width, channels = gradient.shape
    down, right = window
    places = np.arange(down * right, dtype=np.int8).reshape(1, 1, down, 1, right, 1)
    spread = jnp.where(first[:, :, None, :, None] == places, gradient[:, :, None, :, None], 0)
    whole = spread.reshape(count, height * down, width * right, channels).astype(gradient.dtype)
    return (jnp.pad(whole, ((0, 0), (0, rest.shape[0]), (0, rest.shape[1]), (0, 0))),)


max_pool_by_index.defvjp(_pool_forward, _pool_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool_by_place(inputs: Array, window_shape: Two, strides: Two, padding: tuple[Two, Two]) -> Array:
    """Max-pooling by any windows, whose gradient is a sum in a fixed order.

    The gradient that XLA derives scatters by atomic additions on a GPU, whose order is chance; it does not compile with
    train.deterministic. Values are nn.max_pool's to the bit, gradients up to the order in which overlapping windows
    are added (the first of equal values gets it all there too).

    Args:
      inputs: [N, H, W, C].
      padding: ((above, below), (left, right)), which never wins.
    """
    return nn.max_pool(inputs, window_shape=window_shape, strides=strides, padding=padding)


def _place_forward(
    inputs: Array, window: Two, stride: Two, padding: tuple[Two, Two]
) -> tuple[Array, tuple[Array, Array]]:
    largest = nn.max_pool(inputs, window_shape=window, strides=stride, padding=padding)
    padded = jnp.pad(inputs, ((0, 0), *padding, (0, 0)), constant_values=-jnp.inf)
    first = jnp.full(largest.shape, math.prod(window), jnp.int16)
    for number, (above, left) in reversed(list(enumerate(np.ndindex(*window)))):
        ends = [at + (n - 1) * step + 1 for at, n, step in zip((above, left), largest.shape[1:3], stride, strict=True)]
        seen = padded[:, above : ends[0] : stride[0], left : ends[1] : stride[1]]
        first = jnp.where(seen == largest, jnp.int16(number), first)
    return largest, (first, jnp.zeros(inputs.shape[1:3]))  # the latter by its shape alone


def _place_backward(
    window: Two, stride: Two, padding: tuple[Two, Two], saved: tuple[Array, Array], gradient: Array
) -> tuple[Array]:
    first, like = saved
    total = jnp.zeros((), gradient.dtype)
    for number, corner in enumerate(np.ndindex(*window)):
        lengths = zip(corner, first.shape[1:3], stride, like.shape, padding, strict=True)
        # What a window's place lies at, from the unpadded picture's edges; negative: in the padding, which is cut off.
        edges = [
            (at - pads[0], side + pads[0] - at - (n - 1) * step - 1, step - 1) for at, n, step, side, pads in lengths
        ]
        here = jnp.where(first == number, gradient, 0)
        total = total + lax.pad(here, jnp.zeros((), gradient.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    return (total,)


max_pool_by_place.defvjp(_place_forward, _place_backward)


class ZeroPad(nn.Module):
    """Zeros around the map, where they shall count in the max-pool that follows."""

    width: int = 1

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        around = (self.width, self.width)
        return jnp.pad(inputs, ((0, 0), around, around, (0, 0)))


class GlobalAvgPool(nn.Module):
    """Mean over all positions: [N, H, W, C] -> [N, C]."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return inputs.mean((1, 2))


class AdaptiveAvgPool(nn.Module):
    """Means over a fixed number of windows whatever the picture's size, by PyTorch's rule.

    Window i of n over a side s covers floor(i s / n) .. ceil((i + 1) s / n), so windows may overlap, and a side shorter
    than n repeats pixels. A picture of the output's size passes unchanged.
    """

    output_size: Pair

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        output = pair(self.output_size)
        if inputs.shape[1:3] == output:
            return inputs
        rows, columns = (
            _means(side, windows).astype(inputs.dtype) for side, windows in zip(inputs.shape[1:3], output, strict=True)
        )
        return jnp.einsum("nhwc,ih,jw->nijc", inputs, rows, columns, precision=lax.Precision.HIGHEST)


def _means(side: int, windows: int) -> Array:
    matrix = np.zeros((windows, side), np.float32)
    for i in range(windows):
        start, end = i * side // windows, -(-(i + 1) * side // windows)
        matrix[i, start:end] = 1 / (end - start)
    return jnp.asarray(matrix)
