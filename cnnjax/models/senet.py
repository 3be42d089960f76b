"""SENet-154, the winner of ILSVRC 2017: a ResNeXt of 64 groups with squeeze and excitation in each block.

Hu et al. 2017, appendix. Names are those of the authors' model in timm (senet.py). It differs from an SE-ResNeXt by
half the channels in the first 1x1 of a block, a stem of three 3x3 convolutions, 3x3 projections and dropout at the
end, and its max-pool hangs over the edge in place of padding, as Caffe's does. SE-ResNets are in resnet.py.
"""

from functools import partial

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, ReLU, SqueezeExcite
from cnnjax.models.initializers import HE_OUT, TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool, MaxPool
from cnnjax.models.resnet import SENET, ResidualBlock, Row, add_blocks

SENET154 = Row((3, 8, 36, 3), SENET, groups=64, gated=True)


class SENetBlock(ResidualBlock):
    """A gated bottleneck: 1x1 to twice the stage's width, 3x3 in groups and 1x1 to four times.

    The base class has the way through it.
    """

    def setup(self) -> None:
        conv, outputs = partial(Conv, use_bias=False, initial=HE_OUT), 4 * self.width
        self.conv1, self.bn1 = conv(2 * self.width, 1), BatchNorm()
        self.conv2 = conv(outputs, 3, stride=self.stride, padding=1, groups=self.row.groups)
        self.bn2 = BatchNorm()
        self.conv3, self.bn3 = conv(outputs, 1), BatchNorm()
        self.se_module = self.se = SqueezeExcite(outputs // 16, initial=HE_OUT)  # timm's name, and the base class'
        if self.project:
            side = 3 if self.stride == 2 else 1
            self.downsample_0 = conv(outputs, side, stride=self.stride, padding=side // 2)
            self.downsample_1 = BatchNorm()
        self.relu = ReLU()


class SENet(Classifier):
    """Three 3x3 convolutions and a max-pool, four stages of gated blocks, pooling, dropout and one dense layer."""

    row: Row

    def setup(self) -> None:
        conv = partial(Conv, kernel_size=3, padding=1, use_bias=False, initial=HE_OUT)
        self.layer0_conv1, self.layer0_bn1 = conv(64, stride=2), BatchNorm()
        self.layer0_conv2, self.layer0_bn2 = conv(64), BatchNorm()
        self.layer0_conv3, self.layer0_bn3 = conv(128), BatchNorm()
        self.relu, self.pool0 = ReLU(), MaxPool(3, stride=2, ceil=True)
        self.blocks = add_blocks(self, self.row.depths, self.block)
        self.avgpool, self.dropout = GlobalAvgPool(), Dropout(0.2)
        self.last_linear = Dense(self.num_classes, initial=TORCH)

    def block(self, stage: int, number: int, stride: int) -> nn.Module:
        return SENetBlock(self.row, 64 * 2**stage, stride, project=number == 0)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 2048]."""
        stem = [name for number in (1, 2, 3) for name in (f"layer0_conv{number}", f"layer0_bn{number}", "relu")]
        values = self.chain([*stem, "pool0"], images, train)
        values = self.chain_each(self.blocks, values, train)
        return values

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, 2048] -> [N, num_classes]."""
        return self.chain(["avgpool", "dropout", "last_linear"], features, train)


register_model("senet154", paper=SENET)(partial(SENet, row=SENET154))
