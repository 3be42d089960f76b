"""DenseNet: each layer of a block sees the maps of all layers before it and adds a few of its own.

Huang et al. 2016; names are torchvision's. Each block is rematerialized as a whole (`remat`), so that its convolutions'
outputs are kept and none of the ever wider maps put together from them: "memory-efficient DenseNets" (Pleiss et al.
2017, 1707.06990).
"""

from dataclasses import dataclass
from functools import partial

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE, TORCH, Init
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import AvgPool, GlobalAvgPool, MaxPool

PAPER = Paper(
    "G. Huang, Z. Liu, L. van der Maaten, K. Weinberger", 2016, "Densely Connected Convolutional Networks", "1608.06993"
)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths: layers in each dense block.
      growth: maps that each layer adds.
      stem: maps of the first convolution.
      cifar: that is a 3x3, not a 7x7 with a max-pool; images of 32 x 32.
      bottleneck: a 1x1 to four times the growth before each 3x3 ("B").
      compression: share of the maps that are left between blocks ("C").
    """

    depths: tuple[int, ...]
    growth: int
    stem: int
    cifar: bool = False
    bottleneck: bool = True
    compression: float = 0.5


_plain = partial(Row, stem=16, cifar=True, bottleneck=False, compression=1.0)
_bc = partial(Row, cifar=True)  # the stem twice the growth wide

# fmt: off
NETS = {
    "densenet121": Row((6, 12, 24, 16), growth=32, stem=64),
    "densenet169": Row((6, 12, 32, 32), growth=32, stem=64),
    "densenet201": Row((6, 12, 48, 32), growth=32, stem=64),
    "densenet161": Row((6, 12, 36, 24), growth=48, stem=96),
    "densenet264": Row((6, 12, 64, 48), growth=32, stem=64),
    "densenet_40_12_cifar": _plain((12, 12, 12), growth=12),
    "densenet_100_12_cifar": _plain((32, 32, 32), growth=12),
    "densenet_100_24_cifar": _plain((32, 32, 32), growth=24),
    "densenet_bc_100_12_cifar": _bc((16, 16, 16), growth=12, stem=24),
    "densenet_bc_250_24_cifar": _bc((41, 41, 41), growth=24, stem=48),
    "densenet_bc_190_40_cifar": _bc((31, 31, 31), growth=40, stem=80),
}
# fmt: on


class DenseLayer(nn.Module):
    """[x, H(x)]: norm, ReLU and 3x3, with the bottleneck norm, ReLU and 1x1 before them; section 3.

    Dropout stands behind the last convolution; its rate is 0 unless `create_model(dropout=0.2)` sets what the paper has
    where images are not augmented.
    """

    row: Row

    def setup(self) -> None:
        conv, growth = partial(Conv, use_bias=False, initial=HE), self.row.growth
        self.norm1, self.relu, self.dropout = BatchNorm(), ReLU(), Dropout(0.0)
        if self.row.bottleneck:
            self.conv1, self.norm2 = conv(4 * growth, 1), BatchNorm()
            self.conv2 = conv(growth, 3, padding=1)
        else:
            self.conv1 = conv(growth, 3, padding=1)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = self.conv1(self.relu(self.norm1(inputs, train)))
        if self.row.bottleneck:
            values = self.conv2(self.relu(self.norm2(values, train)))
        return jnp.concatenate([inputs, self.dropout(values, train)], axis=-1)


class Transition(nn.Module):
    """Between blocks: norm, ReLU, 1x1 to a share of the maps, rounded down, and the mean of each 2x2."""

    compression: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = ReLU()(BatchNorm(name="norm")(inputs, train))
        maps = int(inputs.shape[-1] * self.compression)
        return AvgPool(2)(Conv(maps, 1, use_bias=False, initial=HE, name="conv")(values))


class DenseNet(Classifier):
    """A convolution, dense blocks with transitions between them, norm, ReLU, global average pooling, a dense layer."""

    row: Row

    def setup(self) -> None:
        row = self.row
        side, stride = (3, 1) if row.cifar else (7, 2)
        self.conv0 = Conv(row.stem, side, stride, padding=side // 2, use_bias=False, initial=HE)
        if not row.cifar:
            self.norm0, self.pool0 = BatchNorm(), MaxPool(3, stride=2, padding=1)
        for block, depth in enumerate(row.depths, 1):
            for layer in range(1, depth + 1):
                setattr(self, f"denseblock{block}_denselayer{layer}", DenseLayer(row))
            if block < len(row.depths):
                setattr(self, f"transition{block}", Transition(row.compression))
        self.norm, self.relu = BatchNorm(), ReLU()
        self.avgpool = GlobalAvgPool()
        self.classifier = Dense(self.num_classes, initial=Init(TORCH.kernel, HE.bias))

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, maps], with `row.cifar` [N, H / 4, W / 4, maps]."""
        values = self.chain(["conv0"] if self.row.cifar else ["conv0", "norm0", "relu", "pool0"], images, train)
        for block, depth in enumerate(self.row.depths, 1):
            if block > 1:
                values = self.chain([f"transition{block - 1}"], values, train)
            names = [f"denseblock{block}_denselayer{layer}" for layer in range(1, depth + 1)]
            values = self.chain(names, values, train)
        return self.chain(["norm", "relu"], values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, maps] -> [N, num_classes]."""
        return self.chain(["avgpool", "classifier"], features, train)


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(DenseNet, row=row))
