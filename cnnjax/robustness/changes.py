"""Changes that leave an image what it is, each at several strengths: how invariant is the network to them?

All take keys [N], levels of 0-255 [N, h, w, C] and a strength, and return float32 levels. What is drawn (the direction
of a shift, the sense of a turn, the place of a square) depends on an image's key alone, so it is the same at every
strength. What comes in from outside is black.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp

from cnnjax.augment import color, draw, geometry
from cnnjax.augment.erase import erase
from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry
from cnnjax.robustness import filters


@dataclass(frozen=True)
class Change:
    """What is done to images, and how much of it is tried.

    Attributes:
      apply: f(keys, levels, strength) -> levels.
      strengths: those that are measured, in `unit`.
      none: the strength at which nothing changes.
    """

    apply: Callable[..., Array]
    strengths: tuple[float, ...]
    unit: str
    none: float = 0.0


CHANGES: Registry[Change] = Registry("change")


def _register(
    *strengths: float, unit: str, none: float = 0.0
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        CHANGES.register(function.__name__, Change(function, strengths, unit, none))
        return function

    return register


@_register(0.05, 0.1, 0.15, 0.2, 0.3, unit="share of the shorter side")
def translation(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Shifts each image in a direction of its own."""
    angle = draw.uniform(keys, high=2 * jnp.pi)
    distance = strength * min(levels.shape[1:3])
    return _warp(levels, 1.0, 0.0, 0.0, 1.0, distance * jnp.sin(angle), distance * jnp.cos(angle))


@_register(10, 20, 30, 45, 60, 90, unit="degrees")
def rotation(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Turns each image about its center, half of them to the left."""
    angle = jnp.deg2rad(strength) * jnp.where(draw.uniform(keys) < 0.5, -1, 1)
    return _warp(levels, jnp.cos(angle), -jnp.sin(angle), jnp.sin(angle), jnp.cos(angle), 0.0, 0.0)


@_register(0.5, 0.7, 0.85, 1.2, 1.5, 2, unit="times the size", none=1.0)
def scale(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Magnifies about the center; below 1 the image gets smaller, without antialiasing."""
    return _warp(levels, 1 / strength, jnp.zeros(len(levels)), 0.0, 1 / strength, 0.0, 0.0)


@_register(0.25, 0.5, 0.75, 1.25, 1.5, 2, unit="times the levels", none=1.0)
def brightness(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Multiplies all levels."""
    return jnp.clip(levels * strength, 0, 255)


@_register(0.1, 0.25, 0.5, 0.75, 1.5, 2, unit="times the distance from the mean", none=1.0)
def contrast(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Multiplies the distance of each channel's levels from their mean."""
    return jnp.clip(color.from_mean(levels, strength), 0, 255)


@_register(0.01, 0.02, 0.04, 0.06, 0.1, unit="standard deviation, as a share of the shorter side")
def blur(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Blurs by a Gaussian."""
    return filters.blur(levels, strength * min(levels.shape[1:3]))


@_register(0.05, 0.1, 0.2, 0.3, 0.4, unit="standard deviation, pixels of 0-1")
def noise(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Adds Gaussian noise, the same at every strength but for its size."""
    return jnp.clip(color.noise(keys, levels, deviation=255 * strength), 0, 255)


@_register(0.05, 0.1, 0.2, 0.3, 0.4, unit="share of the area")
def occlusion(keys: Array, levels: Array, strength: Array | float) -> Array:
    """Covers a square by random levels; its place, as a share of the room there is, is the same at every strength."""
    return erase(keys, levels, probability=1.0, area=(strength, strength), ratio=(1.0, 1.0))


def _warp(levels: Array, *terms: Array | float) -> Array:
    """Moves each image; the terms are the matrix from output to input by rows, then the shifts down and right."""
    a, b, c, d, down, right = (jnp.broadcast_to(jnp.asarray(term, jnp.float32), len(levels)) for term in terms)
    matrices = jnp.stack([jnp.stack([a, b, down], 1), jnp.stack([c, d, right], 1)], 1)
    return geometry.warp(levels, matrices, fill="constant")
