"""The PyTorch models to race against: torchvision's, else timm's, else the plain ones here for machines without either.

Those here are the published architectures in the form that torchvision trains, without auxiliary heads and stochastic
depth; the numbers of parameters are the same.
"""

from collections import OrderedDict
from importlib import import_module

import torch
from torch import nn


def build(name: str) -> tuple[nn.Module, str]:
    """Returns the model with 1,000 classes and fresh weights, and whose it is.

    Raises:
      LookupError: nobody here has it.
    """
    for library, module, options in (("torchvision", "torchvision.models", {"weights": None}), ("timm", "timm", {})):
        try:
            found = import_module(module)
        except Exception:  # a torchvision built for another torch raises anything
            continue
        if library == "timm":
            if found.is_model(name):
                return found.create_model(name, pretrained=False), library
        elif hasattr(found, name):
            options = options | ({"init_weights": False} if name == "inception_v3" else {})
            return getattr(found, name)(**options), library
    if name not in OWN:
        raise LookupError(f"{name} was not raced: neither torchvision nor timm can be imported")
    return OWN[name](), "plain"


def alexnet() -> nn.Module:
    pool = nn.MaxPool2d(3, 2)
    plan = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    layers: list[nn.Module] = []
    for number, (inputs, outputs, size, stride, padding) in enumerate(plan):
        layers += [nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU(inplace=True)]
        layers += [pool] if number in (0, 1, 4) else []
    end = (nn.AdaptiveAvgPool2d(6), nn.Flatten(), nn.Dropout(), *dense(256 * 6 * 6), nn.Linear(4096, 1000))
    return nn.Sequential(*layers, *end)


def dense(inputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, 4096), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True)]


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    end = (nn.AdaptiveAvgPool2d(7), nn.Flatten(), *dense(512 * 7 * 7), nn.Dropout(), nn.Linear(4096, 1000))
    return nn.Sequential(*layers, *end)


def conv_bn(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, act=nn.ReLU) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), act(inplace=True) if act else nn.Identity())


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, width, 1), conv_bn(width, width, 3, stride=stride), conv_bn(width, 4 * width, 1, act=None)
        )
        changes = stride > 1 or inputs != 4 * width
        self.short = conv_bn(inputs, 4 * width, 1, stride=stride, act=None) if changes else nn.Identity()

    def forward(self, images):
        return torch.relu(self.body(images) + self.short(images))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        width = 64 << stage
        for block in range(count):
            layers.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
            inputs = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, 4 * growth, 1, bias=False)),
            *(nn.BatchNorm2d(4 * growth), nn.ReLU(inplace=True)),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, images):
        return torch.cat([images, self.body(images)], 1)


def densenet121() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 64, 7, stride=2), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Conv2d(width, width // 2, 1, bias=False)]
            layers.append(nn.AvgPool2d(2))
            width //= 2
        for _ in range(count):
            layers.append(DenseLayer(width, 32))
            width += 32
    layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(width, 1000))


class Inverted(nn.Module):
    """MBConv; EfficientNet's has squeeze and excitation of the block's input width, MobileNetV2's has none."""

    def __init__(
        self, inputs: int, outputs: int, expansion: int, size: int, stride: int, *, act=nn.SiLU, gated: bool = True
    ):
        super().__init__()
        wide, narrow = inputs * expansion, max(inputs // 4, 1)
        parts = OrderedDict()
        if expansion > 1:
            parts["expand"] = conv_bn(inputs, wide, 1, act=act)
        parts["depthwise"] = conv_bn(wide, wide, size, stride=stride, groups=wide, act=act)
        self.body = nn.Sequential(parts)
        self.gate = gated and nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(wide, narrow, 1), nn.SiLU(inplace=True)),
            *(nn.Conv2d(narrow, wide, 1), nn.Sigmoid()),
        )
        self.project = conv_bn(wide, outputs, 1, act=None)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, images):
        values = self.body(images)
        values = self.project(values * self.gate(values) if self.gate else values)
        return images + values if self.adds else values


def efficientnet_b0() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 32, 3, stride=2, act=nn.SiLU)]
    inputs = 32
    table = (
        *((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2), (6, 80, 3, 3, 2)),
        *((6, 112, 3, 5, 1), (6, 192, 4, 5, 2), (6, 320, 1, 3, 1)),
    )
    for expansion, width, count, size, stride in table:
        for block in range(count):
            layers.append(Inverted(inputs, width, expansion, size, 1 if block else stride))
            inputs = width
    layers += [conv_bn(inputs, 1280, 1, act=nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


def mobilenet_v2() -> nn.Module:
    layers: list[nn.Module] = [conv_bn(3, 32, 3, stride=2, act=nn.ReLU6)]
    inputs = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, width, count, stride in table:
        for block in range(count):
            step = 1 if block else stride
            layers.append(Inverted(inputs, width, expansion, 3, step, act=nn.ReLU6, gated=False))
            inputs = width
    layers += [conv_bn(inputs, 1280, 1, act=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(1280, 1000))


OWN = {net.__name__: net for net in (alexnet, vgg16, resnet50, densenet121, efficientnet_b0, mobilenet_v2)}
