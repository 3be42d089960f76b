"""A small model for each kind of layer, and the same written in PyTorch, torchvision or timm."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from cnnjax.models.base import Sequential
from cnnjax.models.bit import StandardisedConv
from cnnjax.models.blocks import Conv, ConvNorm, Dense, Flatten, ReLU
from cnnjax.models.convnext import ConvNeXt, Row
from cnnjax.models.inverted_residual import InvertedResidual, Style
from cnnjax.models.norm import LRN, BatchNorm, GroupNorm
from cnnjax.models.pooling import GlobalAvgPool, MaxPool
from cnnjax.weights.names_torchvision import TORCHVISION
from cnnjax.weights.rules import Names


@dataclass(frozen=True)
class Kind:
    """A model by its name here, its twin in PyTorch, and what the twin calls the layers where it is otherwise."""

    model: str
    twin: Callable
    images: str = "photographs"
    names: Names = field(default_factory=Names)


def row(**layers):
    import torch

    return torch.nn.Sequential(OrderedDict(layers))


POOLED = "plain:conv16 >> bn >> relu >> pool >> conv32 >> bn >> relu >> pool >> fc64 >> relu"


def pooled():
    from torch import nn

    return row(
        conv1=nn.Conv2d(1, 16, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(16), relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(16, 32, 3, padding=1, bias=False), bn2=nn.BatchNorm2d(32), relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten1=nn.Flatten(), fc1=nn.Linear(7 * 7 * 32, 64), relu3=nn.ReLU(), fc2=nn.Linear(64, 10),
    )  # fmt: skip


class GroupNormed(Sequential):
    def layers(self):
        return {
            "conv1": StandardisedConv(32, padding=1),
            "norm1": GroupNorm(8),
            "relu1": ReLU(),
            "conv2": StandardisedConv(64, stride=2, padding=1, use_bias=False),
            "norm2": GroupNorm(8),
            "relu2": ReLU(),
            "gap": GlobalAvgPool(),
            "fc": Dense(self.num_classes),
        }


def group_normed():
    from torch import nn

    class Standardized(nn.Conv2d):
        def forward(self, values):
            mean = self.weight.mean((1, 2, 3), keepdim=True)
            var = self.weight.var((1, 2, 3), correction=0, keepdim=True)
            return self._conv_forward(values, (self.weight - mean) / (var + 1e-8).sqrt(), self.bias)

    return row(
        conv1=Standardized(3, 32, 3, padding=1), norm1=nn.GroupNorm(8, 32), relu1=nn.ReLU(),
        conv2=Standardized(32, 64, 3, 2, 1, bias=False), norm2=nn.GroupNorm(8, 64), relu2=nn.ReLU(),
        gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, 4),
    )  # fmt: skip


class LayerNormed(ConvNeXt):
    row: Row = Row((1, 1, 1, 1), (16, 32, 48, 64), 0.0)
    drop_path: float = 0.0


def layer_normed():
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    widths = (16, 32, 48, 64)
    stages = [CNBlockConfig(one, after, 1) for one, after in zip(widths, (*widths[1:], None), strict=True)]
    return ConvNeXt(stages, num_classes=4)


class Depthwise(Sequential):
    def layers(self):
        style = Style("relu6")
        return {
            "stem": ConvNorm(16, stride=2, padding=1, activation="relu6"),
            "block1": InvertedResidual(16, 64, 16, style=style),
            "block2": InvertedResidual(16, 96, 32, stride=2, style=style),
            "gap": GlobalAvgPool(),
            "fc": Dense(self.num_classes),
        }


def depthwise():
    from timm.models._efficientnet_blocks import InvertedResidual
    from torch import nn

    return row(
        stem=row(conv=nn.Conv2d(3, 16, 3, 2, 1, bias=False), bn=nn.BatchNorm2d(16), act=nn.ReLU6()),
        block1=InvertedResidual(16, 16, exp_ratio=4, act_layer=nn.ReLU6),
        block2=InvertedResidual(16, 32, 3, stride=2, exp_ratio=6, act_layer=nn.ReLU6),
        gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(32, 4),
    )  # fmt: skip


class Responses(Sequential):
    """The squares weigh about as much in these norms' sums as the constant; the usual alpha would hide them."""

    def layers(self):
        return {
            "conv1": Conv(32, 5, stride=2, padding=2),
            "relu1": ReLU(),
            "norm1": LRN(size=5, alpha=0.2, beta=0.75, k=1.0),
            "pool1": MaxPool(3, stride=2),
            "conv2": Conv(64, 5, padding=2),
            "relu2": ReLU(),
            "norm2": LRN(size=5, alpha=0.2, beta=0.75, k=1.0),
            "pool2": MaxPool(3, stride=2),
            "flatten": Flatten(),
            "fc": Dense(self.num_classes),
        }


def responses():
    from torch import nn

    return row(
        conv1=nn.Conv2d(3, 32, 5, 2, 2), relu1=nn.ReLU(), norm1=nn.LocalResponseNorm(5, 5 * 0.2, 0.75, 1.0),
        pool1=nn.MaxPool2d(3, 2),
        conv2=nn.Conv2d(32, 64, 5, 1, 2), relu2=nn.ReLU(), norm2=nn.LocalResponseNorm(5, 5 * 0.2, 0.75, 1.0),
        pool2=nn.MaxPool2d(3, 2), flatten=nn.Flatten(), fc=nn.Linear(3 * 3 * 64, 4),
    )  # fmt: skip


class Grouped(Sequential):
    """Two groups, as AlexNet's, are convolved one by one, the eight of the last layer together as ResNeXt's 32."""

    def layers(self):
        return {
            "conv1": Conv(32, stride=2, padding=1),
            "relu1": ReLU(),
            "conv2": Conv(64, padding=1, groups=2),
            "relu2": ReLU(),
            "conv3": Conv(64, stride=2, padding=1, groups=8, use_bias=False),
            "bn3": BatchNorm(),
            "relu3": ReLU(),
            "gap": GlobalAvgPool(),
            "fc": Dense(self.num_classes),
        }


def grouped():
    from torch import nn

    return row(
        conv1=nn.Conv2d(3, 32, 3, 2, 1), relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3, 1, 1, groups=2), relu2=nn.ReLU(),
        conv3=nn.Conv2d(64, 64, 3, 2, 1, groups=8, bias=False), bn3=nn.BatchNorm2d(64), relu3=nn.ReLU(),
        gap=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, 4),
    )  # fmt: skip


KINDS = {
    "BatchNorm and pooling": Kind(POOLED, pooled, "digits", Names(flattened={"fc1": (7, 7)})),
    "GroupNorm": Kind(f"{__name__}:GroupNormed", group_normed),
    "LayerNorm": Kind(f"{__name__}:LayerNormed", layer_normed, names=TORCHVISION["convnext"]),
    "depthwise": Kind(f"{__name__}:Depthwise", depthwise),
    "LRN": Kind(f"{__name__}:Responses", responses, names=Names(flattened={"fc": (3, 3)})),
    "grouped": Kind(f"{__name__}:Grouped", grouped),
}
