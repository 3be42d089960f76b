"""Big Transfer: pre-activated ResNets that need no batch, being normalized by groups and by their weights.

Names are timm's; the engine is that of resnet_v2.py. GroupNorm after convolutions whose kernels are standardized each
time they are used replaces BatchNorm, so a model trained on 4096 images a step can be fine-tuned on a few.
"""

from functools import partial

from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.base import register_model
from cnnjax.models.blocks import Conv
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, gaussian
from cnnjax.models.norm import GroupNorm
from cnnjax.models.resnet_v2 import ResNetV2, Row

PAPER = Paper(
    "A. Kolesnikov, L. Beyer, X. Zhai, J. Puigcerver, J. Yung, S. Gelly, N. Houlsby",
    2019,
    "Big Transfer (BiT): General Visual Representation Learning",
    "1912.11370",
)


class StandardisedConv(Conv):
    """Convolution with each output's kernel brought to mean 0 and variance 1 over its inputs and positions.

    Qiao et al. 2019 (1903.10520), equations 3 and 4, with the variance's epsilon that BiT has. The scale of the
    parameter no longer matters, only its direction.
    """

    eps: float = 1e-8

    def standing_for(self, kernel: Array) -> Array:
        mean, var = kernel.mean((0, 1, 2)), kernel.var((0, 1, 2))
        return (kernel - mean) * lax.rsqrt(var + self.eps)


net = partial(
    Row,
    conv=partial(StandardisedConv, initial=HE_OUT),
    norm=GroupNorm,
    bias=False,
    stride_last=False,
    fc=gaussian(0.01),
)

NETS = {
    "resnetv2_50x1_bit": net((3, 4, 6, 3)),
    "resnetv2_50x3_bit": net((3, 4, 6, 3), factor=3),
    "resnetv2_101x1_bit": net((3, 4, 23, 3)),
    "resnetv2_101x3_bit": net((3, 4, 23, 3), factor=3),
    "resnetv2_152x2_bit": net((3, 8, 36, 3), factor=2),
    "resnetv2_152x4_bit": net((3, 8, 36, 3), factor=4),
}

for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(ResNetV2, row=row))
