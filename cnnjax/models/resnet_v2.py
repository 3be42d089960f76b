"""ResNets with norm and ReLU before each convolution, so that nothing but additions lies on the way past the blocks.

Names within a block are timm's (resnetv2.py). The models here are Keras': biases on the stem, the projections and the
last convolution of a block, and the stride of a stage on its last block, whose shortcut then leaves pixels out.
bit.py has further models of the same engine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import GLOROT, Init
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool, MaxPool, ZeroPad

PAPER = Paper("K. He, X. Zhang, S. Ren, J. Sun", 2016, "Identity Mappings in Deep Residual Networks", "1603.05027")


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths: blocks in each of the four stages.
      conv, norm: make the layers; `conv` takes the arguments of blocks.Conv.
      bias: on the stem, the projections and the last convolution of a block.
      stride_last: the last block of a stage halves the map, all but the last stage's; else the first block does, all
        but the first stage's.
      fc: how the dense layer begins.
      factor: all channels times this.
    """

    depths: tuple[int, int, int, int]
    conv: Callable[..., Any]
    norm: Callable[[], Any]
    bias: bool
    stride_last: bool
    fc: Init
    factor: int = 1


net = partial(
    Row,
    conv=partial(Conv, initial=GLOROT),
    norm=partial(BatchNorm, eps=1.001e-5, momentum=0.01),
    bias=True,
    stride_last=True,
    fc=GLOROT,
)

NETS = {
    "resnet50_v2": net((3, 4, 6, 3)),
    "resnet101_v2": net((3, 4, 23, 3)),
    "resnet152_v2": net((3, 8, 36, 3)),
}


class PreActivationBlock(nn.Module):
    """shortcut(x) + branch(relu(norm(x))), nothing behind the sum; He et al. 2016, figure 4e.

    A projection sees relu(norm(x)), the identity x itself.

    Attributes:
      width: of the 1x1 and the 3x3; the last 1x1 gives four times as many channels.
    """

    row: Row
    width: int
    stride: int = 1
    project: bool = False

    def setup(self) -> None:
        conv, norm, bias = partial(self.row.conv, use_bias=False), self.row.norm, self.row.bias
        self.norm1, self.conv1 = norm(), conv(self.width, 1)
        self.norm2, self.conv2 = norm(), conv(self.width, 3, stride=self.stride, padding=1)
        self.norm3, self.conv3 = norm(), conv(4 * self.width, 1, use_bias=bias)
        if self.project:
            self.downsample = conv(4 * self.width, 1, stride=self.stride, use_bias=bias)
        self.relu = ReLU()

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.relu(self.norm1(inputs, train))
        shortcut = self.downsample(values) if self.project else inputs[:, :: self.stride, :: self.stride]
        values = self.relu(self.norm2(self.conv1(values), train))
        values = self.relu(self.norm3(self.conv2(values), train))
        return cast(Array, self.conv3(values) + shortcut)


class ResNetV2(Classifier):
    """A 7x7 convolution and a max-pool, four stages of pre-activated blocks, a last norm, pooling and a dense layer.

    The max-pool sees values of both signs, and the zeros that pad them count.
    """

    row: Row

    def setup(self) -> None:
        row = self.row
        self.stem = row.conv(64 * row.factor, 7, stride=2, padding=3, use_bias=row.bias)
        self.pad, self.maxpool = ZeroPad(1), MaxPool(3, stride=2)
        blocks = []
        for stage, depth in enumerate(row.depths, 1):
            for number in range(depth):
                halves = number == depth - 1 and stage < 4 if row.stride_last else number == 0 and stage > 1
                block = PreActivationBlock(
                    row, 32 * 2**stage * row.factor, stride=2 if halves else 1, project=number == 0
                )
                setattr(self, f"stage{stage}_{number}", block)
                blocks.append(f"stage{stage}_{number}")
        self.blocks = tuple(blocks)
        self.norm, self.relu = row.norm(), ReLU()
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=row.fc)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 2048 times the factor]."""
        values = self.chain(["stem", "pad", "maxpool"], images, train)
        values = self.chain_each(self.blocks, values, train)
        return self.chain(["norm", "relu"], values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.avgpool(features)))


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(ResNetV2, row=row))
