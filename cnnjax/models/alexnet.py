"""AlexNet: the two-tower model of 2012 and the one-tower model of 2014.

Layers are named as in Caffe's copy, conv1 to fc8.
"""

from functools import partial

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, Flatten, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import TORCH, gaussian
from cnnjax.models.norm import LRN
from cnnjax.models.pooling import AdaptiveAvgPool, MaxPool


@register_model(
    "alexnet_two_tower",
    paper=Paper(
        "A. Krizhevsky, I. Sutskever, G. Hinton",
        2012,
        "ImageNet Classification with Deep Convolutional Neural Networks",
    ),
    accuracy="ILSVRC-2010 test error 37.5 / 17.0 % (top-1 / top-5); ILSVRC-2012 validation 40.7 / 18.2 %",
)
class AlexNetTwoTower(Sequential):
    """Krizhevsky, Sutskever and Hinton 2012: 60,965,224 parameters.

    The towers, one on each of two GPUs, see each other in conv3 and the dense layers only: two groups in conv2, conv4
    and conv5. The paper says 224 x 224 images, which its own sizes contradict; padding conv1 by 2 gives its 55 x 55.
    Weights N(0, 0.01); biases 1 where the paper has them so, to start the ReLUs on their open side.
    """

    def layers(self) -> dict[str, nn.Module]:
        zero, one = gaussian(0.01), gaussian(0.01, bias=1.0)
        return {
            "conv1": Conv(96, 11, stride=4, padding=2, initial=zero),
            "relu1": ReLU(),
            "norm1": LRN(size=5, alpha=1e-4, beta=0.75, k=2.0),
            "pool1": MaxPool(3, stride=2),
            "conv2": Conv(256, 5, padding=2, groups=2, initial=one),
            "relu2": ReLU(),
            "norm2": LRN(size=5, alpha=1e-4, beta=0.75, k=2.0),
            "pool2": MaxPool(3, stride=2),
            "conv3": Conv(384, 3, padding=1, initial=zero),
            "relu3": ReLU(),
            "conv4": Conv(384, 3, padding=1, groups=2, initial=one),
            "relu4": ReLU(),
            "conv5": Conv(256, 3, padding=1, groups=2, initial=one),
            "relu5": ReLU(),
            "pool5": MaxPool(3, stride=2),
            "flatten": Flatten(),
            "fc6": Dense(4096, initial=one),
            "relu6": ReLU(),
            "drop6": Dropout(0.5),
            "fc7": Dense(4096, initial=one),
            "relu7": ReLU(),
            "drop7": Dropout(0.5),
            "fc8": Dense(self.num_classes, initial=zero),
        }


@register_model(
    "alexnet",
    paper=Paper(
        "A. Krizhevsky", 2014, "One weird trick for parallelizing convolutional neural networks", arxiv="1404.5997"
    ),
    accuracy="torchvision's weights 56.522 / 79.066 % (top-1 / top-5)",
)
class AlexNet(Sequential):
    """Krizhevsky 2014 as torchvision has it: one tower, no LRN, 61,100,840 parameters.

    Dropout stands before the dense layers, and images of other sizes are averaged to the same 6 x 6 map.
    """

    def layers(self) -> dict[str, nn.Module]:
        conv, dense = partial(Conv, initial=TORCH), partial(Dense, initial=TORCH)
        return {
            "conv1": conv(64, 11, stride=4, padding=2),
            "relu1": ReLU(),
            "pool1": MaxPool(3, stride=2),
            "conv2": conv(192, 5, padding=2),
            "relu2": ReLU(),
            "pool2": MaxPool(3, stride=2),
            "conv3": conv(384, 3, padding=1),
            "relu3": ReLU(),
            "conv4": conv(256, 3, padding=1),
            "relu4": ReLU(),
            "conv5": conv(256, 3, padding=1),
            "relu5": ReLU(),
            "pool5": MaxPool(3, stride=2),
            "avgpool": AdaptiveAvgPool(6),
            "flatten": Flatten(),
            "drop6": Dropout(0.5),
            "fc6": dense(4096),
            "relu6": ReLU(),
            "drop7": Dropout(0.5),
            "fc7": dense(4096),
            "relu7": ReLU(),
            "fc8": dense(self.num_classes),
        }
