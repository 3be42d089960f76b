"""MnasNet, found by search under a bound on a phone's latency: A1 with squeeze and excitation, B1 without.

The four widths are B1 as torchvision has it, whose running statistics move by 0.0003 a step, as the paper's do; A1 is
timm's semnasnet_100.
"""

from dataclasses import replace
from functools import partial

from flax import linen as nn

from cnnjax.models.base import register_model
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import HE_OUT, UNIFORM_OUT, Init
from cnnjax.models.inverted_residual import InvertedResidualNet, Stage, Style, round_channels

MNASNET = Paper(
    "M. Tan, B. Chen, R. Pang, V. Vasudevan, M. Sandler, A. Howard, Q. Le",
    2018,
    "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
    "1807.11626",
)

# Expansion, kernel, stride, channels, repeats: figure 7 of the paper.
A1 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(3, 5, 2, 40, 3, gated=True),
    Stage(6, 3, 2, 80, 4),
    Stage(6, 3, 1, 112, 2, gated=True),
    Stage(6, 5, 2, 160, 3, gated=True),
    Stage(6, 3, 1, 320, 1),
)
B1 = (
    Stage(1, 3, 1, 16, 1),
    Stage(3, 3, 2, 24, 3),
    Stage(3, 5, 2, 40, 3),
    Stage(6, 5, 2, 80, 3),
    Stage(6, 3, 1, 96, 2),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
TORCHVISION = Style(momentum=0.0003, depthwise=HE_OUT)
TORCHVISION_DENSE = Init(nn.initializers.variance_scaling(1.0, "fan_out", "uniform"), lambda _: nn.initializers.zeros)

# Stages, width, style, how the last layer begins
NETS = {
    "mnasnet_a1": (A1, 1.0, Style(), UNIFORM_OUT),
    "mnasnet0_5": (B1, 0.5, TORCHVISION, TORCHVISION_DENSE),
    "mnasnet0_75": (B1, 0.75, TORCHVISION, TORCHVISION_DENSE),
    "mnasnet1_0": (B1, 1.0, TORCHVISION, TORCHVISION_DENSE),
    "mnasnet1_3": (B1, 1.3, TORCHVISION, TORCHVISION_DENSE),
}

for name, (stages, width, style, dense) in NETS.items():
    register_model(name, paper=MNASNET)(
        partial(
            InvertedResidualNet,
            stem=round_channels(32 * width),
            stages=tuple(replace(stage, channels=round_channels(stage.channels * width)) for stage in stages),
            last=1280,
            style=style,
            dropout=0.2,
            drop_path=0.0,
            dense=dense,
        )
    )
