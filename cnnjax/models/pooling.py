"""Pooling: the largest, smallest or mean value of windows, of the whole map, or of a fixed number of windows."""

import functools
import math
from collections.abc import Callable
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.padding import Padding, Pair, hang_over, pair, sides
from cnnjax.models.sums import image_means

Two = tuple[int, int]


class MaxPool(nn.Module):
    """Largest value of each window: MaxPool(3, stride=2) overlaps; stride None is the window's side.

    Padding never wins: it counts as minus infinity.

    Attributes:
      ceil: a last window that hangs over the edge counts too, as in Caffe and PyTorch's ceil_mode, if it begins inside
        the image or the padding before it.
    """

    window: Pair = 2
    stride: Pair | None = None
    padding: Padding = 0
    ceil: bool = False

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return max_pool(inputs, *_windows(self, inputs))


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
        means = _pool(functools.partial(nn.avg_pool, count_include_pad=count), inputs, *_windows(self, inputs))
        return means.astype(inputs.dtype)  # Flax divides by counts in float32, and the rest of a model would stay there


Windows: TypeAlias = tuple[Two, Two, tuple[Two, Two]]


def _windows(layer: MaxPool, inputs: Array) -> Windows:
    """Window, stride, and padding by side."""
    window, stride = pair(layer.window), pair(layer.window if layer.stride is None else layer.stride)
    around = sides(layer.padding, inputs, window, stride)
    if layer.ceil:
        axes = zip(inputs.shape[1:3], window, stride, around, strict=True)
        around = cast(Any, tuple(hang_over(*axis) for axis in axes))
    return window, stride, around


def max_pool(inputs: Array, window: Two, stride: Two, around: tuple[Two, Two]) -> Array:
    """Max-pooling, by the place of the largest where that is faster: on CPU and GPU."""
    if jax.default_backend() not in ("cpu", "gpu") or max(window) > 32:  # XLA would compile for minutes
        return _pool(nn.max_pool, inputs, window, stride, around)
    if math.prod(window) <= 16:
        return max_pool_by_place(inputs, window, stride, around)
    # The first of the largest of a row, then the first of the rows: few operations, and the tie is still the first's.
    rows = max_pool_by_place(inputs, (1, window[1]), (1, stride[1]), ((0, 0), around[1]))
    return max_pool_by_place(rows, (window[0], 1), (stride[0], 1), (around[0], (0, 0)))


def _pool(function: Callable[..., Array], inputs: Array, window: Two, stride: Two, around: tuple[Two, Two]) -> Array:
    # By keyword: exporters to ONNX replace these functions and know no positional arguments.
    return function(inputs, window_shape=window, strides=stride, padding=around)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool_by_place(
    inputs: Array,
    window: Two,
    stride: Two,
    around: tuple[Two, Two],
) -> Array:
    """Max-pools by a reduction in which the largest value and its place travel together; the gradient needs the place.

    Equal to nn.max_pool, in values and in gradients (the first of equal values gets it all; only the order differs in
    which what comes from several windows is added). On a CPU XLA finds the maxima a second time for the gradient, one
    by one: 99 ms for 8 x 112 x 112 x 64, 3x3 and stride 2, where this takes 3. On a GPU it scatters them by atomic
    additions, whose order is chance: it does not compile with train.deterministic.

    XLA may compute the inputs twice, in the fusion that keeps the maxima and in the one that finds their places, and
    round them differently (BatchNorm and ReLU before a pool, with fused MACs in one of them). So nothing here
    is compared with a maximum that was stored: each window's place is the outcome of comparisons among its own values,
    exactly one of them, whose value is the largest as far as these roundings go. An equality with the stored maximum
    would fail for all values of such a window.

    Args:
      inputs: [N, H, W, C].
      window: (height, width), fewer than 128 values.
      around: padding ((top, bottom), (left, right)), which never wins.
    """
    return nn.max_pool(inputs, window_shape=window, strides=stride, padding=around)


def _pool_forward(
    inputs: Array,
    window: Two,
    stride: Two,
    around: tuple[Two, Two],
) -> tuple[Array, tuple[Array, Array]]:
    widths = ((0, 0, 0), *((before, behind, 0) for before, behind in around), (0, 0, 0))
    padded = lax.pad(inputs, jnp.array(-jnp.inf, inputs.dtype), widths)
    sides_ = zip(padded.shape[1:3], window, stride, strict=True)
    down, right = ((side - size) // step * step + 1 for side, size, step in sides_)
    parts = [
        padded[:, i : i + down : stride[0], j : j + right : stride[1]]
        for i in range(window[0])
        for j in range(window[1])
    ]
    candidates = [(part, jnp.full(part.shape, place, jnp.int8)) for place, part in enumerate(parts)]
    while len(candidates) > 1:  # neighbors in pairs: XLA compiles a long chain slowly
        pairs = zip(candidates[::2], candidates[1::2], strict=False)
        odd = candidates[-1:] if len(candidates) % 2 else []
        candidates = [_larger(*pair) for pair in pairs] + odd
    largest, first = candidates[0]
    return largest, (first, jnp.zeros((0, *inputs.shape[1:3])))  # the latter by its shape alone


def _larger(earlier: tuple[Array, Array], later: tuple[Array, Array]) -> tuple[Array, Array]:
    """Returns the larger of two values with its place; the earlier where they are equal."""
    return jnp.maximum(earlier[0], later[0]), jnp.where(later[0] > earlier[0], later[1], earlier[1])


def _pool_backward(
    window: Two,
    stride: Two,
    around: tuple[Two, Two],
    saved: tuple[Array, Array],
    gradient: Array,
) -> tuple[Array]:
    first, like = saved
    zero = jnp.zeros((), gradient.dtype)
    total = zero
    for number in range(math.prod(window)):
        widths = []
        for place, (before, _), step, side, count in zip(
            divmod(number, window[1]), around, stride, like.shape[1:], gradient.shape[1:3], strict=True
        ):
            start = place - before  # of this place of the first window, in the image
            widths.append((start, side - start - (count - 1) * step - 1, step - 1))
        total += lax.pad(jnp.where(first == number, gradient, 0), zero, ((0, 0, 0), *widths, (0, 0, 0)))
    return (total,)


max_pool_by_place.defvjp(_pool_forward, _pool_backward)


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
        return image_means(inputs)


class AdaptiveAvgPool(nn.Module):
    """Means over a fixed number of windows whatever the image's size, by PyTorch's rule.

    Window i of n over a side s covers floor(i s / n) .. ceil((i + 1) s / n), so windows may overlap, and a side shorter
    than n repeats pixels. An image of the output's size passes unchanged.
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
