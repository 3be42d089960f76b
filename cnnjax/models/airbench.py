"""airbench94, the model of the fastest CIFAR-10 trainings (Jordan 2024, arXiv 2404.00498, section 3).

2 x 2 whitening, then three groups of two convolutions, GELU throughout, the largest value of the last map, one dense
layer. Its norms have no scale, its convolutions no bias, and what the first layer does comes from the images.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, convolve
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import TORCH, Init
from cnnjax.models.norm import BatchNorm
from cnnjax.models.pooling import MaxPool, max_pool

gelu = partial(jax.nn.gelu, approximate=False)

HEAD_STEP = (0.67 / 0.053) ** 0.5
"""The head's rate in Jordan's code is this squared times that of the biases. Here one rate serves both: the head's
weights are so many times smaller and what they give so many times larger, which moves its outputs the same."""


class Whitening(nn.Module):
    """A convolution by the eigenvectors of the images' patches, each scaled to variance 1, and by their negatives.

    Jordan 2024, section 3.2, after Page 2019. The kernel is no parameter: the first batch in training fixes it, among
    the statistics; until then it passes pixels as they are.

    Attributes:
      side: of the patches.
      eps: added to the eigenvalues.
    """

    side: int = 2
    eps: float = 5e-4

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        size = self.side**2 * inputs.shape[-1]
        shape = (self.side, self.side, inputs.shape[-1], 2 * size)
        kernel = self.variable("batch_stats", "kernel", lambda: _both_signs(jnp.eye(size)).reshape(shape))
        fixed = self.variable("batch_stats", "fixed", jnp.zeros, (), jnp.float32)
        if train and self.is_mutable_collection("batch_stats") and not self.is_initializing():
            kernel.value = jax.lax.cond(
                fixed.value > 0, lambda: kernel.value, lambda: _both_signs(self._directions(inputs)).reshape(shape)
            )
            fixed.value = jnp.ones((), jnp.float32)
        bias = self.param("bias", TORCH.bias(size), (2 * size,), jnp.float32)
        return (convolve(inputs, kernel.value.astype(inputs.dtype)) + bias).astype(inputs.dtype)

    def _directions(self, inputs: Array) -> Array:
        """[side side C, side side C], an eigenvector a column."""
        height, width = inputs.shape[1] - self.side + 1, inputs.shape[2] - self.side + 1
        corners = [(i, j) for i in range(self.side) for j in range(self.side)]
        patches = jnp.concatenate([inputs[:, i : i + height, j : j + width] for i, j in corners], -1)
        rows = patches.reshape(-1, patches.shape[-1]).astype(jnp.float32)
        values, vectors = jnp.linalg.eigh(rows.T @ rows / len(rows))
        # None is negative but by rounding, which images of one color and of high levels make larger than eps.
        return vectors / jnp.sqrt(jnp.maximum(values, 0) + self.eps)


def _both_signs(columns: Array) -> Array:
    return jnp.concatenate([columns, -columns], -1)


def _passing(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """The first outputs pass one input each on; the rest begin as PyTorch's (section 3.3)."""
    height, width, inputs, outputs = shape
    drawn = TORCH.kernel(key, shape, dtype)
    same = min(inputs, outputs)
    return drawn.at[..., :same].set(0).at[height // 2, width // 2, jnp.arange(same), jnp.arange(same)].set(1)


class Group(nn.Module):
    """Convolution, 2 x 2 pool, norm, GELU, convolution, norm, GELU."""

    width: int

    def setup(self) -> None:
        conv = partial(Conv, self.width, 3, padding=1, use_bias=False, initial=Init(_passing, TORCH.bias))
        # Of 200 steps only the last few know the final weights: the running statistics follow fast.
        norm = partial(BatchNorm, momentum=0.4, eps=1e-12, use_scale=False)
        self.conv1, self.conv2, self.norm1, self.norm2, self.pool = conv(), conv(), norm(), norm(), MaxPool(2)

    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = gelu(self.norm1(self.pool(self.conv1(inputs, train)), train))
        return gelu(self.norm2(self.conv2(values, train), train))


class Airbench94(Classifier):
    """See the file's docstring."""

    def setup(self) -> None:
        self.whiten = Whitening()
        self.group1, self.group2, self.group3 = Group(64), Group(256), Group(256)
        bound = 3**0.5 / HEAD_STEP  # uniform numbers of deviation 1 / HEAD_STEP
        uniform = Init(lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound), TORCH.bias)
        self.fc = Dense(self.num_classes, use_bias=False, initial=uniform)

    def features(self, images: Array, train: bool = False) -> Array:
        values = gelu(self.whiten(images, train))
        return self.chain(("group1", "group2", "group3"), values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        window = (features.shape[1], features.shape[2])
        largest = max_pool(features, window, window, ((0, 0), (0, 0)))[:, 0, 0]  # a tie is the first one's
        return self.fc(largest, train) * (HEAD_STEP / largest.shape[-1])


register_model(
    "airbench94",
    input_size=(32, 32, 3),
    num_classes=10,
    family="airbench",
    paper=Paper("Jordan", 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", "2404.00498"),
    accuracy="CIFAR-10 94.0 % in 8 epochs",
)(Airbench94)
