"""EfficientNet (B0 to B7, L2) and EfficientNetV2 (B0 to B3, S, M, L, XL).

B0 scaled in width, depth and image size at once. Two copies of the trained models exist whose weights have the same
shapes and fit no other: TensorFlow's own pads strided convolutions behind and has an epsilon of 1e-3, torchvision's and
timm's pad on both sides, with 1e-5 up to B4. A name means the copy that published.csv tells; with the library before
it, torchvision/efficientnet_b0 or timm/efficientnet_v2_s, the other one.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

from cnnjax.models.base import register_model
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, UNIFORM_OUT
from cnnjax.models.inverted_residual import InvertedResidualNet, Stage, Style, round_channels

EFFICIENTNET = Paper(
    "M. Tan, Q. Le", 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", "1905.11946"
)
NOISY_STUDENT = Paper(
    "Q. Xie, M.-T. Luong, E. Hovy, Q. Le",
    2019,
    "Self-training with Noisy Student improves ImageNet classification",
    "1911.04252",
)
EFFICIENTNET_V2 = Paper("M. Tan, Q. Le", 2021, "EfficientNetV2: Smaller Models and Faster Training", "2104.00298")

TENSORFLOW = Style(activation="swish", squeeze="swish", same=True, eps=1e-3, momentum=0.01)
TIMM = Style(activation="swish", squeeze="swish")
TORCHVISION = replace(TIMM, depthwise=HE_OUT)
TORCHVISION_LARGE = replace(TORCHVISION, eps=1e-3, momentum=0.01)
TORCHVISION_V2 = replace(TORCHVISION, eps=1e-3)

mbconv, fused = partial(Stage, gated=True), partial(Stage, fused=True)

# Expansion, kernel, stride, channels, repeats: the paper's table 1, and for V2 table 4 and its repository.
B0 = (
    mbconv(1, 3, 1, 16, 1),
    mbconv(6, 3, 2, 24, 2),
    mbconv(6, 5, 2, 40, 2),
    mbconv(6, 3, 2, 80, 3),
    mbconv(6, 5, 1, 112, 3),
    mbconv(6, 5, 2, 192, 4),
    mbconv(6, 3, 1, 320, 1),
)
V2_B0 = (
    fused(1, 3, 1, 16, 1),
    fused(4, 3, 2, 32, 2),
    fused(4, 3, 2, 48, 2),
    mbconv(4, 3, 2, 96, 3),
    mbconv(6, 3, 1, 112, 5),
    mbconv(6, 3, 2, 192, 8),
)
V2_S = (
    fused(1, 3, 1, 24, 2),
    fused(4, 3, 2, 48, 4),
    fused(4, 3, 2, 64, 4),
    mbconv(4, 3, 2, 128, 6),
    mbconv(6, 3, 1, 160, 9),
    mbconv(6, 3, 2, 256, 15),
)
V2_M = (
    fused(1, 3, 1, 24, 3),
    fused(4, 3, 2, 48, 5),
    fused(4, 3, 2, 80, 5),
    mbconv(4, 3, 2, 160, 7),
    mbconv(6, 3, 1, 176, 14),
    mbconv(6, 3, 2, 304, 18),
    mbconv(6, 3, 1, 512, 5),
)
V2_L = (
    fused(1, 3, 1, 32, 4),
    fused(4, 3, 2, 64, 7),
    fused(4, 3, 2, 96, 7),
    mbconv(4, 3, 2, 192, 10),
    mbconv(6, 3, 1, 224, 19),
    mbconv(6, 3, 2, 384, 25),
    mbconv(6, 3, 1, 640, 7),
)
V2_XL = (
    fused(1, 3, 1, 32, 4),
    fused(4, 3, 2, 64, 8),
    fused(4, 3, 2, 96, 8),
    mbconv(4, 3, 2, 192, 16),
    mbconv(6, 3, 1, 256, 24),
    mbconv(6, 3, 2, 512, 32),
    mbconv(6, 3, 1, 640, 8),
)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      width, depth: what channels and repeats are multiplied by.
      lowest: see `round_channels`.
    """

    stages: tuple[Stage, ...]
    dropout: float
    width: float = 1.0
    depth: float = 1.0
    stem: int = 32
    lowest: float = 0.9
    style: Style = TENSORFLOW
    paper: Paper = EFFICIENTNET

    def build(self) -> partial[InvertedResidualNet]:
        """The model without its number of classes; channels are rounded to multiples of 8, repeats up."""

        def wide(channels: int) -> int:
            return round_channels(channels * self.width, self.lowest)

        stages = tuple(
            replace(stage, channels=wide(stage.channels), repeats=math.ceil(stage.repeats * self.depth))
            for stage in self.stages
        )
        return partial(
            InvertedResidualNet,
            stem=wide(self.stem),
            stages=stages,
            last=wide(1280),
            style=self.style,
            dropout=self.dropout,
            drop_path=0.2,
            dense=UNIFORM_OUT,
        )


