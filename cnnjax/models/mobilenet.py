"""MobileNet V1 (depthwise separable convolutions), V2 (inverted residuals) and V3 (found by search, gated).

V1 is Keras', which pads strided depthwise convolutions behind even at odd sides, where TensorFlow's rule, the stem's,
pads on both; V2 and V3 are torchvision's. timm and Keras have copies whose weights have the same shapes and need other
padding or epsilon: they are called timm/mobilenet_v1. The activation of V1 and V2 is ReLU6, made for 8-bit arithmetic.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import ConvNorm, Dense, Dropout, activation
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import GLOROT, HE_OUT, gaussian
from cnnjax.models.inverted_residual import InvertedResidual, InvertedResidualNet, Stage, Style, round_channels
from cnnjax.models.padding import Padding
from cnnjax.models.pooling import GlobalAvgPool

V1 = Paper(
    "A. Howard, M. Zhu, B. Chen, D. Kalenichenko, W. Wang, T. Weyand, M. Andreetto, H. Adam",
    2017,
    "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
    "1704.04861",
)
V2 = Paper(
    "M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen",
    2018,
    "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
    "1801.04381",
)
V3 = Paper(
    "A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan, Q. Le, "
    "H. Adam",
    2019,
    "Searching for MobileNetV3",
    "1905.02244",
)

KERAS_V1 = Style("relu6", same=True, eps=1e-3, momentum=0.01)
TIMM_V1 = Style("relu6")
TORCHVISION_V2 = Style("relu6", depthwise=HE_OUT)
KERAS_V2 = Style("relu6", same=True, eps=1e-3, momentum=0.001)
TORCHVISION_V3 = Style("hard_swish", gate="hard_sigmoid", eps=1e-3, momentum=0.01, depthwise=HE_OUT)
TIMM_V3 = replace(TORCHVISION_V3, eps=1e-5, momentum=0.1)
TENSORFLOW_V3 = replace(TORCHVISION_V3, same=True)
KERAS_V3 = replace(TENSORFLOW_V3, momentum=0.001)


@dataclass(frozen=True)
class Bneck:
    """A block of V3, a line of the paper's tables 1 and 2.

    Attributes:
      inner: channels between expansion and projection.
      gated: squeeze and excitation, reduced to a quarter of `inner`.
    """

    kernel_size: int
    inner: int
    channels: int
    gated: bool
    nonlinearity: Literal["relu", "hard_swish"]
    stride: int


# fmt: off
# Channels, blocks, stride of the first block: table 1 of the paper.
ROWS_V1 = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))

# Expansion, kernel, stride, channels, repeats: table 2 of the paper.
ROWS_V2 = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 3, 2, 32, 3),
    Stage(6, 3, 2, 64, 4),
    Stage(6, 3, 1, 96, 3),
    Stage(6, 3, 2, 160, 3),
    Stage(6, 3, 1, 320, 1),
)
ROWS_V3_LARGE = (
    Bneck(3, 16, 16, False, "relu", 1),
    Bneck(3, 64, 24, False, "relu", 2),
    Bneck(3, 72, 24, False, "relu", 1),
    Bneck(5, 72, 40, True, "relu", 2),
    Bneck(5, 120, 40, True, "relu", 1),
    Bneck(5, 120, 40, True, "relu", 1),
    Bneck(3, 240, 80, False, "hard_swish", 2),
    Bneck(3, 200, 80, False, "hard_swish", 1),
    Bneck(3, 184, 80, False, "hard_swish", 1),
    Bneck(3, 184, 80, False, "hard_swish", 1),
    Bneck(3, 480, 112, True, "hard_swish", 1),
    Bneck(3, 672, 112, True, "hard_swish", 1),
    Bneck(5, 672, 160, True, "hard_swish", 2),
    Bneck(5, 960, 160, True, "hard_swish", 1),
    Bneck(5, 960, 160, True, "hard_swish", 1),
)
ROWS_V3_SMALL = (
    Bneck(3, 16, 16, True, "relu", 2),
    Bneck(3, 72, 24, False, "relu", 2),
    Bneck(3, 88, 24, False, "relu", 1),
    Bneck(5, 96, 40, True, "hard_swish", 2),
    Bneck(5, 240, 40, True, "hard_swish", 1),
    Bneck(5, 240, 40, True, "hard_swish", 1),
    Bneck(5, 120, 48, True, "hard_swish", 1),
    Bneck(5, 144, 48, True, "hard_swish", 1),
    Bneck(5, 288, 96, True, "hard_swish", 2),
    Bneck(5, 576, 96, True, "hard_swish", 1),
    Bneck(5, 576, 96, True, "hard_swish", 1),
)
# fmt: on


class MobileNetV1(Classifier):
    """A 3x3 convolution, thirteen pairs of a depthwise 3x3 and a 1x1, global average pooling and one dense layer.

    Howard et al. 2017, table 1; names as in Keras.

    Attributes:
      width: of every layer, the paper's alpha.
    """

    width: float
    style: Style = KERAS_V1

    def setup(self) -> None:
        style = self.style
        layer = partial(ConvNorm, activation="relu6", eps=style.eps, momentum=style.momentum, initial=GLOROT)
        inputs = int(32 * self.width)
        self.conv1 = layer(inputs, 3, stride=2, padding=style.padding(3))
        names = ["conv1"]
        for channels, repeats, first_stride in ROWS_V1:
            for stride in (first_stride, *[1] * (repeats - 1)):
                behind: Padding = ((0, 1), (0, 1)) if style.same and stride == 2 else 1
                number = len(names) // 2 + 1
                depthwise = layer(inputs, 3, stride=stride, padding=behind, groups=inputs)
                inputs = int(channels * self.width)
                setattr(self, f"conv_dw_{number}", depthwise)
                setattr(self, f"conv_pw_{number}", layer(inputs, 1))
                names += [f"conv_dw_{number}", f"conv_pw_{number}"]
        self.names = tuple(names)
        self.pool, self.drop = GlobalAvgPool(), Dropout(0.001)
        self.conv_preds = Dense(self.num_classes, initial=GLOROT)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 1024 width]."""
        return self.chain_each(self.names, images, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        return cast(Array, self.conv_preds(self.drop(self.pool(features), train)))


class MobileNetV3(Classifier):
    """A 3x3 convolution, inverted residuals, a 1x1 convolution, global pooling and two dense layers.

    Howard et al. 2019, tables 1 and 2. Blocks of as many channels form a stage, numbered as in InvertedResidualNet.

    Attributes:
      hidden: width of the layer between pooling and logits.
    """

    blocks: tuple[Bneck, ...]
    hidden: int
    style: Style = TORCHVISION_V3

    def setup(self) -> None:
        inputs, stage, repeat = 16, 1, 0
        self.stage0 = self.style.conv_norm(inputs, 3, stride=2)
        names = ["stage0"]
        for number, row in enumerate(self.blocks):
            if number and row.channels != inputs:
                stage, repeat = stage + 1, 0
            block = InvertedResidual(
                inputs,
                row.inner,
                row.channels,
                row.kernel_size,
                stride=row.stride,
                reduced=round_channels(row.inner // 4) if row.gated else 0,
                style=replace(self.style, activation=row.nonlinearity),
            )
            setattr(self, f"stage{stage}_{repeat}", block)
            names.append(f"stage{stage}_{repeat}")
            inputs, repeat = row.channels, repeat + 1
        setattr(self, f"stage{stage + 1}", self.style.conv_norm(6 * inputs, 1))
        self.names = (*names, f"stage{stage + 1}")
        dense = partial(Dense, initial=gaussian(0.01))
        self.pool, self.conv_head, self.act = GlobalAvgPool(), dense(self.hidden), activation("hard_swish")
        self.drop, self.classifier = Dropout(0.2), dense(self.num_classes)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, 576 or 960]."""
        return self.chain_each(self.names, images, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C] -> [N, num_classes]."""
        hidden = self.act(self.conv_head(self.pool(features)))
        return cast(Array, self.classifier(self.drop(hidden, train)))


def v2(
    width: float, stages: tuple[Stage, ...] = ROWS_V2, style: Style = TORCHVISION_V2, **options: Any
) -> partial[InvertedResidualNet]:
    """MobileNetV2 without its number of classes; the last convolution is never narrower than 1280."""
    return partial(
        InvertedResidualNet,
        stem=round_channels(32 * width),
        stages=tuple(replace(stage, channels=round_channels(stage.channels * width)) for stage in stages),
        last=round_channels(1280 * max(width, 1)),
        style=style,
        dropout=0.2,
        drop_path=0.0,
        dense=gaussian(0.01),
        **options,
    )


SMALL_V3 = partial(MobileNetV3, blocks=ROWS_V3_SMALL, hidden=1024)
LARGE_V3 = partial(MobileNetV3, blocks=ROWS_V3_LARGE, hidden=1280)

NETS: dict[str, tuple[Paper, partial[Any]]] = {
    "mobilenet_v1": (V1, partial(MobileNetV1, width=1.0)),
    "mobilenet_v1_025": (V1, partial(MobileNetV1, width=0.25)),
    "mobilenet_v1_050": (V1, partial(MobileNetV1, width=0.5)),
    "mobilenet_v1_075": (V1, partial(MobileNetV1, width=0.75)),
    "mobilenet_v2": (V2, v2(1.0)),
    "mobilenet_v2_140": (V2, v2(1.4)),
    "mobilenet_v3_small": (V3, SMALL_V3),
    "mobilenet_v3_large": (V3, LARGE_V3),
    "timm/mobilenet_v1": (V1, partial(MobileNetV1, width=1.0, style=TIMM_V1)),
    "timm/mobilenet_v3_small": (V3, partial(SMALL_V3, style=TIMM_V3)),
    "timm/mobilenet_v3_large": (V3, partial(LARGE_V3, style=TIMM_V3)),
    "timm/tf_mobilenet_v3_small": (V3, partial(SMALL_V3, style=TENSORFLOW_V3)),
    "timm/tf_mobilenet_v3_large": (V3, partial(LARGE_V3, style=TENSORFLOW_V3)),
    "keras/mobilenet_v2": (V2, v2(1.0, style=KERAS_V2)),
    "keras/mobilenet_v2_140": (V2, v2(1.4, style=KERAS_V2)),
    "keras/mobilenet_v3_small": (V3, partial(SMALL_V3, style=KERAS_V3)),
    "keras/mobilenet_v3_large": (V3, partial(LARGE_V3, style=KERAS_V3)),
}
for name, (paper, net) in NETS.items():
    register_model(name, paper=paper)(net)

# For 32 x 32 images, whose map after the stem and the second stage is still 32 x 32.
CIFAR_V2 = v2(1.0, (ROWS_V2[0], replace(ROWS_V2[1], stride=1), *ROWS_V2[2:]), stem_stride=1)
register_model("mobilenet_v2_cifar", paper=V2)(CIFAR_V2)
