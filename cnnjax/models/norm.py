"""Normalisation: over the batch, over the channels of a position, over groups of channels, over neighbours."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.convolution import image_means, spread, takes_forms
from cnnjax.models.convolution.sums import channel_sums


class BatchNorm(nn.Module):
    """Normalises each channel by the mean and variance of the batch, in evaluation by their running averages.

    Ioffe and Szegedy 2015 (1502.03167). The conventions are PyTorch's: `momentum` is the weight of the new value, and
    the running variance is the unbiased one (n - 1) while the batch is normalised by the biased one; Flax's own layer
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
        by_batch = _by_batch_on_cpu if takes_forms() else _by_batch
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


def _by_batch(inputs: Array, scale: Array, bias: Array, eps: float) -> Normalized:
    values, count = inputs.astype(jnp.float32), inputs.size // inputs.shape[-1]
    sums = channel_sums if takes_forms() else lambda array: array.sum(range(array.ndim - 1))
    mean = sums(values) / count
    var = sums((values - mean) ** 2) / count
    return _normalize(inputs, mean, var, scale, bias, eps), mean, var


_by_batch_on_cpu = jax.custom_vjp(_by_batch, nondiff_argnums=(3,))
"""Has channel_sums in its gradient too: reverse mode alone, as the forms of convolutions."""


def _forward(inputs: Array, scale: Array, bias: Array, eps: float) -> tuple[Normalized, tuple[Array, ...]]:
    outputs, mean, var = _by_batch_on_cpu(inputs, scale, bias, eps)
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
    """Local response normalisation: divides by a power of the squares summed over neighbouring channels.

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
    """Normalises each position, or each token, over its channels (Ba et al. 2016, 1607.06450).

    Attributes:
      eps: added to the variance; PyTorch's default is 1e-5, that of the nets here 1e-6.
    """

    eps: float = 1e-6

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs.astype(jnp.float32)
        centered = values - _row_means(values)
        var = _row_means(centered**2)
        return _shift_and_scale(self, centered * lax.rsqrt(var + self.eps)).astype(inputs.dtype)


def _row_means(values: Array) -> Array:
    """Returns [..., C] -> [..., 1]; on a CPU a product with ones, two to three times as fast as XLA's own sum."""
    if not takes_forms():
        return values.mean(-1, keepdims=True)
    return values @ jnp.ones((values.shape[-1], 1), values.dtype) / values.shape[-1]


class GroupNorm(nn.Module):
    """Normalises each picture over all positions and a group of neighbouring channels (Wu and He 2018, 1803.08494)."""

    groups: int = 32
    eps: float = 1e-5

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs.astype(jnp.float32)
        centered = values - spread(self._group_means(values), values.shape)
        var = self._group_means(centered**2)
        normalized = centered * spread(lax.rsqrt(var + self.eps), values.shape)
        return _shift_and_scale(self, normalized).astype(inputs.dtype)

    def _group_means(self, values: Array) -> Array:
        """Returns the mean of a channel's group in each image: [N, H, W, C] -> [N, C]."""
        count, channels = len(values), values.shape[-1]
        means = image_means(values).reshape(count, self.groups, -1).mean(-1)
        return jnp.repeat(means, channels // self.groups, axis=-1)


def _shift_and_scale(layer: nn.Module, values: Array) -> Array:
    channels = values.shape[-1:]
    scale = layer.param("scale", nn.initializers.ones, channels, jnp.float32)
    bias = layer.param("bias", nn.initializers.zeros, channels, jnp.float32)
    return values * spread(scale, values.shape) + spread(bias, values.shape)
