"""Attribution to pixels, by the gradient of a class's score (plain, guided, integrated, smoothed) or by covering up.

Each is f(model, variables, images, targets, ...) -> float32 [N, h, w], compiled once a model and shape. `model` is as
`models.inside.open_up` gives it, images are normalized [N, h, w, C], targets int [N] are classes.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core import keys
from cnnjax.core.arrays import Array, Tree
from cnnjax.models import Model
from cnnjax.models.inside import look_inside


def compiled(*constants: str) -> Callable[[Any], Any]:
    """jax.jit, to which `model` and the arguments of these names are constants."""
    return functools.partial(jax.jit, static_argnames=("model", *constants))


def score(logits: Array, targets: Array) -> Array:
    """Returns the logit of each image's target, [N]; one output for two classes counts for 1 and against 0."""
    if logits.shape[1] == 1:
        return jnp.where(targets == 1, logits[:, 0], -logits[:, 0])
    return jnp.take_along_axis(logits, targets[:, None], 1)[:, 0]


def by_pixels(model: Model, variables: Tree, images: Array, targets: Array, guided: bool = False) -> Array:
    """Returns the gradient of the scores by the values of the images, [N, h, w, C]."""

    def total(images: Array) -> Array:  # no image acts on another's score, so the sum has the gradients of all
        return score(look_inside(model, variables, images, guided=guided)[0], targets).sum()

    return jax.grad(total)(images)


@compiled()
def saliency(model: Model, variables: Tree, images: Array, targets: Array) -> Array:
    """How strongly a small change of each pixel moves the score: the largest |gradient| of its channels.

    Simonyan, Vedaldi and Zisserman 2014 (1312.6034), section 3.1.
    """
    return jnp.abs(by_pixels(model, variables, images, targets)).max(-1)


@compiled()
def guided_backprop(model: Model, variables: Tree, images: Array, targets: Array) -> Array:
    """Saliency with a backward pass that drops negative gradients at each activation.

    Springenberg et al. 2015 (1412.6806), section 3.4. It shows edges that the model can see more than reasons of the
    class: Adebayo et al. 2018 (1810.03292) find nearly the same image with random weights in the upper layers.
    """
    return jnp.abs(by_pixels(model, variables, images, targets, guided=True)).max(-1)


@compiled("steps")
def integrated_gradients(
    model: Model, variables: Tree, images: Array, targets: Array, baseline: Array | float = 0.0, steps: int = 64
) -> Array:
    """The gradients along the straight way from a baseline to the image, times that way; positive speaks for it.

    Sundararajan, Taly and Yan 2017 (1703.01365), equation 3, by the midpoint rule. Complete: the map's sum is the score
    of the image less that of the baseline.

    Args:
      baseline: [h, w, C] or what broadcasts to it, the image without a content, normalized; 0: the mean level.
      steps: points on the way.
    """
    way = images - baseline

    def add(total: Array, share: Array) -> tuple[Array, None]:
        return total + by_pixels(model, variables, baseline + share * way, targets), None

    shares = (jnp.arange(steps, dtype=jnp.float32) + 0.5) / steps
    total, _ = jax.lax.scan(add, jnp.zeros_like(images), shares)
    return (total / steps * way).sum(-1)


@compiled("draws")
def smoothgrad(
    model: Model,
    variables: Tree,
    images: Array,
    targets: Array,
    noise: float = 0.15,
    draws: int = 32,
    seed: int = 0,
) -> Array:
    """Saliency, its gradient averaged over images with noise: what flickers from pixel to pixel cancels out.

    Smilkov et al. 2017 (1706.03825), section 3.

    Args:
      noise: standard deviation, as a share of each image's range; the paper finds 0.1 to 0.2 best.
      draws: noisy copies of each image.
    """
    deviation = noise * (images.max((1, 2, 3), keepdims=True) - images.min((1, 2, 3), keepdims=True))

    def add(total: Array, number: Array) -> tuple[Array, None]:
        drawn = jax.random.normal(keys.key(seed, "smoothgrad", number), images.shape[1:])
        return total + by_pixels(model, variables, images + deviation * drawn, targets), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(images), jnp.arange(draws))
    return jnp.abs(total / draws).max(-1)


@compiled("window", "stride")
def occlusion(
    model: Model,
    variables: Tree,
    images: Array,
    targets: Array,
    window: int | None = None,
    stride: int | None = None,
    fill: float = 0.0,
) -> Array:
    """The score that a gray square takes away, at each pixel the mean over the squares that cover it.

    Zeiler and Fergus 2014 (1311.2901), section 4.2, who draw the probability that is left; a softmax near 1 hides what
    its logit shows. Negative where the cover helps.

    Args:
      images: normalized, [N, h, w, C].
      window: side of the square; None: a seventh of the image's shorter side.
      stride: of its places; None: half a window. The last row and column of squares end with the image.
      fill: normalized level of the square; 0 is the mean.

    Returns:
      float32 [N, h, w].
    """
    height, width = images.shape[1:3]
    window = window or max(min(height, width) // 7, 1)
    stride = stride or max(window // 2, 1)
    places = [(top, left) for top in _starts(height, window, stride) for left in _starts(width, window, stride)]
    whole = score(model.apply(variables, images), targets)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)

    def add(total: Array, place: Array) -> tuple[Array, None]:
        covered = (rows >= place[0]) & (rows < place[0] + window)
        covered &= (columns >= place[1]) & (columns < place[1] + window)
        left = score(model.apply(variables, jnp.where(covered[..., None], fill, images)), targets)
        return total + covered * (whole - left)[:, None, None], None

    total, _ = jax.lax.scan(add, jnp.zeros(images.shape[:3]), jnp.asarray(places))
    counts = np.zeros((height, width), np.float32)
    for top, left in places:
        counts[top : top + window, left : left + window] += 1
    return total / np.maximum(counts, 1)


def _starts(side: int, window: int, stride: int) -> Iterator[int]:
    yield from range(0, side - window, stride)
    yield max(side - window, 0)
