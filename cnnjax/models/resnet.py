"""ResNet and its relatives of one engine: ResNeXt (grouped), Wide ResNet (wider inside), SE-ResNet (gated).

Names are torchvision's and timm's. The stride of a bottleneck is on its 3x3 convolution ("v1.5"), where the paper, and
keras/resnet50, have it on the first 1x1. resnet_cifar.py and senet.py have further models of these blocks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, ReLU, SqueezeExcite
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import GLOROT, HE_OUT, TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import GlobalAvgPool, MaxPool

RESNET = Paper("K. He, X. Zhang, S. Ren, J. Sun", 2015, "Deep Residual Learning for Image Recognition", "1512.03385")
RESNEXT = Paper(
    "S. Xie, R. Girshick, P. Dollar, Z. Tu, K. He",
    2016,
    "Aggregated Residual Transformations for Deep Neural Networks",
    "1611.05431",
)
WIDE = Paper("S. Zagoruyko, N. Komodakis", 2016, "Wide Residual Networks", "1605.07146")
SENET = Paper("J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu", 2017, "Squeeze-and-Excitation Networks", "1709.01507")


UNBIASED = partial(Conv, use_bias=False, initial=HE_OUT)


@dataclass(frozen=True)
class Form:
    """What copies of a model differ in.

    Attributes:
      conv, norm: make the layers.
      stride_first: the stride of a bottleneck is on its first 1x1, else on its 3x3.
    """

    conv: Callable[..., Conv] = UNBIASED
    norm: Callable[[], BatchNorm] = BatchNorm
    stride_first: bool = False


KERAS = Form(partial(Conv, initial=GLOROT), partial(BatchNorm, eps=1.001e-5, momentum=0.01), stride_first=True)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths: blocks in each stage.
      bottleneck: 1x1, 3x3, 1x1 with four times as many outputs, instead of 3x3, 3x3.
      groups, width: groups of the 3x3, and its channels a group where the stage is 64 wide.
      gated: squeeze and excitation, reduced to a sixteenth, at the end of each branch.
    """

    depths: tuple[int, ...]
    paper: Paper
    bottleneck: bool = True
    groups: int = 1
    width: int = 64
    gated: bool = False
    form: Form = Form()


# fmt: off
NETS = {
    "resnet18": Row((2, 2, 2, 2), RESNET, bottleneck=False),
    "resnet34": Row((3, 4, 6, 3), RESNET, bottleneck=False),
    "resnet50": Row((3, 4, 6, 3), RESNET),
    "resnet101": Row((3, 4, 23, 3), RESNET),
    "resnet152": Row((3, 8, 36, 3), RESNET),
    "keras/resnet50": Row((3, 4, 6, 3), RESNET, form=KERAS),
    "keras/resnet101": Row((3, 4, 23, 3), RESNET, form=KERAS),
    "keras/resnet152": Row((3, 8, 36, 3), RESNET, form=KERAS),
    "resnext50_32x4d": Row((3, 4, 6, 3), RESNEXT, groups=32, width=4),
    "resnext101_32x4d": Row((3, 4, 23, 3), RESNEXT, groups=32, width=4),
    "resnext101_64x4d": Row((3, 4, 23, 3), RESNEXT, groups=64, width=4),
    "resnext101_32x8d": Row((3, 4, 23, 3), RESNEXT, groups=32, width=8),
    "resnext101_32x16d": Row((3, 4, 23, 3), RESNEXT, groups=32, width=16),
    "resnext101_32x32d": Row((3, 4, 23, 3), RESNEXT, groups=32, width=32),
    "resnext101_32x48d": Row((3, 4, 23, 3), RESNEXT, groups=32, width=48),
    "wide_resnet50_2": Row((3, 4, 6, 3), WIDE, width=128),
    "wide_resnet101_2": Row((3, 4, 23, 3), WIDE, width=128),
    "seresnet50": Row((3, 4, 6, 3), SENET, gated=True),
    "seresnext50_32x4d": Row((3, 4, 6, 3), SENET, groups=32, width=4, gated=True),
    "seresnext101_32x4d": Row((3, 4, 23, 3), SENET, groups=32, width=4, gated=True),
}
# fmt: on


