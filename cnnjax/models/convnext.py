"""ConvNeXt: a ResNet brought up to date step by step, until nothing but the convolutions is left of it.

Names of a block's parts as in timm. Stem and downsampling are patches that do not overlap, LayerNorm takes BatchNorm's
place, and a block has one activation. The head's norm comes after the pooling.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, DropPath, activation
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import gaussian
from cnnjax.models.norm import LayerNorm
from cnnjax.models.pooling import GlobalAvgPool
from cnnjax.models.sums import broadcast_channels

PAPER = Paper(
    "Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell, S. Xie", 2022, "A ConvNet for the 2020s", "2201.03545"
)
INITIAL = gaussian(0.02)


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      depths, widths: blocks, and their channels, in each of the four stages.
      drop_path: see ConvNeXt.
    """

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    drop_path: float


# fmt: off
NETS = {
    "convnext_tiny": Row((3, 3, 9, 3), (96, 192, 384, 768), drop_path=0.1),
    "convnext_small": Row((3, 3, 27, 3), (96, 192, 384, 768), drop_path=0.4),
    "convnext_base": Row((3, 3, 27, 3), (128, 256, 512, 1024), drop_path=0.5),
    "convnext_large": Row((3, 3, 27, 3), (192, 384, 768, 1536), drop_path=0.5),
    "convnext_xlarge": Row((3, 3, 27, 3), (256, 512, 1024, 2048), drop_path=0.2),
}
# fmt: on


class ConvNeXtBlock(nn.Module):
    """x + gamma * fc2(gelu(fc1(norm(conv_dw(x))))); Liu et al. 2022, figure 4.

    The layer scale `gamma` (Touvron et al. 2021, 2103.17239) begins at 1e-6: a fresh model is a chain of identities.
    """

    drop_path: float

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        width = inputs.shape[-1]
        values = Conv(width, 7, padding=3, groups=width, initial=INITIAL, name="conv_dw")(inputs)
        values = LayerNorm(name="norm")(values)
        values = activation("gelu")(Dense(4 * width, initial=INITIAL, name="fc1")(values))
        values = Dense(width, initial=INITIAL, name="fc2")(values)
        gamma = self.param("gamma", nn.initializers.constant(1e-6), (width,), jnp.float32)
        scaled = (values * broadcast_channels(gamma, values.shape)).astype(values.dtype)
        return cast(Array, inputs + DropPath(self.drop_path)(scaled, train))


class ConvNeXt(Classifier):
    """Four stages, before each a LayerNorm and a patch convolution (in the stem the other way round).

    Attributes:
      drop_path: share of the images that skip the last block; from 0 at the first it grows linearly.
    """

    row: Row
    drop_path: float

    def setup(self) -> None:
        patches, steps = partial(Conv, initial=INITIAL), []
        done, last = 0, sum(self.row.depths) - 1
        for stage, (width, depth) in enumerate(zip(self.row.widths, self.row.depths, strict=True), 1):
            if stage == 1:
                self.stem, self.stem_norm = patches(width, 4, stride=4), LayerNorm()
                steps += ["stem", "stem_norm"]
            else:
                setattr(self, f"downsample{stage}_norm", LayerNorm())
                setattr(self, f"downsample{stage}", patches(width, 2, stride=2))
                steps += [f"downsample{stage}_norm", f"downsample{stage}"]
            for number in range(depth):
                setattr(self, f"stage{stage}_{number}", ConvNeXtBlock(self.drop_path * done / last))
                steps.append(f"stage{stage}_{number}")
                done += 1
        self.steps = tuple(steps)
        self.avgpool, self.norm, self.fc = GlobalAvgPool(), LayerNorm(), Dense(self.num_classes, initial=INITIAL)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 768 .. 2048]."""
        return self.chain_each(self.steps, images, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.fc(self.norm(self.avgpool(features))))


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(ConvNeXt, row=row, drop_path=row.drop_path))
