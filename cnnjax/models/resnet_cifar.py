"""ResNets for images of 32 x 32, 20 to 1202 layers deep.

He et al. 2015, section 4.2. Three stages, 16, 32 and 64 channels wide, and no parameters on the shortcuts: where a
stage begins they leave out every second row and column and fill the new channels with zeros (option A).
"""

from functools import partial
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import register_model
from cnnjax.models.blocks import Conv, Dense, ReLU
from cnnjax.models.initializers import HE_OUT, TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool
from cnnjax.models.resnet import RESNET, ResidualBlock, ResNet, Row, add_blocks

# Blocks in each stage: 6 n + 2 layers.
NETS = {
    "resnet20_cifar": 3,
    "resnet32_cifar": 5,
    "resnet44_cifar": 7,
    "resnet56_cifar": 9,
    "resnet110_cifar": 18,
    "resnet1202_cifar": 200,
}


class PaddedBlock(ResidualBlock):
    """A residual block whose shortcut is the identity, thinned out and padded to the branch's shape.

    The zeros are the last channels, as in Facebook's copy for Torch; others have half of them in front.
    """

    def shortcut(self, inputs: Array, train: bool) -> Array:
        missing = self.width - inputs.shape[-1]
        return jnp.pad(inputs[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (0, missing)))


class CifarResNet(ResNet):
    """A 3x3 convolution, three stages of equal depth, global average pooling and one dense layer.

    `features` gives [N, H / 4, W / 4, 64].
    """

    stem: ClassVar[tuple[str, ...]] = ("conv1", "bn1", "relu")

    def setup(self) -> None:
        self.conv1 = Conv(16, 3, padding=1, use_bias=False, initial=HE_OUT)
        self.bn1, self.relu = BatchNorm(), ReLU()
        self.blocks = add_blocks(self, self.row.depths, self.block)
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=TORCH)

    def block(self, stage: int, number: int, stride: int) -> nn.Module:
        return PaddedBlock(self.row, 16 * 2**stage, stride)


for name, depth in NETS.items():
    row = Row((depth,) * 3, RESNET, bottleneck=False)
    register_model(name, paper=RESNET)(partial(CifarResNet, row=row))