class ResidualBlock(nn.Module):
    """relu(shortcut(x) + branch(x)); He et al. 2015, figure 5.

    Attributes:
      width: of the stage, 64 .. 512; the block gives four times as many channels with `row.bottleneck`.
    """

    row: Row
    width: int
    stride: int = 1
    project: bool = False

    def setup(self) -> None:
        row, conv, norm = self.row, self.row.form.conv, self.row.form.norm
        outputs = self.width * 4 if row.bottleneck else self.width
        if row.bottleneck:
            inner = self.width * row.width // 64 * row.groups
            first, second = (self.stride, 1) if row.form.stride_first else (1, self.stride)
            self.conv1, self.bn1 = conv(inner, 1, stride=first), norm()
            self.conv2, self.bn2 = conv(inner, 3, stride=second, padding=1, groups=row.groups), norm()
            self.conv3, self.bn3 = conv(outputs, 1), norm()
        else:
            self.conv1, self.bn1 = conv(outputs, 3, stride=self.stride, padding=1), norm()
            self.conv2, self.bn2 = conv(outputs, 3, padding=1), norm()
        if row.gated:
            self.se = SqueezeExcite(outputs // 16)
        if self.project:
            self.downsample_0, self.downsample_1 = conv(outputs, 1, stride=self.stride), norm()
        self.relu = ReLU()

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.relu(self.bn1(self.conv1(inputs), train))
        values = self.bn2(self.conv2(values), train)
        if self.row.bottleneck:
            values = self.bn3(self.conv3(self.relu(values)), train)
        if self.row.gated:
            values = self.se(values)
        return cast(Array, self.relu(values + self.shortcut(inputs, train)))

    def shortcut(self, inputs: Array, train: bool) -> Array:
        """The identity, or where the branch changes the shape a projection (the paper's option B)."""
        return cast(Array, self.downsample_1(self.downsample_0(inputs), train)) if self.project else inputs


def add_blocks(net: nn.Module, depths: Sequence[int], make: Callable[[int, int, int], nn.Module]) -> tuple[str, ...]:
    """Gives a model its residual blocks layer1_0, layer1_1, ..., and returns their names.

    Args:
      depths: blocks in each stage.
      make: called with (stage, number, stride), the first two from 0, the stride 2 where a later stage begins.
    """
    names = []
    for stage, depth in enumerate(depths):
        for number in range(depth):
            names.append(f"layer{stage + 1}_{number}")
            setattr(net, names[-1], make(stage, number, 2 if stage and number == 0 else 1))
    return tuple(names)


class ResNet(Classifier):
    """A 7x7 convolution and a max-pool, four stages of residual blocks, global average pooling and one dense layer."""

    row: Row

    stem: ClassVar[tuple[str, ...]] = ("conv1", "bn1", "relu", "maxpool")

    def setup(self) -> None:
        self.conv1, self.bn1 = self.row.form.conv(64, 7, stride=2, padding=3), self.row.form.norm()
        self.relu, self.maxpool = ReLU(), MaxPool(3, stride=2, padding=1)
        self.blocks = add_blocks(self, self.row.depths, self.block)
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=TORCH)

    def block(self, stage: int, number: int, stride: int) -> nn.Module:
        project = number == 0 and (stage > 0 or self.row.bottleneck)
        return ResidualBlock(self.row, 64 * 2**stage, stride, project)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 512 or 2048]."""
        values = self.chain(self.stem, images, train)
        values = self.chain_each(self.blocks, values, train)
        return values

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.avgpool(features)))


for name, row in NETS.items():
    register_model(name, paper=row.paper)(partial(ResNet, row=row))
