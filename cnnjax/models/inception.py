"""Inception modules written as in the figures of their papers: what Inception-v3, -v4 and -ResNet are made of.

A branch is a line of steps, "avg, 1x1 64, 3x3 96": kernel and number of kernels, each convolution without bias and
followed by BatchNorm and ReLU. A map keeps its size, "3x3 96 valid" and "3x3 96 /2" lose the edges, and
"1x3 256 | 3x1 256" at the end forks. BatchNorm has TensorFlow's epsilon, 1e-3.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.blocks import Conv, ConvNorm, activation
from cnnjax.models.initializers import HE, Init
from cnnjax.models.pooling import AvgPool, MaxPool

POOLS: dict[str, Callable[..., nn.Module]] = {
    "max /2": partial(MaxPool, 3, stride=2),
    "avg": partial(AvgPool, 3, stride=1, padding=1, count_padding=False),
    "avg with zeros": partial(AvgPool, 3, stride=1, padding=1),
}
"""In the last, zeros around the map count in the means."""


def layer(step: str, *, name: str | None = None, initial: Init = HE, eps: float = 1e-3) -> nn.Module:
    """The layer of one step, a pool or a convolution."""
    if step in POOLS:
        return POOLS[step](name=name)
    kernel, features, *ending = step.split()
    height, width = map(int, kernel.split("x"))
    return ConvNorm(
        int(features),
        (height, width),
        stride=2 if ending == ["/2"] else 1,
        padding=0 if ending else (height // 2, width // 2),
        eps=eps,
        initial=initial,
        name=name,
    )


def stem() -> dict[str, nn.Module]:
    """The first layers of v3 and Inception-ResNet-v2, those of v4 up to the first pool: [N, 299, 299, 3] -> 35 x 35."""
    return {
        "Conv2d_1a_3x3": layer("3x3 32 /2"),
        "Conv2d_2a_3x3": layer("3x3 32 valid"),
        "Conv2d_2b_3x3": layer("3x3 64"),
        "maxpool1": layer("max /2"),
        "Conv2d_3b_1x1": layer("1x1 80"),
        "Conv2d_4a_3x3": layer("3x3 192 valid"),
        "maxpool2": layer("max /2"),
    }


class Mixed(nn.Module):
    """Concatenates what several branches make of the same map.

    Attributes:
      branches: line of steps by name. The convolutions of a branch are called name_1, name_2 ...; one alone has the
        branch's name, those behind a fork end on a and b.
      eps: of the norms.
    """

    branches: Mapping[str, str]
    eps: float = 1e-3

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        results = [result for name, line in self.branches.items() for result in self.branch(name, line, inputs, train)]
        return jnp.concatenate(results, -1)

    def branch(self, name: str, line: str, values: Array, train: bool) -> list[Array]:
        """Returns the one or, behind a fork, the two results."""
        pools = [step for step in line.split(", ") if step in POOLS]
        convolutions = [step for step in line.split(", ") if step not in POOLS]
        for step in pools:
            values = layer(step)(values)
        for number, step in enumerate(convolutions, 1):
            called = name if len(convolutions) == 1 else f"{name}_{number}"
            if " | " in step:
                ends = zip("ab", step.split(" | "), strict=True)
                return [layer(end, name=called + letter, eps=self.eps)(values, train) for letter, end in ends]
            values = layer(step, name=called, eps=self.eps)(values, train)
        return [values]


class ResidualMixed(Mixed):
    """relu(x + scale * branches(x)), the branches brought to the depth of x by a 1x1 convolution without norm.

    Szegedy et al. 2016 (1602.07261), section 3.3: unscaled, models with over 1000 filters "died" early in the training.
    """

    scale: float = 1.0
    activation: str = "relu"

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        branch = Conv(inputs.shape[-1], 1, name="conv2d")(super().__call__(inputs, train))
        return cast(Array, activation(self.activation)(inputs + self.scale * branch))
