"""Xception: residual blocks of depthwise separable convolutions.

Names are timm's. Between the depthwise and the pointwise convolution stands neither norm nor ReLU (Chollet 2016,
section 4.7). timm's epsilon is 1e-5 and its strided pools pad on both sides, though the weights come from Keras with
1e-3 and TensorFlow's rule; keras/xception has these.
"""

from collections.abc import Callable
from functools import partial

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, TORCH
from cnnjax.models.norm import BatchNorm
from cnnjax.models.padding import Padding
from cnnjax.models.pooling import GlobalAvgPool, MaxPool

PAPER = Paper("F. Chollet", 2016, "Xception: Deep Learning with Depthwise Separable Convolutions", "1610.02357")

conv = partial(Conv, use_bias=False, initial=HE_OUT)


class SeparableConv(nn.Module):
    """A 3x3 convolution of each channel for itself, then a 1x1 over all: SeparableConv(728)."""

    features: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        channels = inputs.shape[-1]
        values = conv(channels, 3, padding=1, groups=channels, name="conv1")(inputs)
        return conv(self.features, 1, name="pointwise")(values)


class Block(nn.Module):
    """Separable convolutions, a ReLU before each and a norm behind, beside a shortcut.

    Attributes:
      norm: makes the BatchNorms.
      padding: of the max-pool.
      widths: of the convolutions.
      stride: 2: a max-pool behind them and a projection beside.
      opening: the first ReLU is there.
    """

    norm: Callable[..., BatchNorm]
    padding: Padding
    widths: tuple[int, ...]
    stride: int = 2
    opening: bool = True

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs
        for number, width in enumerate(self.widths, 1):
            if number > 1 or self.opening:
                values = ReLU()(values)
            values = self.norm(name=f"bn{number}")(SeparableConv(width, name=f"sep{number}")(values), train)
        if self.stride == 1:
            return values + inputs
        shortcut = conv(self.widths[-1], 1, stride=self.stride, name="skip")(inputs)
        values = MaxPool(3, stride=self.stride, padding=self.padding)(values)
        return values + self.norm(name="skipbn")(shortcut, train)


@register_model("xception", paper=PAPER)
class Xception(Sequential):
    """Chollet 2016, figure 5: entry, middle and exit flow; 22,855,952 parameters.

    Attributes:
      padding: of the max-pools.
      eps, momentum: of BatchNorm.
    """

    padding: Padding = 1
    eps: float = 1e-5
    momentum: float = 0.1

    def layers(self) -> dict[str, nn.Module]:
        norm = partial(BatchNorm, eps=self.eps, momentum=self.momentum)
        block = partial(Block, norm, self.padding)
        return {
            "conv1": conv(32, 3, stride=2),
            "bn1": norm(),
            "relu1": ReLU(),
            "conv2": conv(64, 3),
            "bn2": norm(),
            "relu2": ReLU(),
            "block1": block((128, 128), opening=False),
            "block2": block((256, 256)),
            "block3": block((728, 728)),
            **{f"block{number}": block((728, 728, 728), stride=1) for number in range(4, 12)},
            "block12": block((728, 1024)),
            "conv3": SeparableConv(1536),
            "bn3": norm(),
            "relu3": ReLU(),
            "conv4": SeparableConv(2048),
            "bn4": norm(),
            "relu4": ReLU(),
            "avgpool": GlobalAvgPool(),
            "dropout": Dropout(0.5),
            "fc": Dense(self.num_classes, initial=TORCH),
        }


register_model("keras/xception", paper=PAPER)(partial(Xception, padding="same", eps=1e-3, momentum=0.01))
