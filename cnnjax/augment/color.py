"""How levels change: brightness, contrast, saturation, hue, channel shift, PCA color, noise.

All take [N, H, W, C] in levels of 0-255, bytes or floats, of any number of channels (saturation and hue of RGB alone),
and return float32, or the images themselves where there is nothing to change. None clips; the pipeline does so once,
after all of them. torchvision's ColorJitter clips after each, and draws their order.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np

from cnnjax.augment import draw
from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import Statistics

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in gray, ITU-R 601; torchvision's 0.2989 makes gray images darker by 0.01 %."""


def brightness(keys: Array, images: Array, *, amount: float) -> Array:
    """Multiplies each image by a factor drawn from [1 - amount, 1 + amount]."""
    return images * draw.uniform(keys, (1, 1, 1), low=1 - amount, high=1 + amount)


def contrast(keys: Array, images: Array, *, amount: float) -> Array:
    """Multiplies each image's distance from its channels' means by a factor of [1 - amount, 1 + amount].

    Channel by channel as in TensorFlow's adjust_contrast (torchvision takes the mean of the gray image), so that
    spectral bands of different levels keep their means.
    """
    return from_mean(images, draw.uniform(keys, (1, 1, 1), low=1 - amount, high=1 + amount))


def from_mean(images: Array, factor: Array | float) -> Array:
    """Multiplies the distance of each channel's levels from their mean by `factor`."""
    mean = images.mean((1, 2), keepdims=True)
    return mean + (images - mean) * factor


def saturation(keys: Array, images: Array, *, amount: float) -> Array:
    """Multiplies each pixel's distance from its gray value by a factor drawn from [1 - amount, 1 + amount].

    One factor an image, as in torchvision and Pillow (ImageEnhance.Color); grayscale images stay as they are.
    """
    if _is_gray(images, "saturation"):
        return images
    return saturated(images, draw.uniform(keys, (1, 1, 1), low=1 - amount, high=1 + amount))


def saturated(images: Array, factor: Array | float) -> Array:
    """Multiplies the distance of RGB pixels from their gray value, the luma of ITU-R 601, by `factor`."""
    red, green, blue = _channels(images)
    gray = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return gray + (images - gray) * factor


def hue(keys: Array, images: Array, *, amount: float) -> Array:
    """Turns the hue of each image by a share of the color circle drawn from [-amount, amount].

    One rotation an image, as in torchvision; grayscale images stay as they are.
    """
    if _is_gray(images, "hue"):
        return images
    return with_hue_turned(images, draw.uniform(keys, (1, 1, 1), low=-amount, high=amount))


def with_hue_turned(images: Array, turn: Array | float) -> Array:
    """Adds `turn`, 1 for the whole circle, to the hue of HSV; the largest and the smallest channel keep their values.

    On the way back from HSV a channel is value - chroma * clip(2 - |k - 2|, 0, 1), where k runs from 0 to 6 around the
    circle and begins at 5 for red, 3 for green and 1 for blue. Nothing is compared for equality, and where two channels
    are almost equal, either case has almost the same hue: so it is right even if XLA computes and rounds them twice.
    """
    red, green, blue = _channels(images)
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    is_red, is_green = (red >= green) & (red >= blue), green >= blue
    start = jnp.where(is_red, 0.0, jnp.where(is_green, 2.0, 4.0))
    difference = jnp.where(is_red, green - blue, jnp.where(is_green, blue - red, red - green))
    k = start + difference / jnp.where(chroma > 0, chroma, 1.0) + 6 * turn + np.asarray([5, 3, 1], np.float32)
    k -= 6 * jnp.floor(k / 6)
    return value - chroma * jnp.clip(2 - jnp.abs(k - 2), 0, 1)


def _channels(images: Array) -> list[Array]:
    """Returns the three channels as float32 [N, H, W, 1] each; a reduction over them would be a loop of its own."""
    return [images[..., channel : channel + 1].astype(jnp.float32) for channel in range(3)]


def _is_gray(images: Array, option: str) -> bool:
    """Whether there is no color to change; UserError where the channels are no RGB."""
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise UserError(
            f"config.augment.{option} is defined for RGB, the images have {channels} channels; "
            f"set config.augment.{option}=0"
        )
    return channels == 1


def channel_shift(keys: Array, images: Array, *, levels: float) -> Array:
    """Adds to each channel of each image a number of its own from [-levels, levels].

    Keras up to 2.1 did the same; later versions shift all channels of an image alike, which is a change of brightness.
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
    """Adds to each image a color drawn along the principal axes of the training set's colors.

    Krizhevsky et al. 2012, section 4.1: [p1 p2 p3][a1 l1, a2 l2, a3 l3], a ~ N(0, 0.1), once per image and use. The
    paper calls l the eigenvalue; the authors' released code takes its square root, as the default here does, since on
    levels of 0-255 the eigenvalue would move the color by hundreds.

    Args:
      keys: [N].
      images: [N, H, W, C].
      statistics: of the training set, of C channels.
      deviation: standard deviation of the weights a.
      scale: whether l is the standard deviation along an axis or its variance, the eigenvalue.

    Raises:
      UserError: the images have other channels than the statistics.
    """
    channels, axes = images.shape[-1], np.asarray(statistics.eigenvectors, np.float32)
    if channels != len(axes):
        raise UserError(
            f"config.augment.pca has color axes of {len(axes)} channels, the images have {channels}; "
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
