"""RegNet X and Y: the models that a regular rule of widths and depths gives; Y has squeeze and excitation.

The widths are torchvision's, which rounds half a group up, and up too what would lose a tenth: in x_400mf, y_800mf and
y_8gf one stage is wider than in timm. The gate of a Y block is a quarter as wide as what enters the block, not as what
it gates.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import ConvNorm, Dense, ReLU, SqueezeExcite
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, gaussian
from cnnjax.models.pooling import GlobalAvgPool

PAPER = Paper(
    "I. Radosavovic, R. Kosaraju, R. Girshick, K. He, P. Dollar", 2020, "Designing Network Design Spaces", "2003.13678"
)
STEM = 32


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths, widths: blocks, and their channels, in each of the four stages.
      group: channels of each group of the 3x3 convolutions, at most the stage's width.
      gated: squeeze and excitation behind the 3x3.
    """

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    group: int
    gated: bool = False


# fmt: off
NETS = {
    "regnet_x_400mf": Row((1, 2, 7, 12), (32, 64, 160, 400), 16),
    "regnet_x_800mf": Row((1, 3, 7, 5), (64, 128, 288, 672), 16),
    "regnet_x_1_6gf": Row((2, 4, 10, 2), (72, 168, 408, 912), 24),
    "regnet_x_3_2gf": Row((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    "regnet_x_8gf": Row((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    "regnet_x_16gf": Row((2, 6, 13, 1), (256, 512, 896, 2048), 128),
    "regnet_x_32gf": Row((2, 7, 13, 1), (336, 672, 1344, 2520), 168),
    "regnet_y_400mf": Row((1, 3, 6, 6), (48, 104, 208, 440), 8, gated=True),
    "regnet_y_800mf": Row((1, 3, 8, 2), (64, 144, 320, 784), 16, gated=True),
    "regnet_y_1_6gf": Row((2, 6, 17, 2), (48, 120, 336, 888), 24, gated=True),
    "regnet_y_3_2gf": Row((2, 5, 13, 1), (72, 216, 576, 1512), 24, gated=True),
    "regnet_y_8gf": Row((2, 4, 10, 1), (224, 448, 896, 2016), 56, gated=True),
    "regnet_y_16gf": Row((2, 4, 11, 1), (224, 448, 1232, 3024), 112, gated=True),
    "regnet_y_32gf": Row((2, 5, 12, 1), (232, 696, 1392, 3712), 232, gated=True),
    "regnet_y_128gf": Row((2, 7, 17, 1), (528, 1056, 2904, 7392), 264, gated=True),
}
# fmt: on


class RegBlock(nn.Module):
    """relu(shortcut(x) + c(gate(b(a(x))))): 1x1, grouped 3x3, 1x1, all of one width; Radosavovic et al., figure 4.

    Attributes:
      gate: width of the squeeze; 0: none.
    """

    width: int
    group: int
    stride: int = 1
    gate: int = 0
    project: bool = False

    def setup(self) -> None:
        conv, groups = partial(ConvNorm, self.width, initial=HE_OUT), self.width // self.group
        self.a = conv(1)
        self.b = conv(3, stride=self.stride, padding=1, groups=groups)
        if self.gate:
            self.se = SqueezeExcite(self.gate, initial=HE_OUT)
        self.c = conv(1, activation="identity")
        if self.project:
            self.proj = conv(1, stride=self.stride, activation="identity")
        self.relu = ReLU()

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.b(self.a(inputs, train), train)
        if self.gate:
            values = self.se(values)
        shortcut = self.proj(inputs, train) if self.project else inputs
        return cast(Array, self.relu(shortcut + self.c(values, train)))


class RegNet(Classifier):
    """A 3x3 convolution, four stages that each begin with stride 2, global average pooling and one dense layer."""

    row: Row

    def setup(self) -> None:
        row, inputs, blocks = self.row, STEM, []
        self.stem = ConvNorm(STEM, 3, stride=2, padding=1, initial=HE_OUT)
        for stage, (width, depth) in enumerate(zip(row.widths, row.depths, strict=True), 1):
            for number in range(depth):
                first, gate = number == 0, round(inputs / 4) if row.gated else 0
                block = RegBlock(width, min(row.group, width), stride=2 if first else 1, gate=gate, project=first)
                setattr(self, f"block{stage}_{number}", block)
                blocks.append(f"block{stage}_{number}")
                inputs = width
        self.blocks = tuple(blocks)
        self.avgpool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=gaussian(0.01))

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, the last width]."""
        values = self.chain(["stem"], images, train)
        values = self.chain_each(self.blocks, values, train)
        return values

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.avgpool(features)))


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(RegNet, row=row))
