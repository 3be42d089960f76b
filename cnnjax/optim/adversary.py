"""Images that a network falls for: gradient ascent on its loss, over the pixels, within a ball around each image.

Pixels lie in [0, 1], before the network's own normalization, which belongs to the loss that is handed in. Training on
adversaries and measuring robustness use the same functions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry

Norm = Literal["linf", "l2"]

TINY = 1e-30
"""Keeps a gradient of zero from dividing by itself; it then moves nothing."""


@dataclass(frozen=True)
class Attack:
    """How the ball is searched.

    Attributes:
      norm: what epsilon bounds: the largest change of a value, or the Euclidean length of an image's whole change.
      iterated: many steps from a random start (PGD), or one step of the ball's radius from the image itself (FGSM).
    """

    norm: Norm
    iterated: bool

    def step_size(self, epsilon: Array | float, steps: int) -> Array | float:
        """The length of a step; the steps of an iterated attack reach from any start across the ball, and then some."""
        return epsilon * min(2.5 / steps, 1.25) if self.iterated else epsilon


ATTACKS: Registry[Attack] = Registry("attack")
ATTACKS.register("fgsm", Attack("linf", iterated=False))
ATTACKS.register("fgsm_l2", Attack("l2", iterated=False))
ATTACKS.register("pgd", Attack("linf", iterated=True))
ATTACKS.register("pgd_l2", Attack("l2", iterated=True))


def adversaries(
    loss: Callable[[Array], Array], pixels: Array, *, attack: Attack, epsilon: Array | float, steps: int, keys: Array
) -> Array:
    """Returns images within `epsilon` of `pixels`, and within [0, 1], at which `loss` is larger.

    FGSM is Goodfellow et al. 2014, arXiv:1412.6572, section 4: x + epsilon sign(g). PGD is Madry et al. 2017,
    arXiv:1706.06083, section 2.1: from a random point of the ball, steps of 2.5 epsilon / steps, after each of which
    the image is brought back into the ball; a single step is of 1.25 epsilon (Wong et al. 2020, arXiv:2001.03994).
    Under L2 the gradient's direction takes the place of its sign. A targeted attack makes the target's negative loss
    large. FGSM does not look at `steps` and `keys`.

    Args:
      loss: pixels [N, h, w, C] -> float32 [N], each image's own.
      pixels: float32 [N, h, w, C], 0-1.
      attack: one of ATTACKS.
      epsilon: radius of the ball in pixels of 0-1, not negative; may be traced.
      steps: of an iterated attack.
      keys: [N], of the random starts.

    Returns:
      float32 [N, h, w, C].
    """
    gradient = jax.grad(lambda moved: loss(moved).sum())
    size = attack.step_size(epsilon, steps)

    def climb(moved: Array) -> Array:
        return _into_ball(moved + size * _steepest(gradient(moved), attack.norm), pixels, epsilon, attack.norm)

    if not attack.iterated:
        return climb(pixels)
    start = _into_ball(pixels + epsilon * _random(keys, pixels.shape[1:], attack.norm), pixels, epsilon, attack.norm)
    return jax.lax.fori_loop(0, steps, lambda _, moved: climb(moved), start)


def _steepest(gradient: Array, norm: Norm) -> Array:
    """The direction of length 1 in which the loss grows fastest, image by image."""
    if norm == "linf":
        return jnp.sign(gradient)
    # A confident network's gradients are so small that their squares would vanish.
    scaled = gradient / jnp.maximum(jnp.abs(gradient).max((1, 2, 3), keepdims=True), TINY)
    return scaled / jnp.maximum(_length(scaled), 1)  # of at least 1, as its largest value is, or all zeros


def _into_ball(moved: Array, pixels: Array, epsilon: Array | float, norm: Norm) -> Array:
    """The nearest point of the ball, then cut to [0, 1]; as `pixels` are inside, the cut only shortens the change."""
    if norm == "linf":
        return jnp.clip(moved, jnp.maximum(pixels - epsilon, 0), jnp.minimum(pixels + epsilon, 1))
    change = moved - pixels
    return jnp.clip(pixels + change * jnp.minimum(epsilon / jnp.maximum(_length(change), TINY), 1), 0, 1)


def _random(keys: Array, shape: tuple[int, ...], norm: Norm) -> Array:
    """A point of the unit ball for each key, uniform in it."""
    if norm == "linf":
        return jax.vmap(lambda key: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0))(keys)
    keys = jax.vmap(jax.random.split)(keys)
    radius = jax.vmap(jax.random.uniform)(keys[:, 0]) ** (1 / math.prod(shape))
    direction = jax.vmap(lambda key: jax.random.normal(key, shape))(keys[:, 1])
    return direction / _length(direction) * radius[:, None, None, None]


def _length(change: Array) -> Array:
    return jnp.sqrt(jnp.square(change).sum((1, 2, 3), keepdims=True))
