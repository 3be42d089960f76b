"""ShuffleNet V2: half of the channels pass each block untouched, then both halves are interleaved.

Structure and names of stages as in torchvision. No convolution is grouped but the depthwise ones: the channel split
does what groups did in the first ShuffleNet.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import ConvNorm, Dense
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import TORCH
from cnnjax.models.pooling import GlobalAvgPool, MaxPool

PAPER = Paper(
    "N. Ma, X. Zhang, H.-T. Zheng, J. Sun",
    2018,
    "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design",
    "1807.11164",
)
DEPTHS = (4, 8, 4)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      widths: channels after each of the three stages.
      last: channels of the last convolution, conv5.
    """

    widths: tuple[int, int, int]
    last: int = 1024


NETS = {
    "shufflenet_v2_x0_5": Row((48, 96, 192)),
    "shufflenet_v2_x1_0": Row((116, 232, 464)),
    "shufflenet_v2_x1_5": Row((176, 352, 704)),
    "shufflenet_v2_x2_0": Row((244, 488, 976), last=2048),
}


def interleave(first: Array, second: Array) -> Array:
    """Channels of the two in turn: the channel shuffle of Zhang et al. 2017 (1707.01083) with two groups."""
    pairs = jnp.stack([first, second], axis=-1)
    return pairs.reshape(*first.shape[:-1], 2 * first.shape[-1])


class ShuffleBlock(nn.Module):
    """1x1, depthwise 3x3, 1x1 on one half of the channels; Ma et al. 2018, figure 3 (c).

    At stride 2, figure 3 (d), both branches see all channels, and the first has a depthwise 3x3 and a 1x1 too.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        half, pointwise = self.features // 2, partial(ConvNorm, kernel_size=1, initial=TORCH)

        def depthwise(values: Array, name: str) -> Array:
            channels = values.shape[-1]
            layer = ConvNorm(
                channels, 3, self.stride, padding=1, groups=channels, activation="identity", initial=TORCH, name=name
            )
            return cast(Array, layer(values, train))

        if self.stride == 1:
            first, second = jnp.split(inputs, 2, axis=-1)
        else:
            first = pointwise(half, name="branch1_pw")(depthwise(inputs, "branch1_dw"), train)
            second = inputs
        second = pointwise(half, name="branch2_pw1")(second, train)
        second = pointwise(half, name="branch2_pw2")(depthwise(second, "branch2_dw"), train)
        return interleave(first, second)


class ShuffleNetV2(Classifier):
    """A 3x3 convolution and a max-pool, three stages, a 1x1 convolution, global average pooling, one dense layer."""

    row: Row

    def setup(self) -> None:
        self.conv1 = ConvNorm(24, 3, stride=2, padding=1, initial=TORCH)
        self.maxpool = MaxPool(3, stride=2, padding=1)
        blocks = []
        for stage, (width, depth) in enumerate(zip(self.row.widths, DEPTHS, strict=True), 2):
            for number in range(depth):
                setattr(self, f"stage{stage}_{number}", ShuffleBlock(width, stride=1 if number else 2))
                blocks.append(f"stage{stage}_{number}")
        self.blocks = tuple(blocks)
        self.conv5 = ConvNorm(self.row.last, 1, initial=TORCH)
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=TORCH)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 1024 or 2048]."""
        values = self.chain(["conv1", "maxpool"], images, train)
        values = self.chain_each(self.blocks, values, train)
        return self.chain(["conv5"], values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.avgpool(features)))


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(ShuffleNetV2, row=row))
