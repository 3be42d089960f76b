"""PolyNet: Inception-ResNet modules used twice side by side and three times in a row.

Zhang et al. 2016, "very deep PolyNet"; names within a module are those of Cadene's copy. In a poly-3 module the three
passes share the kernels of the first-order path, but neither its norms nor the 1x1 at the end. The residual scale falls
evenly from 1 at the first of the 40 modules to 0.7 at the last.
"""

from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, ConvNorm, Dense, Dropout, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.inception import Mixed
from cnnjax.models.initializers import TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool

PAPER = Paper(
    "X. Zhang, Z. Li, C. C. Loy, D. Lin",
    2016,
    "PolyNet: A Pursuit of Structural Diversity in Very Deep Networks",
    "1611.05725",
)

A = {
    "path0": "1x1 32, 3x3 48, 3x3 64",
    "path1": "1x1 32, 3x3 32",
    "path2": "1x1 32",
}
REDUCTION_A = {
    "path0": "1x1 256, 3x3 256, 3x3 384 /2",
    "path1": "3x3 384 /2",
    "path2": "max /2",
}
B = {
    "path0": "1x1 128, 1x7 160, 7x1 192",
    "path1": "1x1 192",
}
REDUCTION_B = {
    "path0": "1x1 256, 3x3 256, 3x3 256 /2",
    "path1": "1x1 256, 3x3 256 /2",
    "path2": "1x1 256, 3x3 384 /2",
    "path3": "max /2",
}
C = {
    "path0": "1x1 192, 1x3 224, 3x1 256",
    "path1": "1x1 192",
}


def last(features: int, name: str) -> ConvNorm:
    """The 1x1 that brings the paths to the depth of the map they are added to."""
    return ConvNorm(features, 1, activation="identity", name=name)


class Block(Mixed):
    """The paths of an Inception-ResNet module, without the addition: F of the paper."""

    eps: float = 1e-5

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return last(inputs.shape[-1], "conv2d")(super().__call__(inputs, train), train)


class TwoWay(nn.Module):
    """relu(x + s F(x) + s G(x)), "2-way": I + F + G."""

    branches: Mapping[str, str]
    scale: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        outputs = inputs
        for number in range(2):
            outputs = outputs + self.scale * Block(self.branches, name=f"blocks_{number}")(inputs, train)
        return cast(Array, ReLU()(outputs))


class SharedConv(nn.Module):
    """Convolution, BatchNorm, ReLU, the norm another one in each pass.

    Attributes:
      step: "1x7 160", kernel and features.
    """

    step: str
    passes: int

    def setup(self) -> None:
        kernel, features = self.step.split()
        height, width = map(int, kernel.split("x"))
        self.conv = Conv(int(features), (height, width), padding=(height // 2, width // 2), use_bias=False)
        self.bn_blocks, self.relu = [BatchNorm() for _ in range(self.passes)], ReLU()

    def __call__(self, inputs: Array, number: int, train: bool = False) -> Array:
        return cast(Array, self.relu(self.bn_blocks[number](self.conv(inputs), train)))


class Poly3(nn.Module):
    """relu(x + s F(x) + s F(F(x)) + s F(F(F(x)))), a ReLU between passes, "poly-3": I + F + F^2 + F^3."""

    branches: Mapping[str, str]
    scale: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        paths = [self.convolutions(name, line.split(", ")) for name, line in self.branches.items()]
        outputs = values = inputs
        for number in range(3):
            results = []
            for path in paths:
                result = values
                for layer in path:
                    result = layer(result, number, train)
                results.append(result)
            values = last(inputs.shape[-1], f"conv2d_blocks_{number}")(jnp.concatenate(results, -1), train)
            outputs, values = outputs + self.scale * values, jax.nn.relu(values)
        return cast(Array, ReLU()(outputs))

    def convolutions(self, name: str, steps: list[str]) -> list[SharedConv]:
        """The layers of one path, called path0_1x7 and so on, or by the path's name where there is but one."""
        names = [name if len(steps) == 1 else f"{name}_{step.split()[0]}" for step in steps]
        return [SharedConv(step, 3, name=called) for called, step in zip(names, steps, strict=True)]


@register_model("polynet", paper=PAPER)
class PolyNet(Sequential):
    """Ten 2-way A, twenty B and ten C by turns poly-3 and 2-way, reductions between them."""

    def layers(self) -> dict[str, nn.Module]:
        scales = iter([round(1 - 0.3 * number / 39, 6) for number in range(40)])

        def mixed(**branches: str) -> Mixed:
            return Mixed(branches, eps=1e-5)

        return {
            "stem1": mixed(conv1="3x3 32 /2, 3x3 32 valid, 3x3 64"),
            "stem2": mixed(pool="max /2", conv1_branch="3x3 96 /2"),
            "stem3": mixed(conv2_short="1x1 64, 3x3 96 valid", conv2_long="1x1 64, 7x1 64, 1x7 64, 3x3 96 valid"),
            "stem4": mixed(pool="max /2", conv2_branch="3x3 192 /2"),
            **{f"stage_a_{number}": TwoWay(A, next(scales)) for number in range(10)},
            "reduction_a": mixed(**REDUCTION_A),
            **{f"stage_b_{number}": (Poly3, TwoWay)[number % 2](B, next(scales)) for number in range(20)},
            "reduction_b": mixed(**REDUCTION_B),
            **{f"stage_c_{number}": (Poly3, TwoWay)[number % 2](C, next(scales)) for number in range(10)},
            "avgpool": GlobalAvgPool(),
            "dropout": Dropout(0.2),
            "last_linear": Dense(self.num_classes, initial=TORCH),
        }
