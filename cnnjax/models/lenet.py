"""LeNet-5: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".

The modern form, and that of 1998: sub-sampling with trainable coefficients, a convolution that sees only some of the
maps, and outputs that are distances to drawings of the ten digits.
"""

from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from cnnjax.core.arrays import Array, HostArray
from cnnjax.models.base import Sequential, register_model
from cnnjax.models.blocks import Conv, Dense, Flatten, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.convolution import convolve
from cnnjax.models.initializers import Init, Initializer
from cnnjax.models.pooling import MaxPool

PAPER = Paper(
    "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner", 1998, "Gradient-based learning applied to document recognition"
)


@register_model(
    "lenet5",
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


# ---------------------------------------------------------------- the form of 1998

CONNECTED = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""
"""Table I: which of the 6 maps of S2 (rows) each of the 16 of C3 (columns) sees, 60 of 96."""

DIGITS = """
    ..###.. ...#... ..###.. .#####. .....#. ####### ...###. ####### ..###.. ..###..
    .#...#. ..##... .#...#. #.....# ....##. #...... ..#.... ......# .#...#. .#...#.
    #.....# .#.#... #.....# ......# ...#.#. #...... .#..... .....#. #.....# #.....#
    #.....# ...#... ......# ......# ...#.#. #...... #...... .....#. #.....# #.....#
    #.....# ...#... ......# .....#. ..#..#. #####.. #.###.. ....#.. .#...#. #.....#
    #.....# ...#... .....#. ..###.. ..#..#. .....#. ##...#. ....#.. ..###.. .#...##
    #.....# ...#... ....#.. .....#. .#...#. ......# #.....# ...#... .#...#. ..###.#
    #.....# ...#... ...#... ......# .#...#. ......# #.....# ...#... #.....# ......#
    #.....# ...#... ..#.... ......# ####### ......# #.....# ..#.... #.....# ......#
    #.....# ...#... .#..... ......# .....#. ......# #.....# ..#.... #.....# .....#.
    .#...#. ...#... #...... #.....# .....#. #....#. .#...#. .#..... .#...#. ....#..
    ..###.. .#####. ####### .#####. .....#. .####.. ..###.. .#..... ..###.. .###...
"""
"""What F6 is to show for each digit, 12 x 7: the paper's figure 3 has such drawings of all printable characters."""


def table(text: str) -> HostArray:
    """Reads a drawing: bool [images, height, width], images side by side."""
    rows = [[[mark in "X#" for mark in row] for row in line.split()] for line in text.split("\n") if line.strip()]
    return np.asarray(rows).swapaxes(0, 1)


def within(fan_in: int | HostArray) -> Initializer:
    """Uniform in +-2.4 / fan-in (appendix A), which may differ along the last axis."""

    def draw(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -1, 1) * jnp.asarray(2.4 / np.asarray(fan_in), dtype)

    return draw


INIT = Init(lambda key, shape, dtype=jnp.float32: within(prod(shape[:-1]))(key, shape, dtype), within)


class Squashing(nn.Module):
    """1.7159 tanh(2/3 a), equation 6: f(1) = 1 and f(-1) = -1, where its curvature is largest."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        return 1.7159 * jnp.tanh(2 / 3 * inputs)


class Frame(nn.Module):
    """Puts a frame of so many pixels around the image, 28 x 28 to 32 x 32.

    It repeats the image's edge and is not zero, so that it is background however the images were normalized.
    """

    width: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        around = (self.width, self.width)
        return jnp.pad(inputs, ((0, 0), around, around, (0, 0)), mode="edge")


class SubSampling(nn.Module):
    """Sums 2 x 2 values and gives each map a coefficient and a bias of its own (layers S2 and S4)."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        maps = inputs.shape[-1:]
        scale = self.param("scale", within(4), maps, jnp.float32)
        bias = self.param("bias", within(4), maps, jnp.float32)
        sums = 4 * nn.avg_pool(inputs, window_shape=(2, 2), strides=(2, 2))
        return (sums * scale + bias).astype(inputs.dtype)


class PartialConv(nn.Module):
    """A convolution in which each map sees only those of CONNECTED; its kernel holds no other weights."""

    kernel_size: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        seen = table(CONNECTED)[0]  # [6, 16]
        places, side = np.nonzero(seen), self.kernel_size
        fan_in = side**2 * seen.sum(0)
        kernel = self.param("kernel", within(fan_in[places[1]]), (side, side, len(places[0])), jnp.float32)
        bias = self.param("bias", within(fan_in), fan_in.shape, jnp.float32)
        whole = jnp.zeros((side, side, *seen.shape)).at[:, :, *places].set(kernel)
        return (convolve(inputs, whole.astype(inputs.dtype)) + bias).astype(inputs.dtype)


class Distance(nn.Module):
    """Minus the squared distance to each class' code of +-1 (equation 7), float32 whatever the inputs are.

    The codes are fixed: DIGITS for ten classes, else drawn once and for all. Under the loss "softmax" this is the
    paper's maximum a posteriori criterion, equation 9, without the penalty j of a rubbish class, of which the paper
    gives no value: it would only keep wrong classes that are already farther away than j from being pushed on.
    """

    classes: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        codes = table(DIGITS).reshape(10, -1)
        if self.classes != len(codes):
            codes = np.random.default_rng(0).random((self.classes, codes.shape[1])) < 0.5
        differences = inputs.astype(jnp.float32)[:, None] - np.where(codes, 1, -1).astype(np.float32)
        return -jnp.square(differences).sum(-1)


@register_model("lenet5_1998", paper=PAPER, accuracy="MNIST 99.05 %, 99.2 % with distortions")
class LeNet1998(Sequential):
    """The form of the paper: 60,000 trainable parameters, which is its own count.

    C1, C3 and C5 are convolutions, S2 and S4 sub-sample, F6 is an image of 7 x 12 pixels that the outputs compare with
    each class' own. All are squashed but the outputs.
    """

    def layers(self) -> dict[str, nn.Module]:
        return {
            "frame": Frame(2),
            "c1": Conv(6, 5, initial=INIT),
            "squash1": Squashing(),
            "s2": SubSampling(),
            "squash2": Squashing(),
            "c3": PartialConv(5),
            "squash3": Squashing(),
            "s4": SubSampling(),
            "squash4": Squashing(),
            "c5": Conv(120, 5, initial=INIT),
            "squash5": Squashing(),
            "flatten": Flatten(),
            "f6": Dense(84, initial=INIT),
            "squash6": Squashing(),
            "output": Distance(self.num_classes),
        }
