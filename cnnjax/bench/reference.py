"""What the canaries are held against: the library's operations in float64 NumPy, without JAX.

Each takes the derivative of sum(weights * outputs), so that a wrong place in a gradient shows, not only a wrong sum.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64: TypeAlias = NDArray[np.float64]


def wide(*arrays: Any) -> tuple[Float64, ...]:
    """Returns the arrays in float64."""
    return tuple(np.asarray(array, np.float64) for array in arrays)


def convolution(
    inputs: Any,
    kernel: Any,
    weights: Any,
    stride: tuple[int, int],
    padding: tuple[tuple[int, int], tuple[int, int]],
    groups: int,
) -> tuple[Float64, Float64, Float64]:
    """Returns the cross-correlation, its gradient to the inputs and that to the kernel.

    Args:
      inputs: [N, H, W, C].
      kernel: [h, w, C / groups, K].
      weights: [N, rows, columns, K], of the outputs in the sum that is differentiated.
      padding: ((top, bottom), (left, right)).
    """
    inputs, kernel, weights = wide(inputs, kernel, weights)
    height, width, each, _ = kernel.shape
    count, rows, columns, _ = weights.shape
    padded = np.pad(inputs, ((0, 0), *padding, (0, 0)))
    outputs = np.zeros((count, rows, columns, groups, kernel.shape[-1] // groups))
    to_padded, to_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    by_group = weights.reshape(outputs.shape)
    for i in range(height):
        for j in range(width):
            seen = np.s_[:, i : i + stride[0] * rows : stride[0], j : j + stride[1] * columns : stride[1]]
            part = padded[seen][:, :rows, :columns].reshape(count, rows, columns, groups, each)
            tap = kernel[i, j].reshape(each, groups, -1)
            outputs += np.einsum("nhwgc,cgk->nhwgk", part, tap, optimize=True)
            back = np.einsum("nhwgk,cgk->nhwgc", by_group, tap, optimize=True)
            to_padded[seen] += back.reshape(count, rows, columns, -1)
            to_kernel[i, j] = np.einsum("nhwgc,nhwgk->cgk", part, by_group, optimize=True).reshape(each, -1)
    (top, bottom), (left, right) = padding
    to_inputs = to_padded[:, top : padded.shape[1] - bottom, left : padded.shape[2] - right]
    return outputs.reshape(weights.shape), to_inputs, to_kernel


def normalization(
    inputs: Any, scale: Any, bias: Any, eps: float, axes: tuple[int, ...]
) -> tuple[Float64, Float64, Float64]:
    """Returns what BatchNorm or LayerNorm gives, the normalized values, and the factor they were divided with.

    Args:
      axes: that mean and variance (the biased one) are taken over.
    """
    inputs, scale, bias = wide(inputs, scale, bias)
    factor = 1 / np.sqrt(inputs.var(axes, keepdims=True) + eps)
    normalized = (inputs - inputs.mean(axes, keepdims=True)) * factor
    return normalized * scale + bias, normalized, factor


def normalization_gradients(
    gradient: Any, scale: Any, normalized: Float64, factor: Float64, axes: tuple[int, ...]
) -> tuple[Float64, Float64, Float64]:
    """Returns the gradients to the inputs, to scale and to bias.

    Args:
      gradient: to the outputs, of the inputs' shape.
      normalized: as `normalization` returns it, with `factor`.
    """
    gradient, scale = wide(gradient, scale)
    scaled = gradient * scale
    mean, with_values = scaled.mean(axes, keepdims=True), (scaled * normalized).mean(axes, keepdims=True)
    positions = tuple(range(gradient.ndim - 1))
    to_inputs = factor * (scaled - mean - normalized * with_values)
    return to_inputs, (gradient * normalized).sum(positions), gradient.sum(positions)


def max_pool(inputs: Float64, weights: Any, window: int, stride: int) -> tuple[Float64, Float64]:
    """Returns the largest of each window, without padding, and the gradient, of equal values to the first."""
    (weights,) = wide(weights)
    count, rows, columns, channels = weights.shape
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (window, window), (1, 2))[:, ::stride, ::stride]
    places = windows.reshape(count, rows, columns, channels, -1)
    largest = places.argmax(-1)
    down, across = np.divmod(largest, window)
    n, row, column, channel = np.indices(weights.shape)
    gradient = np.zeros_like(inputs)
    np.add.at(gradient, (n, row * stride + down, column * stride + across, channel), weights)
    return np.take_along_axis(places, largest[..., None], -1)[..., 0], gradient


def softmax(logits: Any) -> tuple[Float64, Float64]:
    """Returns the probabilities and their logarithms."""
    (logits,) = wide(logits)
    shifted = logits - logits.max(-1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.exp(logarithms), logarithms
