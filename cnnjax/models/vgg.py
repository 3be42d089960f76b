"""VGG: stages of 3x3 convolutions, twice as wide after each max-pool, and three dense layers.

Structure and names are torchvision's: features_28 is its features[28], ReLUs and pools counted. The dense layers hold
124 of VGG-16's 138 million parameters. BatchNorm came a year after the paper; in the models that have it the
convolutions keep their biases, which it makes idle.
"""

from dataclasses import dataclass
from functools import partial

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, Flatten, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, gaussian
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import AdaptiveAvgPool, GlobalAvgPool, MaxPool

PAPER = Paper(
    "K. Simonyan, A. Zisserman",
    2014,
    "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "1409.1556",
)
WIDTHS = (64, 128, 256, 512, 512)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths: convolutions in each of the five stages.
      small: for 32 x 32 images, of which one position is left: a single dense layer.
    """

    depths: tuple[int, int, int, int, int]
    batch_norm: bool = False
    small: bool = False


NETS = {
    "vgg11": Row((1, 1, 2, 2, 2)),
    "vgg13": Row((2, 2, 2, 2, 2)),
    "vgg16": Row((2, 2, 3, 3, 3)),
    "vgg19": Row((2, 2, 4, 4, 4)),
    "vgg11_bn": Row((1, 1, 2, 2, 2), batch_norm=True),
    "vgg13_bn": Row((2, 2, 2, 2, 2), batch_norm=True),
    "vgg16_bn": Row((2, 2, 3, 3, 3), batch_norm=True),
    "vgg19_bn": Row((2, 2, 4, 4, 4), batch_norm=True),
    "vgg16_cifar_bn": Row((2, 2, 3, 3, 3), batch_norm=True, small=True),
}


class VGG(Sequential):
    """Simonyan and Zisserman 2014, table 1, configurations A, B, D and E; maps of other sizes are averaged to 7 x 7."""

    row: Row

    def layers(self) -> dict[str, nn.Module]:
        stages: list[nn.Module] = []
        for width, depth in zip(WIDTHS, self.row.depths, strict=True):
            for _ in range(depth):
                stages.append(Conv(width, 3, padding=1, initial=HE_OUT))
                stages += [BatchNorm(), ReLU()] if self.row.batch_norm else [ReLU()]
            stages.append(MaxPool(2))
        layers = {f"features_{number}": layer for number, layer in enumerate(stages)}
        dense = partial(Dense, initial=gaussian(0.01))
        if self.row.small:
            return layers | {"avgpool": GlobalAvgPool(), "classifier": dense(self.num_classes)}
        return layers | {
            "avgpool": AdaptiveAvgPool(7),
            "flatten": Flatten(),
            "classifier_0": dense(4096),
            "classifier_1": ReLU(),
            "classifier_2": Dropout(0.5),
            "classifier_3": dense(4096),
            "classifier_4": ReLU(),
            "classifier_5": Dropout(0.5),
            "classifier_6": dense(self.num_classes),
        }


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(VGG, row=row))
