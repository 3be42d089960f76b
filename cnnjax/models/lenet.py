"""LeNet-5: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition"."""

from flax import linen as nn

from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dense, Flatten, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.pooling import MaxPool

PAPER = Paper(
    "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner", 1998, "Gradient-based learning applied to document recognition"
)


@register_model(
    "lenet5",
    input_size=(28, 28, 1),
    family="lenet",
    paper=PAPER,
    accuracy="MNIST 99.05 % (1998 form), 99.2 % with distortions",
)
class LeNet5(Sequential):
    """The modern form: ReLU and max-pooling, all maps connected, 61,706 parameters.

    The paper pads 28 x 28 digits to 32 x 32; here the first convolution pads by 2, which comes to the same.
    """

    def layers(self) -> dict[str, nn.Module]:
        return {
            "conv1": Conv(6, 5, padding=2),
            "relu1": ReLU(),
            "pool1": MaxPool(2),
            "conv2": Conv(16, 5),
            "relu2": ReLU(),
            "pool2": MaxPool(2),
            "flatten": Flatten(),
            "fc1": Dense(120),
            "relu3": ReLU(),
            "fc2": Dense(84),
            "relu4": ReLU(),
            "fc3": Dense(self.num_classes),
        }
