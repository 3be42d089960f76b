"""The layers that models are made of.

Every layer is called as layer(inputs, train) and computes in the dtype of its inputs, so a model becomes bfloat16 by
casting the images once; parameters stay float32. Biases, scales and gates meet the map in float32, since their
gradient is a sum over the batch: added up in bfloat16, 1,922,000 ones are 16,128. Images are [N, H, W, C], kernels
[height, width, inputs / groups, outputs]. Padding is written in pixels, never "SAME": at stride 2 that pads on other
sides than PyTorch does.
"""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.convolution import convolve
from cnnjax.models.initializers import HE, Init
from cnnjax.models.norm import BatchNorm
from cnnjax.models.padding import Padding, Pair, pair
from cnnjax.models.sums import broadcast_channels, image_means


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
        height, width = pair(self.kernel_size)
        channels = inputs.shape[-1] // self.groups
        shape = (height, width, channels, self.features)
        kernel = self.standing_for(self.param("kernel", self.initial.kernel, shape, jnp.float32)).astype(inputs.dtype)
        outputs = convolve(inputs, kernel, stride=self.stride, padding=self.padding, groups=self.groups)
        if self.use_bias:
            bias = self.param("bias", self.initial.bias(height * width * channels), (self.features,), jnp.float32)
            outputs = (outputs + broadcast_channels(bias, outputs.shape)).astype(inputs.dtype)
        return outputs

    def standing_for(self, kernel: Array) -> Array:
        """What the images are convolved with: the parameter itself, or what a subclass makes of it."""
        return kernel


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
            bias = self.param("bias", self.initial.bias(inputs.shape[-1]), (self.features,), jnp.float32)
            outputs = (outputs + broadcast_channels(bias, outputs.shape)).astype(inputs.dtype)
        return outputs


class Flatten(nn.Module):
    """[N, H, W, C] -> [N, H W C], channels fastest; PyTorch's order is C H W, which its weights remember."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return inputs.reshape(inputs.shape[0], -1)


# ---------------------------------------------------------------- without parameters, shape kept


class ReLU(nn.Module):
    """max(x, 0); when a step asks for it, notes which channels or units some image of the batch switched on."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        if self.is_mutable_collection("observed"):
            self.sow("observed", "fired", jnp.any(inputs > 0, axis=tuple(range(inputs.ndim - 1))))
        return nn.relu(inputs)


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "elu": jax.nn.elu,
    # Not a maximum: its gradient goes to the operand that equals the result, and XLA may round the two differently.
    "leaky": lambda inputs: jnp.where(inputs > 0, inputs, 0.1 * inputs),
    "swish": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "relu6": jax.nn.relu6,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "identity": lambda inputs: inputs,
}
"""Beside ReLU: tanh, sigmoid, ELU (alpha 1), leaky ReLU max(0.1 x, x), swish x sigmoid(x), GELU (Hendrycks and Gimpel
2016, exact), ReLU6 min(max(x, 0), 6), MobileNetV3's hard sigmoid relu6(x + 3) / 6 and hard swish x hard_sigmoid(x)."""


def activation(name: str) -> nn.Module:
    """The layer of an activation by name, "relu" or one of ACTIVATIONS."""
    return ReLU() if name == "relu" else Activation(name)


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


class DropPath(nn.Module):
    """Stochastic depth: in training a share of the images skips the branch, the rest of it is scaled up.

    Huang et al. 2016 (1603.09382), in the form of Larsson et al. 2017 (1605.07648) and EfficientNet: the draw is per
    image and survivors are divided by 1 - rate, so that evaluation is left as it is.
    """

    rate: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        if not train or not self.rate:
            return inputs
        shape = (inputs.shape[0],) + (1,) * (inputs.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - self.rate, shape)
        return jnp.where(kept, inputs / (1 - self.rate), 0)


# ---------------------------------------------------------------- layers of layers


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm, activation; the parts are called `conv` and `bn`."""

    features: int
    kernel_size: Pair = 3
    stride: Pair = 1
    padding: Padding = 0
    groups: int = 1
    activation: str = "relu"
    eps: float = 1e-5
    momentum: float = 0.1
    initial: Init = HE

    def setup(self) -> None:
        self.conv = Conv(
            self.features,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
            use_bias=False,
            initial=self.initial,
        )
        self.bn = BatchNorm(eps=self.eps, momentum=self.momentum)
        self.act = activation(self.activation)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return cast(Array, self.act(self.bn(self.conv(inputs), train)))


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate that two small dense layers draw from the means of all.

    Hu et al. 2017 (1709.01507), equations 2 to 4.

    Attributes:
      reduced: width of the first, `fc1`; the second, `fc2`, has as many outputs as there are channels.
      activation, gate: after the first and after the second.
    """

    reduced: int
    activation: str = "relu"
    gate: str = "sigmoid"
    initial: Init = HE

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        means = image_means(inputs).reshape(inputs.shape[0], 1, 1, inputs.shape[-1])
        hidden = Conv(self.reduced, 1, initial=self.initial, name="fc1")(means)
        hidden = activation(self.activation)(hidden)
        gates = Conv(inputs.shape[-1], 1, initial=self.initial, name="fc2")(hidden)
        gates = ACTIVATIONS[self.gate](gates).astype(jnp.float32)
        return (inputs * broadcast_channels(gates[:, 0, 0], inputs.shape)).astype(inputs.dtype)
