"""Nets of convolutions alone: Network in Network, and the All Convolutional Net, which pools by strides as well.

Both end in one map a class, whose means are the logits. The ReLU that both papers have on these maps is left out: where
a class's map is nowhere positive it gets no gradient, and with few classes models ended so within ten steps. NiN's
layers have the names and initial weights of its authors' Caffe files: conv1, then 1x1 convolutions cccp1 and cccp2
("cascaded cross-channel pooling"). The ImageNet model is in those files only.
"""

from dataclasses import dataclass
from functools import partial

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dropout, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import gaussian
from cnnjax.models.pooling import AvgPool, GlobalAvgPool, MaxPool

NIN = Paper("M. Lin, Q. Chen, S. Yan", 2013, "Network In Network", "1312.4400")
ALL_CNN = Paper(
    "J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller",
    2014,
    "Striving for Simplicity: The All Convolutional Net",
    "1412.6806",
)
CLASSES = 0  # as a width: as many as there are classes
POOLS = {"max": MaxPool, "mean": AvgPool}


@dataclass(frozen=True)
class MLPConv:
    """A convolution and two of 1x1, a small dense model at each position; a ReLU follows each of the three.

    Attributes:
      pool: over 3x3 at stride 2, hanging over the edge: "max" or "mean".
      drop: half of the values, after the pool.
      spread: standard deviation of the three kernels at the start.
    """

    kernel: int
    widths: tuple[int, int, int]
    stride: int = 1
    padding: int = 0
    pool: str = ""
    drop: bool = False
    spread: tuple[float, float, float] = (0.05, 0.05, 0.05)


NETS = {
    "nin": (
        MLPConv(11, (96, 96, 96), stride=4, pool="max", spread=(0.01, 0.05, 0.05)),
        MLPConv(5, (256, 256, 256), padding=2, pool="max"),
        MLPConv(3, (384, 384, 384), padding=1, pool="max", drop=True, spread=(0.01, 0.05, 0.05)),
        MLPConv(3, (1024, 1024, CLASSES), padding=1, spread=(0.05, 0.05, 0.01)),
    ),
    "nin_cifar": (
        MLPConv(5, (192, 160, 96), padding=2, pool="max", drop=True),
        MLPConv(5, (192, 192, 192), padding=2, pool="mean", drop=True),
        MLPConv(3, (192, 192, CLASSES), padding=1),
    ),
}


class ConvolutionsOnly(Sequential):
    """`features` ends before the last convolution, the one with a map a class, which belongs to the head."""

    def setup(self) -> None:
        super().setup()
        self.cut -= 1  # from the pool to what stands before it


class NiN(ConvolutionsOnly):
    """Lin, Chen and Yan 2013, figure 2."""

    blocks: tuple[MLPConv, ...]

    def layers(self) -> dict[str, nn.Module]:
        layers: dict[str, nn.Module] = {}
        for number, block in enumerate(self.blocks, 1):
            (first, second, third), inits = block.widths, [gaussian(spread) for spread in block.spread]
            parts = {
                f"conv{number}": Conv(first, block.kernel, block.stride, block.padding, initial=inits[0]),
                f"cccp{2 * number - 1}": Conv(second, 1, initial=inits[1]),
                f"cccp{2 * number}": Conv(third or self.num_classes, 1, initial=inits[2]),
            }
            for name, layer in parts.items():
                layers |= {name: layer, f"relu_{name}": ReLU()}
            if block.pool:
                layers[f"pool{number}"] = POOLS[block.pool](3, stride=2, ceil=True)
            if block.drop:
                layers[f"drop{number}"] = Dropout(0.5)
        layers.popitem()  # the ReLU on the maps of the classes
        return layers | {"gap": GlobalAvgPool()}


@register_model("all_cnn", paper=ALL_CNN, accuracy="CIFAR-10 test error 9.08 %, with shifts and mirror 7.25 %")
class AllCNN(ConvolutionsOnly):
    """Springenberg et al. 2014, All-CNN-C: 1,369,738 parameters.

    The images themselves lose a fifth of their values in training. The convolution of the third stage is not padded,
    so 6 x 6 positions are averaged. The paper says nothing of the initial weights: He's.
    """

    def layers(self) -> dict[str, nn.Module]:
        padded = partial(Conv, kernel_size=3, padding=1)
        return {
            "drop0": Dropout(0.2),
            "conv1": padded(96),
            "relu1": ReLU(),
            "conv2": padded(96),
            "relu2": ReLU(),
            "conv3": padded(96, stride=2),
            "relu3": ReLU(),
            "drop3": Dropout(0.5),
            "conv4": padded(192),
            "relu4": ReLU(),
            "conv5": padded(192),
            "relu5": ReLU(),
            "conv6": padded(192, stride=2),
            "relu6": ReLU(),
            "drop6": Dropout(0.5),
            "conv7": Conv(192, 3),
            "relu7": ReLU(),
            "conv8": Conv(192, 1),
            "relu8": ReLU(),
            "conv9": Conv(self.num_classes, 1),
            "gap": GlobalAvgPool(),
        }


for name, blocks in NETS.items():
    register_model(name, paper=NIN)(partial(NiN, blocks=blocks))
