"""Inception-v3: large kernels factorized into small ones and into rows and columns.

Names are torchvision's. PyTorch's libraries count the zeros around the map in the means of the pooling branches, which
the authors' code and keras/inception_v3 do not. That and timm/inception_v3 have no auxiliary head, as the weights that
they are for.
"""

from functools import partial

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Dense, Dropout
from cnnjax.models.cards import Paper
from cnnjax.models.inception import Mixed, layer, stem
from cnnjax.models.initializers import TORCH, gaussian
from cnnjax.models.pooling import AdaptiveAvgPool, AvgPool, GlobalAvgPool

PAPER = Paper(
    "C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna",
    2015,
    "Rethinking the Inception Architecture for Computer Vision",
    "1512.00567",
)


def figure_5(pooled: int, pool: str) -> Mixed:
    """5x5 kernels as two 3x3, but for one branch that kept its 5x5 in all copies of the model."""
    return Mixed(
        {
            "branch1x1": "1x1 64",
            "branch5x5": "1x1 48, 5x5 64",
            "branch3x3dbl": "1x1 64, 3x3 96, 3x3 96",
            "branch_pool": f"{pool}, 1x1 {pooled}",
        }
    )


def figure_6(width: int, pool: str) -> Mixed:
    """7x7 kernels as a row and a column."""
    return Mixed(
        {
            "branch1x1": "1x1 192",
            "branch7x7": f"1x1 {width}, 1x7 {width}, 7x1 192",
            "branch7x7dbl": f"1x1 {width}, 7x1 {width}, 1x7 {width}, 7x1 {width}, 1x7 192",
            "branch_pool": f"{pool}, 1x1 192",
        }
    )


def figure_7(pool: str) -> Mixed:
    """Rows and columns side by side, to widen the coarsest map."""
    return Mixed(
        {
            "branch1x1": "1x1 320",
            "branch3x3": "1x1 384, 1x3 384 | 3x1 384",
            "branch3x3dbl": "1x1 448, 3x3 384, 1x3 384 | 3x1 384",
            "branch_pool": f"{pool}, 1x1 192",
        }
    )


class AuxiliaryHead(nn.Module):
    """Logits from the 17 x 17 map (section 4); a smaller one, of images under 299, is brought to 5 x 5 instead."""

    num_classes: int

    def setup(self) -> None:
        self.pool, self.small_pool = AvgPool(5, stride=3), AdaptiveAvgPool(5)
        self.conv0 = layer("1x1 128")
        self.conv1 = layer("5x5 768 valid", initial=gaussian(0.01))
        self.global_pool, self.fc = GlobalAvgPool(), Dense(self.num_classes, initial=gaussian(0.001))

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        pool = self.pool if min(inputs.shape[1:3]) >= 17 else self.small_pool
        values = self.conv1(self.conv0(pool(inputs), train), train)
        return self.fc(self.global_pool(values))


class InceptionV3(Sequential):
    """Szegedy et al. 2015, table 1; the map is 35, 17 and 8 wide.

    Attributes:
      pool: the step that begins the pooling branches.
    """

    auxiliary_heads: bool = True
    pool: str = "avg with zeros"

    auxiliary_weight = 0.4
    """Of the authors' code; the paper has no number."""

    def setup(self) -> None:
        super().setup()
        if self.auxiliary_heads:
            self.AuxLogits = AuxiliaryHead(self.num_classes)

    def layers(self) -> dict[str, nn.Module]:
        return {
            **stem(),
            "Mixed_5b": figure_5(32, self.pool),
            "Mixed_5c": figure_5(64, self.pool),
            "Mixed_5d": figure_5(64, self.pool),
            "Mixed_6a": Mixed(
                {
                    "branch3x3": "3x3 384 /2",
                    "branch3x3dbl": "1x1 64, 3x3 96, 3x3 96 /2",
                    "branch_pool": "max /2",
                }
            ),
            "Mixed_6b": figure_6(128, self.pool),
            "Mixed_6c": figure_6(160, self.pool),
            "Mixed_6d": figure_6(160, self.pool),
            "Mixed_6e": figure_6(192, self.pool),
            "Mixed_7a": Mixed(
                {
                    "branch3x3": "1x1 192, 3x3 320 /2",
                    "branch7x7x3": "1x1 192, 1x7 192, 7x1 192, 3x3 192 /2",
                    "branch_pool": "max /2",
                }
            ),
            "Mixed_7b": figure_7(self.pool),
            "Mixed_7c": figure_7(self.pool),
            "avgpool": GlobalAvgPool(),
            "dropout": Dropout(0.5),
            "fc": Dense(self.num_classes, initial=TORCH),
        }

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 2048]."""
        fork = self.order.index("Mixed_7a")
        values = self._row(self.order[:fork], images, train)
        if self.auxiliary_heads:
            self.auxiliary("AuxLogits", values, train)
        return self._row(self.order[fork : self.cut], values, train)


register_model("inception_v3", paper=PAPER)(InceptionV3)
register_model("timm/inception_v3", paper=PAPER)(partial(InceptionV3, auxiliary_heads=False))
register_model("keras/inception_v3", paper=PAPER)(partial(InceptionV3, auxiliary_heads=False, pool="avg"))