v2 = partial(Row, paper=EFFICIENTNET_V2)

# fmt: off
NETS = {
    "efficientnet_b0": Row(B0, 0.2),
    "efficientnet_b1": Row(B0, 0.2, width=1.0, depth=1.1),
    "efficientnet_b2": Row(B0, 0.3, width=1.1, depth=1.2),
    "efficientnet_b3": Row(B0, 0.3, width=1.2, depth=1.4),
    "efficientnet_b4": Row(B0, 0.4, width=1.4, depth=1.8),
    "efficientnet_b5": Row(B0, 0.4, width=1.6, depth=2.2),
    "efficientnet_b6": Row(B0, 0.5, width=1.8, depth=2.6),
    "efficientnet_b7": Row(B0, 0.5, width=2.0, depth=3.1),
    "efficientnet_l2": Row(B0, 0.5, width=4.3, depth=5.3, paper=NOISY_STUDENT),
    "efficientnet_v2_b0": v2(V2_B0, 0.2),
    "efficientnet_v2_b1": v2(V2_B0, 0.2, width=1.0, depth=1.1, lowest=0.0),
    "efficientnet_v2_b2": v2(V2_B0, 0.3, width=1.1, depth=1.2, lowest=0.0),
    "efficientnet_v2_b3": v2(V2_B0, 0.3, width=1.2, depth=1.4, lowest=0.0),
    "efficientnet_v2_s": v2(V2_S, 0.2, stem=24, style=TORCHVISION_V2),
    "efficientnet_v2_m": v2(V2_M, 0.3, stem=24, style=TORCHVISION_V2),
    "efficientnet_v2_l": v2(V2_L, 0.4, style=TORCHVISION_V2),
    "efficientnet_v2_xl": v2(V2_XL, 0.4),
}

# The other copies, by their library's name: (our name for the same layers, style)
OTHERS = {
    "torchvision/efficientnet_b0": ("efficientnet_b0", TORCHVISION),
    "torchvision/efficientnet_b1": ("efficientnet_b1", TORCHVISION),
    "torchvision/efficientnet_b2": ("efficientnet_b2", TORCHVISION),
    "torchvision/efficientnet_b3": ("efficientnet_b3", TORCHVISION),
    "torchvision/efficientnet_b4": ("efficientnet_b4", TORCHVISION),
    "torchvision/efficientnet_b5": ("efficientnet_b5", TORCHVISION_LARGE),
    "torchvision/efficientnet_b6": ("efficientnet_b6", TORCHVISION_LARGE),
    "torchvision/efficientnet_b7": ("efficientnet_b7", TORCHVISION_LARGE),
    "timm/efficientnet_b0": ("efficientnet_b0", TIMM),
    "timm/efficientnet_b1": ("efficientnet_b1", TIMM),
    "timm/efficientnet_b2": ("efficientnet_b2", TIMM),
    "timm/efficientnet_b3": ("efficientnet_b3", TIMM),
    "timm/efficientnet_b4": ("efficientnet_b4", TIMM),
    "timm/efficientnet_v2_s": ("efficientnet_v2_s", TENSORFLOW),
    "timm/efficientnet_v2_m": ("efficientnet_v2_m", TENSORFLOW),
    "timm/efficientnet_v2_l": ("efficientnet_v2_l", TENSORFLOW),
    "keras/efficientnet_v2_s": ("efficientnet_v2_s", TENSORFLOW),
    "keras/efficientnet_v2_m": ("efficientnet_v2_m", TENSORFLOW),
    "keras/efficientnet_v2_l": ("efficientnet_v2_l", TENSORFLOW),
}
# fmt: on

for name, row in NETS.items():
    register_model(name, paper=row.paper)(row.build())

for name, (ours, style) in OTHERS.items():
    row = replace(NETS[ours], style=style)
    register_model(name, paper=row.paper)(row.build())
