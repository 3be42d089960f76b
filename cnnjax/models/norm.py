"""Normalisation: over the batch, over the channels of a position, over groups of channels, over neighbours."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array


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
        values = inputs.astype(jnp.float32)
        mean, var = running_mean.value, running_var.value
        if train:
            axes = tuple(range(inputs.ndim - 1))
            mean, var = values.mean(axes), values.var(axes)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                count = values.size // values.shape[-1]
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value += self.momentum * (mean - running_mean.value)
                running_var.value += self.momentum * (unbiased - running_var.value)
        factor = lax.rsqrt(var + self.eps)
        if self.use_scale:
            factor = factor * self.param("scale", self.scale_init, channels, jnp.float32)
        normalised = (values - mean) * factor
        if self.use_bias:
            normalised = normalised + self.param("bias", nn.initializers.zeros, channels, jnp.float32)
        return normalised.astype(inputs.dtype)


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
        mean, var = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
        return _shift_and_scale(self, (values - mean) * lax.rsqrt(var + self.eps)).astype(inputs.dtype)


class GroupNorm(nn.Module):
    """Normalises each picture over all positions and a group of neighbouring channels (Wu and He 2018, 1803.08494)."""

    groups: int = 32
    eps: float = 1e-5

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        count, height, width, channels = inputs.shape
        values = inputs.astype(jnp.float32).reshape(count, height, width, self.groups, channels // self.groups)
        mean, var = values.mean((1, 2, 4), keepdims=True), values.var((1, 2, 4), keepdims=True)
        normalised = ((values - mean) * lax.rsqrt(var + self.eps)).reshape(inputs.shape)
        return _shift_and_scale(self, normalised).astype(inputs.dtype)


def _shift_and_scale(layer: nn.Module, values: Array) -> Array:
    channels = values.shape[-1:]
    scale = layer.param("scale", nn.initializers.ones, channels, jnp.float32)
    return values * scale + layer.param("bias", nn.initializers.zeros, channels, jnp.float32)
