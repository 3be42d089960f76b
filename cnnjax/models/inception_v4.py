"""Inception-v4: the modules of v3, more of them and all of one kind alike.

Modules are numbered as v3's are; timm, whose model this is, only counts them.
"""

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Dense, Dropout
from cnnjax.models.cards import Paper
from cnnjax.models.inception import Mixed, stem
from cnnjax.models.initializers import TORCH
from cnnjax.models.pooling import GlobalAvgPool

PAPER = Paper(
    "C. Szegedy, S. Ioffe, V. Vanhoucke, A. Alemi",
    2016,
    "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    "1602.07261",
)

A = {
    "branch0": "1x1 96",
    "branch1": "1x1 64, 3x3 96",
    "branch2": "1x1 64, 3x3 96, 3x3 96",
    "branch3": "avg, 1x1 96",
}
REDUCTION_A = {
    "branch0": "3x3 384 /2",
    "branch1": "1x1 192, 3x3 224, 3x3 256 /2",
    "branch2": "max /2",
}
B = {
    "branch0": "1x1 384",
    "branch1": "1x1 192, 1x7 224, 7x1 256",
    "branch2": "1x1 192, 7x1 192, 1x7 224, 7x1 224, 1x7 256",
    "branch3": "avg, 1x1 128",
}
REDUCTION_B = {
    "branch0": "1x1 192, 3x3 192 /2",
    "branch1": "1x1 256, 1x7 256, 7x1 320, 3x3 320 /2",
    "branch2": "max /2",
}
C = {
    "branch0": "1x1 256",
    "branch1": "1x1 384, 1x3 256 | 3x1 256",
    "branch2": "1x1 384, 3x1 448, 1x3 512, 1x3 256 | 3x1 256",
    "branch3": "avg, 1x1 256",
}
"""Szegedy et al. 2016, figures 4 to 8."""


@register_model("inception_v4", paper=PAPER)
class InceptionV4(Sequential):
    """Szegedy et al. 2016, figures 3 and 9; the map is 35, 17 and 8 wide."""

    def layers(self) -> dict[str, nn.Module]:
        first = stem()
        return {
            **{name: first[name] for name in ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3")},
            "Mixed_3a": Mixed({"maxpool": "max /2", "conv": "3x3 96 /2"}),
            "Mixed_4a": Mixed({"branch0": "1x1 64, 3x3 96 valid", "branch1": "1x1 64, 1x7 64, 7x1 64, 3x3 96 valid"}),
            "Mixed_5a": Mixed({"conv": "3x3 192 /2", "maxpool": "max /2"}),
            **{f"Mixed_5{letter}": Mixed(A) for letter in "bcde"},
            "Mixed_6a": Mixed(REDUCTION_A),
            **{f"Mixed_6{letter}": Mixed(B) for letter in "bcdefgh"},
            "Mixed_7a": Mixed(REDUCTION_B),
            **{f"Mixed_7{letter}": Mixed(C) for letter in "bcd"},
            "avgpool": GlobalAvgPool(),
            "dropout": Dropout(0.2),
            "fc": Dense(self.num_classes, initial=TORCH),
        }
