"""How a layer's kernel and bias begin: one `Init` a family, as its paper or its reference code has it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array

Initializer = Callable[..., Any]
"""(key, shape, dtype) -> array, as jax.nn.initializers has it."""


@dataclass(frozen=True)
class Init:
    """The pair that a convolution or dense layer takes as `initial=`.

    Attributes:
      kernel: of [..., inputs, outputs]; the fan-in is the product of all axes but the last.
      bias: makes the bias' initializer from the fan-in of the kernel, since PyTorch's default needs it.
    """

    kernel: Initializer
    bias: Callable[[int], Initializer]


def _constant(value: float) -> Callable[[int], Initializer]:
    return lambda fan_in: nn.initializers.constant(value)


def _uniform_by_fan_in(fan_in: int) -> Initializer:
    bound = max(fan_in, 1) ** -0.5

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw


def gaussian(std: float, *, bias: float = 0.0) -> Init:
    """N(0, std^2) weights and constant biases, as in the papers of 2012 to 2014."""
    return Init(nn.initializers.normal(std), _constant(bias))


GLOROT = Init(nn.initializers.glorot_uniform(), _constant(0.0))
"""Glorot and Bengio 2010, uniform, biases 0: Keras' default."""

HE = Init(nn.initializers.variance_scaling(2.0, "fan_in", "normal"), _constant(0.0))
"""He et al. 2015 (1502.01852, equation 10): N(0, 2 / fan-in) keeps the variance through ReLU layers; biases 0."""

HE_OUT = Init(nn.initializers.variance_scaling(2.0, "fan_out", "normal"), _constant(0.0))
"""The same by the fan-out, N(0, 2 / fan-out), which keeps the gradients' variance: torchvision's ResNets."""

UNIFORM_OUT = Init(nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform"), _constant(0.0))
"""Uniform within 1 / sqrt(fan-out), biases 0: the last layer of EfficientNet and MnasNet."""

TORCH = Init(nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"), _uniform_by_fan_in)
"""PyTorch's default for both: uniform within 1 / sqrt(fan-in)."""
