"""The draws of one operation for every image of a batch, each from the image's own key."""

import enum
import math

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array


class Op(enum.IntEnum):
    """The number folded into an image's key for each operation; recorded runs depend on it, so it never changes."""

    CROP = 0
    FLIP = 1
    VERTICAL_FLIP = 2
    WARP = 3
    BRIGHTNESS = 4
    CONTRAST = 5
    CHANNEL_SHIFT = 6
    PCA = 7
    NOISE = 8
    ERASE = 9
    MIX = 10
    SATURATION = 11
    HUE = 12


def by_operation(keys: Array) -> Array:
    """Returns keys [N, operations] of keys [N]: switching one operation on or off changes no draw of another."""
    ops = jnp.arange(len(Op))
    return jax.vmap(lambda key: jax.vmap(lambda op: jax.random.fold_in(key, op))(ops))(keys)


def uniform(keys: Array, shape: tuple[int, ...] = (), *, low: float = 0.0, high: float = 1.0) -> Array:
    """Returns [N, *shape] numbers, uniform in [low, high)."""
    return jax.vmap(lambda key: jax.random.uniform(key, shape, minval=low, maxval=high))(keys)


def normal(keys: Array, shape: tuple[int, ...]) -> Array:
    """Returns [N, *shape] numbers of mean 0 and deviation 1."""
    return jax.vmap(lambda key: jax.random.normal(key, shape))(keys)


def levels(keys: Array, shape: tuple[int, ...]) -> Array:
    """Returns uint8 [N, *shape], uniform over 0..255."""
    size = math.prod(shape)

    # Four levels a word: jax.random.bits would spend a whole draw on each, and take four times as long.
    def one(key: Array) -> Array:
        words = jax.random.bits(key, (-(-size // 4),), "uint32")
        return jax.lax.bitcast_convert_type(words, "uint8").reshape(-1)[:size].reshape(shape)

    return jax.vmap(one)(keys)


def beta(keys: Array, alpha: float) -> Array:
    """Returns [N] numbers of Beta(alpha, alpha)."""
    return jax.vmap(lambda key: jax.random.beta(key, alpha, alpha))(keys)
