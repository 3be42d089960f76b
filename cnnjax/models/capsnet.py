"""CapsNet: Sabour, Frosst and Hinton 2017, "Dynamic Routing Between Capsules" (1710.09829).

A capsule is a vector: its direction says how a thing looks, its length whether it is there. The paper and its authors'
code (github.com/Sarasra/models) differ in places, and here the paper counts: primary capsules are squashed as they are
(the code first divides them by 32, a softmax without information), class capsules have no bias, and the margin loss is
the sum over the classes (the code takes half the mean, which makes the reconstruction weigh 20 times as much).
"""

from math import prod

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, ReLU
from cnnjax.models.cards import Paper
from cnnjax.models.convolution import convolve
from cnnjax.models.initializers import GLOROT

PAPER = Paper("S. Sabour, N. Frosst, G. E. Hinton", 2017, "Dynamic Routing Between Capsules", arxiv="1710.09829")


def lengths(vectors: Array) -> Array:
    """Euclidean norms over the last axis, whose gradient at the zero vector is zero and not NaN."""
    squares = jnp.square(vectors).sum(-1)
    there = squares > 0
    return jnp.where(there, jnp.sqrt(jnp.where(there, squares, 1)), 0)


def squash(vectors: Array) -> Array:
    """Equation 1: |s|^2 / (1 + |s|^2) s / |s|, so that lengths fall between 0 and 1; zero at zero."""
    size = lengths(vectors)[..., None]
    return vectors * size / (1 + size * size)


def route(votes: Array, iterations: int) -> Array:
    """Routing by agreement, procedure 1: capsules go where their votes agree with the outcome.

    Nothing is trained in it, and the gradient flows through all iterations, as in the authors' code; the paper does not
    say. (Some copies stop it in all but the last; that is cheaper and no longer the gradient of the loss.)

    Args:
      votes: u_hat, float32 [N, classes, capsules, atoms].
      iterations: 1 is no routing: all classes have equal shares of every capsule.

    Returns:
      The class capsules v, [N, classes, atoms].
    """
    # The first softmax is of zeros; written out, it would keep XLA busy for seconds, folding a constant.
    capsules, agreement = squash(votes.sum(2) / votes.shape[1]), jnp.float32(0)
    for _ in range(iterations - 1):
        agreement += jnp.einsum("nkia,nka->nki", votes, capsules)
        shares = jax.nn.softmax(agreement, axis=1)
        capsules = squash(jnp.einsum("nki,nkia->nka", shares, votes))
    return capsules


class PrimaryCapsules(nn.Module):
    """32 kinds of capsules of 8 values at each position, by a 9 x 9 convolution of stride 2; they are yet to squash."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        shape = (9, 9, inputs.shape[-1], 32 * 8)
        kernel = self.param("kernel", GLOROT.kernel, shape, jnp.float32).astype(inputs.dtype)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], jnp.float32)
        return (convolve(inputs, kernel, stride=2) + bias).astype(inputs.dtype)


class ClassCapsules(nn.Module):
    """Every capsule below votes for every class through a matrix of its own, and routing settles the votes.

    Votes and routing are float32 whatever the inputs are.
    """

    classes: int
    atoms: int = 16
    iterations: int = 3

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        """Capsules [N, capsules, atoms below] -> class capsules end to end, float32 [N, classes * atoms]."""
        count, capsules, below = inputs.shape
        shape = (capsules, below, self.classes, self.atoms)
        # The paper says nothing of how weights begin. At this deviation class capsules are about 0.1 long at first, the
        # margin of absent ones; at 0.1, which the authors' code has for its much shorter primary capsules, 0.5.
        kernel = self.param("kernel", nn.initializers.truncated_normal(0.05), shape, jnp.float32).astype(inputs.dtype)
        votes = jnp.einsum("nib,ibka->nkia", inputs, kernel, preferred_element_type=jnp.float32)
        return route(votes, self.iterations).reshape(count, -1)


class Decoder(nn.Module):
    """Draws the image from its class capsule: 512, 1024, then as many logistic units as there are pixels."""

    @nn.compact
    def __call__(self, capsules: Array, image: tuple[int, ...]) -> Array:
        values = nn.relu(Dense(512, name="fc1")(capsules))
        values = nn.relu(Dense(1024, name="fc2")(values))
        values = Dense(prod(image), initial=GLOROT, name="fc3")(values)
        return jax.nn.sigmoid(values).reshape(-1, *image)


@register_model("capsnet", paper=PAPER, accuracy="MNIST test error 0.25 %, with images shifted by up to 2 pixels")
class CapsNet(Classifier):
    """8,215,568 parameters at 28 x 28, of which the decoder, which only trains, has 1,411,344.

    `features` are the class capsules end to end, and `head` has no parameters: its outputs are their lengths, 0 .. 1,
    which the loss "margin" is made for. Images must be in 0 .. 1 (config.augment.normalize=unit), since the decoder's
    pixels are.
    """

    reconstruction = 0.0005
    """Weight of the squared error summed over the pixels: without so small a one it would drown the margin loss."""

    def setup(self) -> None:
        self.conv1, self.relu = Conv(256, 9), ReLU()
        self.primary = PrimaryCapsules()
        self.capsules = ClassCapsules(self.num_classes)
        self.decoder = Decoder()

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, num_classes * 16]."""
        maps = self.chain(["conv1", "relu", "primary"], images, train)
        primary = squash(maps.reshape(len(maps), -1, 8))  # [N, h * w * 32, 8]
        capsules: Array = self.capsules(primary)
        if self.is_initializing():
            self.decoder(capsules, images.shape[1:])
        return capsules

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, num_classes * 16] -> [N, num_classes]."""
        return lengths(features.reshape(len(features), self.num_classes, -1))

    def extra_loss(self, images: Array, features: Array, targets: Array) -> Array:
        """The error of the image as the decoder draws it from the target's capsule alone, float32 [N]."""
        capsules = features.reshape(len(features), self.num_classes, -1) * targets[..., None]
        drawn = self.decoder(capsules.reshape(features.shape), images.shape[1:])
        return self.reconstruction * jnp.square(drawn - images.astype(drawn.dtype)).sum((1, 2, 3))
