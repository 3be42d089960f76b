"""GoogLeNet (Inception v1): as the paper has it, and as torchvision's weights need it.

Names are torchvision's. Its model has BatchNorm where the paper has LRN and biases, and 3x3 kernels where the paper has
5x5 (known as a mistake, kept since the weights were trained so).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias, cast

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, ConvNorm, Dense, Dropout, Flatten, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE, TORCH, Init, gaussian
from cnnjax.models.norm import LRN
from cnnjax.models.pooling import AdaptiveAvgPool, AvgPool, GlobalAvgPool, MaxPool

PAPER = Paper(
    "C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke, A. Rabinovich",
    2014,
    "Going Deeper with Convolutions",
    "1409.4842",
)

Style: TypeAlias = Literal["paper", "torchvision"]

# Table 1 of the paper: 1x1; 3x3 and 5x5, each behind a 1x1 that reduces; 1x1 behind the pool.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}

POOLS = {"3b": "maxpool3", "4e": "maxpool4"}
HEADS = {"4a": "aux1", "4d": "aux2"}
"""What follows a module: max-pools, and auxiliary heads beside the way."""

XAVIER = Init(nn.initializers.variance_scaling(1.0, "fan_in", "uniform"), lambda _: nn.initializers.constant(0.2))
"""The paper's Caffe copy, BVLC GoogLeNet: biases start the ReLUs on their open side."""
INITIAL = {"paper": XAVIER, "torchvision": Init(gaussian(0.01).kernel, TORCH.bias)}
LAST = {"paper": Init(XAVIER.kernel, HE.bias), "torchvision": INITIAL["torchvision"]}
"""Of all layers but those that give logits, and of those."""


class ConvReLU(nn.Module):
    """Convolution with bias, ReLU."""

    features: int
    kernel_size: int
    stride: int = 1
    padding: int = 0

    def setup(self) -> None:
        self.conv = Conv(self.features, self.kernel_size, self.stride, self.padding, initial=XAVIER)
        self.relu = ReLU()

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return cast(Array, self.relu(self.conv(inputs)))


UNIT: dict[str, Callable[..., nn.Module]] = {
    "paper": ConvReLU,
    "torchvision": partial(ConvNorm, eps=1e-3, initial=INITIAL["torchvision"]),
}


class Inception(nn.Module):
    """Four branches side by side; Szegedy et al. 2014, figure 2 (b).

    Attributes:
      widths: a row of MODULES.
    """

    widths: tuple[int, tuple[int, int], tuple[int, int], int]
    style: Style

    def setup(self) -> None:
        unit, (single, middle, large, pooled) = UNIT[self.style], self.widths
        self.branch1 = unit(single, 1)
        self.branch2_0, self.branch2_1 = unit(middle[0], 1), unit(middle[1], 3, padding=1)
        side = 5 if self.style == "paper" else 3
        self.branch3_0, self.branch3_1 = unit(large[0], 1), unit(large[1], side, padding=side // 2)
        self.branch4_0, self.branch4_1 = MaxPool(3, stride=1, padding=1), unit(pooled, 1)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        branches = [
            self.branch1(inputs, train),
            self.branch2_1(self.branch2_0(inputs, train), train),
            self.branch3_1(self.branch3_0(inputs, train), train),
            self.branch4_1(self.branch4_0(inputs), train),
        ]
        return jnp.concatenate(branches, axis=-1)


class AuxiliaryHead(nn.Module):
    """Logits from the middle of the model, for training; Szegedy et al. 2014, section 5.

    The paper's 5x5 pool of stride 3 gives 4 x 4 of the 14 x 14 positions of a 224 x 224 image.
    """

    num_classes: int
    style: Style

    def setup(self) -> None:
        self.pool = AvgPool(5, stride=3) if self.style == "paper" else AdaptiveAvgPool(4)
        self.conv, self.flatten = UNIT[self.style](128, 1), Flatten()
        self.fc1, self.relu, self.drop = Dense(1024, initial=INITIAL[self.style]), ReLU(), Dropout(0.7)
        self.fc2 = Dense(self.num_classes, initial=LAST[self.style])

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.flatten(self.conv(self.pool(inputs), train))
        return cast(Array, self.fc2(self.drop(self.relu(self.fc1(values)), train)))


class GoogLeNet(Classifier):
    """A stem of three convolutions, nine Inception modules, global average pooling and one dense layer.

    LRN is where the paper's figure 3 and Caffe's copy have it, with the latter's k = 1.

    Attributes:
      auxiliary_heads: two more classifiers in training, behind modules 4a and 4d; their losses count 0.3 times.
    """

    style: Style
    auxiliary_heads: bool = True

    def setup(self) -> None:
        unit, paper = UNIT[self.style], self.style == "paper"
        self.conv1, self.conv2, self.conv3 = unit(64, 7, stride=2, padding=3), unit(64, 1), unit(192, 3, padding=1)
        self.maxpool1, self.maxpool2, self.maxpool3 = (MaxPool(3, stride=2, ceil=True) for _ in range(3))
        self.maxpool4 = MaxPool(3 if paper else 2, stride=2, ceil=True)
        if paper:
            self.norm1, self.norm2 = (LRN(size=5, alpha=1e-4 / 5, beta=0.75, k=1.0) for _ in range(2))
        for name, widths in MODULES.items():
            setattr(self, f"inception{name}", Inception(widths, self.style))
        if self.auxiliary_heads:
            self.aux1, self.aux2 = (AuxiliaryHead(self.num_classes, self.style) for _ in range(2))
        self.avgpool, self.dropout = GlobalAvgPool(), Dropout(0.4 if paper else 0.2)
        self.fc = Dense(self.num_classes, initial=LAST[self.style])

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 1024]."""
        if self.style == "paper":
            stem = ["conv1", "maxpool1", "norm1", "conv2", "conv3", "norm2", "maxpool2"]
        else:
            stem = ["conv1", "maxpool1", "conv2", "conv3", "maxpool2"]
        values = self.chain(stem, images, train)
        for name in MODULES:
            values = self.chain([f"inception{name}"], values, train)
            if name in POOLS:
                values = self.chain([POOLS[name]], values, train)
            if name in HEADS and self.auxiliary_heads:
                self.auxiliary(HEADS[name], values, train)
        return values

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, 1024] -> [N, num_classes]."""
        return self.chain(["avgpool", "dropout", "fc"], features, train)


register_model("googlenet", paper=PAPER)(partial(GoogLeNet, style="torchvision"))
register_model("googlenet_paper", paper=PAPER)(partial(GoogLeNet, style="paper", auxiliary_heads=False))
