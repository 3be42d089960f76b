"""How levels change: brightness, contrast, channel shift, PCA colour, noise.

All take [N, H, W, C] in levels of 0-255, bytes or floats, of any number of channels, and return float32. None clips;
the pipeline does so once, after all of them.
"""

from typing import Literal

import numpy as np

from cnnjax.augment import draw
from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics


def brightness(keys: Array, images: Array, *, amount: float) -> Array:
    """Multiplies each picture by a factor drawn from [1 - amount, 1 + amount]."""
    return images * draw.uniform(keys, (1, 1, 1), low=1 - amount, high=1 + amount)


def contrast(keys: Array, images: Array, *, amount: float) -> Array:
    """Multiplies each picture's distance from its channels' means by a factor of [1 - amount, 1 + amount].

    Channel by channel as in TensorFlow's adjust_contrast (torchvision takes the mean of the grey picture), so that
    spectral bands of different levels keep their means.
    """
    return from_mean(images, draw.uniform(keys, (1, 1, 1), low=1 - amount, high=1 + amount))


def from_mean(images: Array, factor: Array | float) -> Array:
    """Multiplies the distance of each channel's levels from their mean by `factor`."""
    mean = images.mean((1, 2), keepdims=True)
    return mean + (images - mean) * factor


def channel_shift(keys: Array, images: Array, *, levels: float) -> Array:
    """Adds to each channel of each picture a number of its own from [-levels, levels].

    Keras up to 2.1 did the same; later versions shift all channels of a picture alike, which is a change of brightness.
    """
    return images + draw.uniform(keys, (1, 1, images.shape[-1]), low=-levels, high=levels)


def pca(
    keys: Array,
    images: Array,
    *,
    statistics: Statistics,
    deviation: float = 0.1,
    scale: Literal["deviation", "variance"] = "deviation",
) -> Array:
    """Adds to each picture a colour drawn along the principal axes of the training set's colours.

    Krizhevsky et al. 2012, section 4.1: [p1 p2 p3][a1 l1, a2 l2, a3 l3], a ~ N(0, 0.1), once per picture and use. The
    paper calls l the eigenvalue; the authors' released code takes its square root, as the default here does, since on
    levels of 0-255 the eigenvalue would move the colour by hundreds.

    Args:
      keys: [N].
      images: [N, H, W, C].
      statistics: of the training set, of C channels.
      deviation: standard deviation of the weights a.
      scale: whether l is the standard deviation along an axis or its variance, the eigenvalue.

    Raises:
      UserError: the pictures have other channels than the statistics.
    """
    channels, axes = images.shape[-1], np.asarray(statistics.eigenvectors, np.float32)
    if channels != len(axes):
        raise UserError(
            f"config.augment.pca has colour axes of {len(axes)} channels, the pictures have {channels}; "
            "prepare the data set again"
        )
    values = np.asarray(statistics.eigenvalues, np.float32)
    lengths = np.sqrt(values) if scale == "deviation" else values
    weights = deviation * draw.normal(keys, (1, 1, 1, channels))
    # A sum and not a matmul, which a GPU would round to TF32.
    return images + (weights * (axes * lengths)).sum(-1)


def noise(keys: Array, images: Array, *, deviation: Array | float) -> Array:
    """Adds Gaussian noise of `deviation` levels, independent from value to value."""
    return images + deviation * draw.normal(keys, images.shape[1:])
