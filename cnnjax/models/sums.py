"""Sums and means over the positions of images, and their opposite, broadcasting, whose gradient is such a sum.

XLA's own sum on a CPU goes through memory once for each channel and adds all values in a row. The sums here add eight
parts of each image, and products with ones add what is left: 4 x 112 x 112 x 96 through BatchNorm and back takes 19 ms
on one core, with XLA's sums 51. What is traced on other devices, or inside `algorithms.plain()`, has XLA's own.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.algorithms import uses_cpu_algorithms

PARTS_PER_IMAGE = 8
MAX_PRODUCT_LENGTH = 512  # values added in a row, each with a rounding of what came before it
MIN_CHANNELS = 32  # of fewer XLA's own sum is as fast, and LeNet-5 trains a fifth faster with it


def channel_sums(values: Array) -> Array:
    """Returns the sum of each channel over all images and positions: [N, ..., C] -> [C]."""
    return image_sums(values).sum(0)


def image_sums(values: Array) -> Array:
    """Returns the sum of each channel of each image over its positions: [N, ..., C] -> [N, C]."""
    count, positions, channels = values.shape[0], math.prod(values.shape[1:-1]), values.shape[-1]
    images = values.reshape(count, positions, channels)
    if positions <= 1:
        return images[:, 0] if positions else jnp.zeros((count, channels), values.dtype)
    parts = min(PARTS_PER_IMAGE, positions)
    rows = -(-positions // (parts * MAX_PRODUCT_LENGTH))
    length = positions // (parts * rows)  # of a row
    apart = [lax.slice_in_dim(images, i * rows * length, (i + 1) * rows * length, axis=1) for i in range(parts)]
    added = sum(apart[1:], start=apart[0]).reshape(count, rows, length, channels)
    added = lax.optimization_barrier(added)  # or XLA would make one loop of the product and what comes before
    sums = (jnp.ones((count, rows, 1, length), values.dtype) @ added).sum((1, 2))
    done = parts * rows * length
    return sums if done == positions else sums + images[:, done:].sum(1)


def image_means(values: Array) -> Array:
    """Returns the mean of each channel of each image over its positions: [N, ..., C] -> [N, C]."""
    return _means(values) if _is_faster(values.shape) else values.mean(tuple(range(1, values.ndim - 1)))


def position_means(values: Array) -> Array:
    """Returns the mean of each position over its channels: [..., C] -> [..., 1], on a CPU two to three times as fast.

    A product with ones, like the sums.
    """
    if not uses_cpu_algorithms():
        return values.mean(-1, keepdims=True)
    return values @ jnp.ones((values.shape[-1], 1), values.dtype) / values.shape[-1]


def broadcast_channels(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Broadcasts a number for each channel, [C], or for each channel of each image, [N, C], to all positions.

    Biases, scales and gates are such numbers.
    """
    return _broadcast_on_cpu(numbers, shape) if _is_faster(shape) else _broadcast(numbers, shape)


def _is_faster(shape: tuple[int, ...]) -> bool:
    return len(shape) > 2 and shape[-1] >= MIN_CHANNELS and uses_cpu_algorithms()


# A forward rule of a custom_vjp calls no custom_vjp, or what it computes could not be differentiated once more forward.


def _broadcast(numbers: Array, shape: tuple[int, ...]) -> Array:
    ones = (1,) * (len(shape) - 2)
    return jnp.broadcast_to(numbers.reshape(*numbers.shape[:-1], *ones, numbers.shape[-1]), shape)


_broadcast_on_cpu = jax.custom_vjp(_broadcast, nondiff_argnums=(1,))
_broadcast_on_cpu.defvjp(
    lambda numbers, shape: (_broadcast(numbers, shape), numbers.ndim),
    lambda shape, axes, gradient: (channel_sums(gradient) if axes == 1 else image_sums(gradient),),
)


def _mean_of_sums(values: Array) -> Array:
    means = image_sums(values.astype(jnp.float32)) / math.prod(values.shape[1:-1])
    return means.astype(values.dtype)


_means = jax.custom_vjp(_mean_of_sums)
_means.defvjp(
    lambda values: (_mean_of_sums(values), values.shape),
    lambda shape, gradient: (_broadcast(gradient / math.prod(shape[1:-1]), shape),),
)
