"""Normalization: over the batch, over the channels of a position, over groups of channels, over neighbors."""

import functools
from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.algorithms import uses_cpu_algorithms
from cnnjax.models.sums import broadcast_channels, channel_sums, image_means, position_means


class BatchNorm(nn.Module):
    """Normalizes each channel by the mean and variance of the batch, in evaluation by their running averages.

    Ioffe and Szegedy 2015 (1502.03167). The conventions are PyTorch's: `momentum` is the weight of the new value, and
    the running variance is the unbiased one (n - 1) while the batch is normalized by the biased one; Flax's own layer
    averages the biased, 0.1 % off after a step at n = 1000. Under jit over a mesh the statistics are those of the
    global batch. They are float32 whatever the inputs are.

    Attributes:
      momentum: 0 .. 1; Keras' momentum is 1 minus this.
      eps: added to the variance; PyTorch 1e-5, Keras and TensorFlow 1e-3.
    """

    momentum: float = 0.1
    eps: float = 1e-5
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        channels = inputs.shape[-1:]
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale, bias = jnp.ones(channels), jnp.zeros(channels)
        if self.use_scale:
            scale = self.param("scale", self.scale_init, channels, jnp.float32)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        if not train:
            return _normalize(inputs, running_mean.value, running_var.value, scale, bias, self.eps)
        by_batch = _by_batch_on_cpu if uses_cpu_algorithms() else _by_batch
        outputs, mean, var = by_batch(inputs, scale, bias, self.eps)
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            count = inputs.size // inputs.shape[-1]
            unbiased = var * (count / max(count - 1, 1))
            running_mean.value += self.momentum * (mean - running_mean.value)
            running_var.value += self.momentum * (unbiased - running_var.value)
        return outputs


Normalized: TypeAlias = tuple[Array, Array, Array]
"""Values, and the mean and variance that they were normalized by."""


def _normalize(inputs: Array, mean: Array, var: Array, scale: Array, bias: Array, eps: float) -> Array:
    normalized = (inputs.astype(jnp.float32) - mean) * (lax.rsqrt(var + eps) * scale) + bias
    return normalized.astype(inputs.dtype)


def _plain_sums(values: Array) -> Array:
    return values.sum(range(values.ndim - 1))


def _by_batch(
    inputs: Array, scale: Array, bias: Array, eps: float, sums: Callable[[Array], Array] = _plain_sums
) -> Normalized:
    values, count = inputs.astype(jnp.float32), inputs.size // inputs.shape[-1]
    mean = sums(values) / count
    var = sums((values - mean) ** 2) / count
    return _normalize(inputs, mean, var, scale, bias, eps), mean, var


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _by_batch_on_cpu(inputs: Array, scale: Array, bias: Array, eps: float) -> Normalized:
    """Has channel_sums in its gradient too: reverse mode, and forward over reverse, as the forms of convolutions."""
    return _by_batch(inputs, scale, bias, eps, channel_sums)


def _forward(inputs: Array, scale: Array, bias: Array, eps: float) -> tuple[Normalized, tuple[Array, ...]]:
    outputs, mean, var = _by_batch(inputs, scale, bias, eps, channel_sums)
    return (outputs, mean, var), (inputs, scale, mean, var)


def _backward(eps: float, saved: tuple[Array, ...], gradients: Normalized) -> Normalized:
    """The gradient of Ioffe and Szegedy 2015, section 3, with one factor for each channel where they have several."""
    inputs, scale, mean, var = saved
    to_outputs, to_mean, to_var = gradients
    gradient, centered = to_outputs.astype(jnp.float32), inputs.astype(jnp.float32) - mean
    count, root = inputs.size // inputs.shape[-1], lax.rsqrt(var + eps)
    to_bias = channel_sums(gradient)
    to_scale = channel_sums(gradient * centered) * root
    factor = scale * root
    slope = (2 * to_var - factor * root * to_scale) / count
    to_inputs = gradient * factor + centered * slope + (to_mean - factor * to_bias) / count
    return to_inputs.astype(inputs.dtype), to_scale, to_bias


_by_batch_on_cpu.defvjp(_forward, _backward)


class LRN(nn.Module):
    """Local response normalization: divides by a power of the squares summed over neighboring channels.

    Krizhevsky et al. 2012, section 3.3: b_i = a_i / (k + alpha * sum of a_j^2 over `size` channels about i)^beta. Here
    alpha multiplies the plain sum, as in the paper; PyTorch and Caffe multiply the mean (alpha / n), so their alpha is
    `size` times ours for the same layer. At the ends the sum takes the channels that are there.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs.astype(jnp.float32)
        window = (1,) * (inputs.ndim - 1) + (self.size,)
        padding = [(0, 0)] * (inputs.ndim - 1) + [(self.size // 2, (self.size - 1) // 2)]
        total = lax.reduce_window(values * values, 0.0, lax.add, window, (1,) * inputs.ndim, padding)
        return (values * (self.k + self.alpha * total) ** -self.beta).astype(inputs.dtype)


class LayerNorm(nn.Module):
    """Normalizes each position, or each token, over its channels (Ba et al. 2016, 1607.06450).

    Attributes:
      eps: added to the variance; PyTorch's default is 1e-5, that of the models here 1e-6.
    """

    eps: float = 1e-6

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs.astype(jnp.float32)
        centered = values - position_means(values)
        var = position_means(centered**2)
        return _shift_and_scale(self, centered * lax.rsqrt(var + self.eps)).astype(inputs.dtype)


class GroupNorm(nn.Module):
    """Normalizes each image over all positions and a group of neighboring channels (Wu and He 2018, 1803.08494)."""

    groups: int = 32
    eps: float = 1e-5

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs.astype(jnp.float32)
        centered = values - broadcast_channels(self._group_means(values), values.shape)
        var = self._group_means(centered**2)
        normalized = centered * broadcast_channels(lax.rsqrt(var + self.eps), values.shape)
        return _shift_and_scale(self, normalized).astype(inputs.dtype)

    def _group_means(self, values: Array) -> Array:
        """Returns the mean of a channel's group in each image: [N, H, W, C] -> [N, C]."""
        count, channels = values.shape[0], values.shape[-1]
        means = image_means(values).reshape(count, self.groups, channels // self.groups).mean(-1)
        return jnp.repeat(means, channels // self.groups, axis=-1)


def _shift_and_scale(layer: nn.Module, values: Array) -> Array:
    channels = values.shape[-1:]
    scale = layer.param("scale", nn.initializers.ones, channels, jnp.float32)
    bias = layer.param("bias", nn.initializers.zeros, channels, jnp.float32)
    return values * broadcast_channels(scale, values.shape) + broadcast_channels(bias, values.shape)
