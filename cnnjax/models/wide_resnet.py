"""Wide ResNets for images of 32 x 32: few layers, many channels.

Zagoruyko and Komodakis 2016, table 1. wrn_28_10 has 28 layers and 10 times the channels of He's models. Norm and ReLU
stand before each convolution, and where a block changes the shape its projection sees what they give, not the input.
The paper's wide bottleneck models for ImageNet are in resnet.py.
"""

from functools import partial
from typing import cast

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, ReLU
from cnnjax.models.initializers import HE_OUT, TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool
from cnnjax.models.resnet import WIDE, add_blocks

# (layers, factor of the widths 16, 32 and 64): 6 n + 4 layers with n blocks a stage, the projections counted.
NETS = {
    "wrn_28_10": (28, 10),
    "wrn_16_8": (16, 8),
    "wrn_22_8": (22, 8),
    "wrn_40_4": (40, 4),
}


class WideBlock(nn.Module):
    """shortcut(x) + branch(x), the branch norm, ReLU, 3x3, norm, ReLU, 3x3; figure 1 (d).

    Dropout stands between the convolutions; its rate is 0 unless `create_model(dropout=0.3)` sets the paper's.
    """

    width: int
    stride: int = 1
    project: bool = False

    def setup(self) -> None:
        conv = partial(Conv, use_bias=False, initial=HE_OUT)
        self.bn1, self.conv1 = BatchNorm(), conv(self.width, 3, stride=self.stride, padding=1)
        self.bn2, self.conv2 = BatchNorm(), conv(self.width, 3, padding=1)
        if self.project:
            self.downsample = conv(self.width, 1, stride=self.stride)
        self.relu, self.dropout = ReLU(), Dropout(0.0)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.relu(self.bn1(inputs, train))
        shortcut = self.downsample(values) if self.project else inputs
        values = self.relu(self.bn2(self.conv1(values), train))
        return cast(Array, self.conv2(self.dropout(values, train)) + shortcut)


class WideResNet(Classifier):
    """A 3x3 convolution, three stages of pre-activated blocks, a last norm, pooling and a dense layer."""

    layers: int
    factor: int

    def setup(self) -> None:
        self.conv1 = Conv(16, 3, padding=1, use_bias=False, initial=HE_OUT)
        self.blocks = add_blocks(self, ((self.layers - 4) // 6,) * 3, self.block)
        self.bn, self.relu = BatchNorm(), ReLU()
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=TORCH)

    def block(self, stage: int, number: int, stride: int) -> nn.Module:
        return WideBlock(16 * self.factor * 2**stage, stride, project=number == 0)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 4, W / 4, 64 times the factor]."""
        values = self.chain(["conv1"], images, train)
        values = self.chain_each(self.blocks, values, train)
        return self.chain(["bn", "relu"], values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.avgpool(features)))


for name, (layers, factor) in NETS.items():
    register_model(name, paper=WIDE)(partial(WideResNet, layers=layers, factor=factor))
