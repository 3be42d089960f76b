"""The corruptions of ImageNet-C and CIFAR-10-C, at their five severities, as far as they are operations on pixels.

Hendrycks and Dietterich 2019, arXiv:1903.12261, with the figures of the authors' code, which has one table for images
of 224 x 224 and one for 32 x 32. Here are eight of the benchmark's fifteen and three of its four extra ones. Not here:
glass and motion blur, snow, frost, fog, elastic, JPEG, and spatter, which need other people's images or programs, or
are no operation on a batch. Difference: nothing is stored as JPEG or bytes in between.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.augment import color, draw
from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry
from cnnjax.robustness import filters

SMALL = 64
"""Images whose shorter side has at most so many pixels get CIFAR-10-C's figures: those of ImageNet-C are for 224."""


@dataclass(frozen=True)
class Corruption:
    """One kind of damage.

    Attributes:
      apply: f(keys, levels, figure) -> levels.
      imagenet, cifar: the figures of severities 1-5, for large and for small images.
      extra: one of the four that the benchmark's mean leaves out.
      channels: how many it needs; None: any number.
      shaped: the figure decides the shapes of what is computed, so each is compiled by itself.
    """

    apply: Callable[[Array, Array, Any], Array]
    imagenet: tuple[Any, ...]
    cifar: tuple[Any, ...]
    extra: bool = False
    channels: int | None = None
    shaped: bool = False

    def figure(self, levels: Array, severity: int) -> Any:
        """What a severity of 1-5 means for images of the size of `levels` [N, h, w, C]."""
        return (self.cifar if min(levels.shape[1:3]) <= SMALL else self.imagenet)[severity - 1]


CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def _register(imagenet: tuple[Any, ...], cifar: tuple[Any, ...], **options: Any) -> Callable[[Any], Any]:
    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        CORRUPTIONS.register(function.__name__, Corruption(function, imagenet, cifar, **options))
        return function

    return register


# ---------------------------------------------------------------- noise


@_register((0.08, 0.12, 0.18, 0.26, 0.38), (0.04, 0.06, 0.08, 0.09, 0.1))
def gaussian_noise(keys: Array, levels: Array, deviation: Array | float) -> Array:
    """Adds noise of a deviation in pixels of 0-1."""
    return color.noise(keys, levels, deviation=255 * deviation)


@_register((60, 25, 12, 5, 3), (500, 250, 100, 75, 50))
def shot_noise(keys: Array, levels: Array, photons: Array | float) -> Array:
    """Draws each value from the Poisson distribution of a sensor that counts `photons` where the image is white."""
    counts = jax.vmap(jax.random.poisson)(keys, levels / 255 * photons)
    return counts * (255 / photons)


@_register((0.03, 0.06, 0.09, 0.17, 0.27), (0.01, 0.02, 0.03, 0.05, 0.07))
def impulse_noise(keys: Array, levels: Array, share: Array | float) -> Array:
    """Sets a share of the values to 0 or 255, with equal probability."""
    u = draw.uniform(keys, levels.shape[1:])
    return jnp.where(u < share / 2, 0.0, jnp.where(u < share, 255.0, levels))


@_register((0.15, 0.2, 0.35, 0.45, 0.6), (0.06, 0.1, 0.12, 0.16, 0.2), extra=True)
def speckle_noise(keys: Array, levels: Array, deviation: Array | float) -> Array:
    """Adds noise in proportion to each value."""
    return levels * (1 + deviation * draw.normal(keys, levels.shape[1:]))


# ---------------------------------------------------------------- blur


@_register(
    ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    shaped=True,
)
def defocus_blur(keys: Array, levels: Array, figure: tuple[float, float]) -> Array:
    """Averages over a disk of (radius, softness of its edge), in pixels."""
    return filters.defocus(levels, *figure)


@_register(
    ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    shaped=True,
)
def zoom_blur(keys: Array, levels: Array, figure: tuple[float, float]) -> Array:
    """Averages the image with its magnifications by factors from 1 up, (end, step) apart.

    The factors are the authors' numpy.arange(1, end, step), which by rounding contains an end of 1.06 and of 1.11, but
    not the others.
    """
    factors = np.arange(1, *figure)
    zooms = (filters.zoom(levels, factor) for factor in factors)
    return sum(zooms, levels) / (len(factors) + 1)


@_register((1, 2, 3, 4, 6), (0.4, 0.6, 0.7, 0.8, 1), extra=True)
def gaussian_blur(keys: Array, levels: Array, sigma: Array | float) -> Array:
    """Blurs by a Gaussian of sigma pixels."""
    return filters.blur(levels, sigma)


# ---------------------------------------------------------------- light, color, grain


@_register((0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15, 0.2, 0.3))
def brightness(keys: Array, levels: Array, amount: Array | float) -> Array:
    """Adds to the value of HSV, the largest of a pixel's channels; the others keep their shares of it.

    So it is defined for any number of channels.
    """
    value = levels.max(-1, keepdims=True)
    raised = jnp.minimum(value + 255 * amount, 255)
    return jnp.where(value > 0, levels * (raised / jnp.maximum(value, 1e-6)), raised)


@_register((0.4, 0.3, 0.2, 0.1, 0.05), (0.75, 0.5, 0.4, 0.3, 0.15))
def contrast(keys: Array, levels: Array, factor: Array | float) -> Array:
    """Multiplies the distance from each channel's mean."""
    return color.from_mean(levels, factor)


@_register((0.6, 0.5, 0.4, 0.3, 0.25), (0.95, 0.9, 0.85, 0.75, 0.65), shaped=True)
def pixelate(keys: Array, levels: Array, share: float) -> Array:
    """Makes the image smaller by a share of its sides and as large again."""
    return filters.pixelate(levels, share)


@_register(
    ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    extra=True,
    channels=3,
)
def saturate(keys: Array, levels: Array, figure: tuple[Array | float, Array | float]) -> Array:
    """Multiplies the saturation of HSV and adds to it; gray, whose hue counts as red, turns reddish where it adds."""
    value = levels.max(-1, keepdims=True)
    chroma = value - levels.min(-1, keepdims=True)
    saturation = jnp.where(value > 0, chroma / jnp.maximum(value, 1e-6), 0.0)
    wanted = jnp.clip(saturation * figure[0] + figure[1], 0, 1) * value
    red = jnp.asarray([0.0, 1.0, 1.0])
    below = jnp.where(chroma > 0, (value - levels) / jnp.maximum(chroma, 1e-6), red)  # 0 at the largest, 1 at the least
    return value - wanted * below
