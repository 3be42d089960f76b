"""The layers that nets are made of.

Every layer is called as layer(inputs, train) and computes in the dtype of its inputs, so a net becomes bfloat16 by
casting the pictures once; parameters stay float32. Pictures are [N, H, W, C], kernels [height, width, inputs / groups,
outputs]. Padding is written in pixels, never "SAME": at stride 2 that pads on other sides than PyTorch does.
"""

import functools
import math
from collections.abc import Callable
from typing import TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.initialisers import HE, Init

Pair: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]]
"""All sides alike, (vertical, horizontal), or ((top, bottom), (left, right))."""

# Up to so many groups are convolved one by one: on a CPU XLA's gradient of a grouped convolution is 8 times as slow
# (AlexNet's second layer). Many thin groups (ResNeXt's 32, depthwise) would be as many kernels to launch and compile.
SPLIT_GROUPS = 4


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _sides(padding: Padding) -> tuple[tuple[int, int], tuple[int, int]]:
    vertical, horizontal = (padding, padding) if isinstance(padding, int) else padding
    sides = (_pair(vertical), _pair(horizontal))
    return sides


def convolve(inputs: Array, kernel: Array, *, stride: Pair = 1, padding: Padding = 0, groups: int = 1) -> Array:
    """Cross-correlates [N, H, W, C] with [h, w, C / groups, K]; each side becomes floor((i + 2p - k) / s) + 1."""

    def one(part: Array, weights: Array, groups: int) -> Array:
        return lax.conv_general_dilated(
            part,
            weights,
            _pair(stride),
            _sides(padding),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    if groups == 1 or groups > SPLIT_GROUPS:
        return one(inputs, kernel, groups)
    parts = zip(jnp.split(inputs, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([one(part, weights, 1) for part, weights in parts], axis=-1)


class Conv(nn.Module):
    """Convolution: Conv(96, 11, stride=4, padding=2).

    Attributes:
      features: number of kernels.
      kernel_size, stride: one number, or (vertical, horizontal).
      groups: input and output channels fall into so many groups that do not see each other.
    """

    features: int
    kernel_size: Pair = 3
    stride: Pair = 1
    padding: Padding = 0
    groups: int = 1
    use_bias: bool = True
    initial: Init = HE

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        height, width = _pair(self.kernel_size)
        channels = inputs.shape[-1] // self.groups
        shape = (height, width, channels, self.features)
        kernel = self.param("kernel", self.initial.kernel, shape, jnp.float32).astype(inputs.dtype)
        outputs = convolve(inputs, kernel, stride=self.stride, padding=self.padding, groups=self.groups)
        if self.use_bias:
            begin = self.initial.bias(height * width * channels)
            outputs = outputs + self.param("bias", begin, (self.features,), jnp.float32).astype(inputs.dtype)
        return outputs


class Dense(nn.Module):
    """Fully connected layer over the last axis: Dense(4096)."""

    features: int
    use_bias: bool = True
    initial: Init = HE

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        shape = (inputs.shape[-1], self.features)
        kernel = self.param("kernel", self.initial.kernel, shape, jnp.float32)
        outputs = jnp.dot(inputs, kernel.astype(inputs.dtype))
        if self.use_bias:
            begin = self.initial.bias(inputs.shape[-1])
            outputs = outputs + self.param("bias", begin, (self.features,), jnp.float32).astype(inputs.dtype)
        return outputs


# ---------------------------------------------------------------- pooling


class MaxPool(nn.Module):
    """Largest value of each window: MaxPool(3, stride=2) overlaps; stride None is the window's side.

    Padding never wins: it counts as minus infinity.
    """

    window: Pair = 2
    stride: Pair | None = None
    padding: Padding = 0

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        window = _pair(self.window)
        side_by_side = _pair(window if self.stride is None else self.stride) == window and not self.padding
        if side_by_side and math.prod(window) < 128 and jax.default_backend() == "cpu":
            return max_pool_by_index(inputs, window)
        return _pool(nn.max_pool, self, inputs)


class MinPool(MaxPool):
    """Smallest value of each window."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return -super().__call__(-inputs, train)


class AvgPool(MaxPool):
    """Mean of each window; zeros of the padding count, as PyTorch's default has it."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return _pool(nn.avg_pool, self, inputs)


def _pool(function: Callable[..., Array], layer: MaxPool, inputs: Array) -> Array:
    # By keyword: exporters to ONNX replace these functions and know no positional arguments.
    stride = layer.window if layer.stride is None else layer.stride
    return function(inputs, window_shape=_pair(layer.window), strides=_pair(stride), padding=_sides(layer.padding))


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
        output = _pair(self.output_size)
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


class Flatten(nn.Module):
    """[N, H, W, C] -> [N, H W C], channels fastest; PyTorch's order is C H W, which its weights remember."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return inputs.reshape(inputs.shape[0], -1)


# ---------------------------------------------------------------- without parameters, shape kept


class ReLU(nn.Module):
    """max(x, 0); when a step asks for it, notes which channels or units some picture of the batch switched on."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        if self.is_mutable_collection("observed"):
            self.sow("observed", "fired", jnp.any(inputs > 0, axis=tuple(range(inputs.ndim - 1))))
        return nn.relu(inputs)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "elu": jax.nn.elu,
    "leaky": lambda inputs: jnp.maximum(0.1 * inputs, inputs),
    "swish": jax.nn.silu,
}
"""Beside ReLU: tanh, sigmoid, ELU (alpha 1), leaky ReLU max(0.1 x, x), swish x sigmoid(x)."""


class Activation(nn.Module):
    """One of ACTIVATIONS by name."""

    name_of: str

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return ACTIVATIONS[self.name_of](inputs)


class Dropout(nn.Dropout):
    """In training sets a share of the values to zero and scales the rest by 1 / (1 - rate).

    Srivastava et al. 2014; the scaling in training leaves evaluation as it is. `create_model(dropout=...)` replaces the
    rate of every such layer, and of Flax's own.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:  # type: ignore[override]
        return cast(Array, super().__call__(inputs, deterministic=not train))
