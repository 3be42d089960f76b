"""All randomness of a run, made in one place from (seed, purpose, position) and never stored.

A resumed run, one with other threads or one with other devices draws the same numbers, since nothing here depends on
what was drawn before.
"""

import zlib

import jax
import numpy as np

from cnnjax.core.arrays import Array


def key(seed: int, purpose: str, position: int | Array = 0) -> Array:
    """Returns the typed key of one purpose ("init", "dropout", ...) at one step.

    Args:
      seed: `train.seed` of the config.
      purpose: a name; different names give independent streams.
      position: the step; may be traced.
    """
    # The default seed path of jax.random.key truncates to 32 bits as well; fold_in takes uint32.
    base = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
    return jax.random.fold_in(base, position)


def per_image(seed: int, purpose: str, positions: Array) -> Array:
    """Returns one key an image: keys [N] from the image's index in the sample stream, [N] integers."""
    base = jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))
    return jax.vmap(lambda position: jax.random.fold_in(base, position))(positions)


def generator(seed: int, purpose: str, position: int = 0) -> np.random.Generator:
    """The same on the host: a NumPy generator that is a function of (seed, purpose, position) alone."""
    # As a list, words above 2^63 would pass through float64 and lose the position.
    words = np.array([seed, zlib.crc32(purpose.encode()) << 32 | int(position)], np.uint64)
    return np.random.Generator(np.random.Philox(key=words))
