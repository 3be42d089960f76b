"""Inception-ResNet-v2: Inception modules, cheaper ones, as the branches of residual blocks.

The layer counts are those of the authors' code and of all copies, twice those of the paper's figure 15: 10, 20 and 10
blocks. The last block is neither scaled nor followed by a ReLU.
"""

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Dense, Dropout
from cnnjax.models.inception import Mixed, ResidualMixed, layer, stem
from cnnjax.models.inception_v4 import PAPER
from cnnjax.models.initializers import TORCH
from cnnjax.models.pooling import GlobalAvgPool

MIXED_5B = {
    "branch0": "1x1 96",
    "branch1": "1x1 48, 5x5 64",
    "branch2": "1x1 64, 3x3 96, 3x3 96",
    "branch3": "avg, 1x1 64",
}
BLOCK35 = {
    "branch0": "1x1 32",
    "branch1": "1x1 32, 3x3 32",
    "branch2": "1x1 32, 3x3 48, 3x3 64",
}
REDUCTION_A = {
    "branch0": "3x3 384 /2",
    "branch1": "1x1 256, 3x3 256, 3x3 384 /2",
    "branch2": "max /2",
}
BLOCK17 = {
    "branch0": "1x1 192",
    "branch1": "1x1 128, 1x7 160, 7x1 192",
}
REDUCTION_B = {
    "branch0": "1x1 256, 3x3 384 /2",
    "branch1": "1x1 256, 3x3 288 /2",
    "branch2": "1x1 256, 3x3 288, 3x3 320 /2",
    "branch3": "max /2",
}
BLOCK8 = {
    "branch0": "1x1 192",
    "branch1": "1x1 192, 1x3 224, 3x1 256",
}


@register_model("inception_resnet_v2", paper=PAPER)
class InceptionResNetV2(Sequential):
    """Szegedy et al. 2016, figure 15 with the blocks of figures 16 to 19; a block is called by its map's side."""

    def layers(self) -> dict[str, nn.Module]:
        return {
            **stem(),
            "Mixed_5b": Mixed(MIXED_5B),
            **{f"block35_{number}": ResidualMixed(BLOCK35, scale=0.17) for number in range(10)},
            "Mixed_6a": Mixed(REDUCTION_A),
            **{f"block17_{number}": ResidualMixed(BLOCK17, scale=0.1) for number in range(20)},
            "Mixed_7a": Mixed(REDUCTION_B),
            **{f"block8_{number}": ResidualMixed(BLOCK8, scale=0.2) for number in range(9)},
            "block8": ResidualMixed(BLOCK8, activation="identity"),
            "Conv2d_7b_1x1": layer("1x1 1536"),
            "avgpool": GlobalAvgPool(),
            "dropout": Dropout(0.2),
            "fc": Dense(self.num_classes, initial=TORCH),
        }
