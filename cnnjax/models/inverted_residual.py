"""Inverted residual blocks, and the model that is a row of them: MobileNetV2 and V3, MnasNet, EfficientNet.

Stages are numbered as in EfficientNetV2's table 4, the stem 0 and the last convolution by the number behind the last
stage of blocks; the parts of a block are called as timm calls them.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier
from cnnjax.models.blocks import Conv, ConvNorm, Dense, Dropout, DropPath, SqueezeExcite, activation
from cnnjax.models.initializers import HE, HE_OUT, Init
from cnnjax.models.norm import BatchNorm
from cnnjax.models.padding import Padding
from cnnjax.models.pooling import GlobalAvgPool


@dataclass(frozen=True)
class Style:
    """What the layers of a model have in common.

    Attributes:
      activation: behind every normalized convolution but the last of a block.
      squeeze, gate: the two activations of squeeze and excitation.
      same: pads by TensorFlow's rule, else kernel // 2 pixels on every side.
      eps, momentum: of BatchNorm.
      depthwise: how kernels of one input channel begin; the fan-out, as TensorFlow counts it, is that of one channel
        (HE), as torchvision does, of all (HE_OUT).
    """

    activation: str = "relu"
    squeeze: str = "relu"
    gate: str = "sigmoid"
    same: bool = False
    eps: float = 1e-5
    momentum: float = 0.1
    depthwise: Init = HE

    def padding(self, kernel_size: int) -> Padding:
        return "same" if self.same else kernel_size // 2

    def conv_norm(self, features: int, kernel_size: int, stride: int = 1) -> ConvNorm:
        """Convolution, norm and activation in this style."""
        return ConvNorm(
            features,
            kernel_size,
            stride=stride,
            padding=self.padding(kernel_size),
            activation=self.activation,
            eps=self.eps,
            momentum=self.momentum,
            initial=HE_OUT,
        )


class InvertedResidual(nn.Module):
    """x + project(gate(depthwise(expand(x)))): narrow at its ends, wide inside, the last convolution linear.

    Sandler et al. 2018 (1801.04381), figure 3; the gate is MnasNet's, the fused form (one dense convolution in place of
    expansion and depthwise) EfficientNetV2's (Tan and Le 2021, 2104.00298, figure 2). Where nothing is expanded the
    expansion is left out, and the fused form, then a single convolution, ends in the activation. The sum needs a stride
    of 1 and as many outputs as inputs.

    Attributes:
      inputs, inner, outputs: channels before, inside and after.
      reduced: width inside squeeze and excitation; 0: no gate.
      drop_path: the chance that an image skips the branch in training.
    """

    inputs: int
    inner: int
    outputs: int
    kernel_size: int = 3
    stride: int = 1
    reduced: int = 0
    fused: bool = False
    drop_path: float = 0.0
    style: Style = Style()

    def setup(self) -> None:
        style, expands = self.style, self.inner != self.inputs
        point = partial(Conv, kernel_size=1, use_bias=False, initial=HE_OUT)
        wide = partial(point, kernel_size=self.kernel_size, stride=self.stride, padding=style.padding(self.kernel_size))
        if self.fused and expands:
            layers = {"conv_exp": wide(self.inner), "conv_pwl": point(self.outputs)}
        elif self.fused:
            layers = {"conv": wide(self.outputs)}
        else:
            depthwise = wide(self.inner, groups=self.inner, initial=style.depthwise)
            if expands:
                layers = {"conv_pw": point(self.inner), "conv_dw": depthwise, "conv_pwl": point(self.outputs)}
            else:
                layers = {"conv_dw": depthwise, "conv_pw": point(self.outputs)}
        for number, (name, layer) in enumerate(layers.items(), 1):
            setattr(self, name, layer)
            setattr(self, f"bn{number}", BatchNorm(eps=style.eps, momentum=style.momentum))
        self.convolutions = tuple(layers)
        self.act = activation(style.activation)
        if self.reduced:
            self.se = SqueezeExcite(self.reduced, activation=style.squeeze, gate=style.gate, initial=HE_OUT)
        self.skip = DropPath(self.drop_path)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values, count = inputs, len(self.convolutions)
        for number, name in enumerate(self.convolutions, 1):
            if self.reduced and number == count:
                values = self.se(values)
            values = getattr(self, f"bn{number}")(getattr(self, name)(values), train)
            if number < count or count == 1:
                values = self.act(values)
        if self.stride == 1 and self.inputs == self.outputs:
            values = inputs + self.skip(values, train)
        return cast(Array, values)


@dataclass(frozen=True)
class Stage:
    """Blocks of one form, a line of a paper's table.

    Attributes:
      expansion: inner channels of a block / its inputs.
      stride: of the first block, the others have 1.
      gated: squeeze and excitation, reduced to a quarter of the block's inputs.
    """

    expansion: int
    kernel_size: int
    stride: int
    channels: int
    repeats: int
    gated: bool = False
    fused: bool = False


class InvertedResidualNet(Classifier):
    """A 3x3 convolution, stages of inverted residuals, a 1x1 convolution, global pooling, one dense layer.

    Attributes:
      stem, last: channels of the first and of the last convolution.
      drop_path: grows from 0 at the first block to nearly this at the last.
    """

    stem: int
    stages: tuple[Stage, ...]
    last: int
    style: Style
    dropout: float
    drop_path: float
    dense: Init
    stem_stride: int = 2

    def setup(self) -> None:
        blocks: list[str] = []
        inputs, total = self.stem, sum(stage.repeats for stage in self.stages)
        for number, stage in enumerate(self.stages, 1):
            for repeat in range(stage.repeats):
                block = InvertedResidual(
                    inputs,
                    inputs * stage.expansion,
                    stage.channels,
                    stage.kernel_size,
                    stride=1 if repeat else stage.stride,
                    reduced=inputs // 4 if stage.gated else 0,
                    fused=stage.fused,
                    drop_path=self.drop_path * len(blocks) / total,
                    style=self.style,
                )
                setattr(self, f"stage{number}_{repeat}", block)
                blocks.append(f"stage{number}_{repeat}")
                inputs = stage.channels
        self.stage0 = self.style.conv_norm(self.stem, 3, stride=self.stem_stride)
        setattr(self, f"stage{len(self.stages) + 1}", self.style.conv_norm(self.last, 1))
        self.order = ("stage0", *blocks, f"stage{len(self.stages) + 1}")
        self.pool, self.drop = GlobalAvgPool(), Dropout(self.dropout)
        self.classifier = Dense(self.num_classes, initial=self.dense)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, last]."""
        return self.chain_each(self.order, images, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, last] -> [N, num_classes]."""
        return cast(Array, self.classifier(self.drop(self.pool(features), train)))


def round_channels(channels: float, lowest: float = 0.9) -> int:
    """The nearest multiple of 8, or the next one where that is below `lowest` of the number."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < lowest * channels else rounded
