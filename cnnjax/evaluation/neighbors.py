"""The nearest neighbors of images by their pixels, and by the features of a model.

Distances of pixels are whole numbers and exact, so that the order of neighbors is that of any other exact program.
"""

import functools
from collections.abc import Iterable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnnjax.core import logs
from cnnjax.core.arrays import Array, HostArray
from cnnjax.core.errors import UserError
from cnnjax.evaluation.split import batches

Metric = Literal["l1", "l2"]

QUERIES = 256
"""Images that are compared at a time; their distances to 60,000 others take 61 MB."""


def nearest(train: HostArray, queries: HostArray, k: int = 1, metric: Metric = "l2") -> tuple[HostArray, HostArray]:
    """Finds the k nearest of `train` for each query, nearest first, of equally near ones the earlier.

    Args:
      train: uint8 [M, ...].
      queries: uint8 [N, ...].
      metric: l1: sum of absolute differences; l2: Euclidean.

    Returns:
      Their distances (under "l2" squared) and their indices, int32 [N, k].

    Raises:
      UserError: k is not in 1 .. M, or under "l2" images of more than 33,025 values, whose squares overflow 32 bits.
    """
    train, queries = (images.reshape(len(images), -1) for images in (train, queries))
    if train.dtype != np.uint8 or queries.dtype != np.uint8:
        raise TypeError(f"images must be uint8, not {train.dtype} and {queries.dtype}")
    if not 1 <= k <= len(train):
        raise UserError(f"config.model.neighbors={k} must be from 1 to {len(train):,}, the number of training images")
    if metric == "l2" and train.shape[1] > np.iinfo(np.int32).max // 255**2:
        raise UserError(
            f"images of {train.shape[1]:,} values are too large for l2 (33,025 at most); set config.model.metric=l1"
        )
    images, found = jax.device_put(train), []
    rows = [indices for indices, _ in batches(len(queries), QUERIES)]
    with logs.progress("comparing", len(rows)) as tick:
        for indices in rows:
            found.append(jax.device_get(_nearest(images, queries[indices], k, metric)))
            tick()
    distances, places = (np.concatenate(parts)[: len(queries)] for parts in zip(*found, strict=True))
    return distances, places


def nearest_features(train: Iterable[HostArray], queries: HostArray, k: int) -> tuple[HostArray, HostArray]:
    """Finds the k nearest features by Euclidean distance, as Krizhevsky et al. 2012 (section 6.1) look for likenesses.

    Args:
      train: batches [B, F], so that all of them need not be in memory; fewer than k in all give fewer columns.
      queries: [N, F].

    Returns:
      Distances float64 and positions in `train` int64 [N, k], nearest first, of equally near ones the earlier.
    """
    queries = np.asarray(queries, np.float64)
    distances: HostArray = np.zeros((len(queries), 0))
    places: HostArray = np.zeros((len(queries), 0), np.int64)
    start = 0
    for batch in train:
        batch = np.asarray(batch, np.float64)
        squares = np.square(queries).sum(1)[:, None] + np.square(batch).sum(1) - 2 * queries @ batch.T
        distances = np.concatenate([distances, np.sqrt(np.maximum(squares, 0))], 1)
        places = np.concatenate([places, np.broadcast_to(start + np.arange(len(batch)), squares.shape)], 1)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        distances, places = (np.take_along_axis(values, order, 1) for values in (distances, places))
        start += len(batch)
    return distances, places


@functools.partial(jax.jit, static_argnums=(2, 3))
def _nearest(train: Array, queries: Array, k: int, metric: Metric) -> tuple[Array, Array]:
    """The k smallest distances [B, k] and where they are.

    One by one: on a CPU XLA's top_k sorts whole rows of integers, which takes hundreds of times as long.
    """
    everyone = jnp.arange(len(queries))

    def take(left: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        places = left.argmin(1).astype(jnp.int32)
        return left.at[everyone, places].set(jnp.iinfo(jnp.int32).max), (left[everyone, places], places)

    _, (distances, places) = lax.scan(take, DISTANCES[metric](train, queries), length=k)
    return distances.T, places.T


# ---------------------------------------------------------------- distances: uint8 [M, P], [B, P] -> int32 [B, M]


def squared(train: Array, queries: Array) -> Array:
    """Squared Euclidean distances by matrix products, |t|^2 + |q|^2 - 2 t q, and yet exact.

    Both are shifted by 128, which changes no distance. Then bytes lie in -128 .. 127, and a sum of 1,024 products is
    below 2^24: float32 holds it exactly, in any order of summation, even where the multiplier takes bfloat16. Longer
    rows are cut up.
    """
    (t, norms), (q, own) = (
        (shifted.astype(jnp.float32), jnp.square(shifted).sum(1))
        for shifted in (images.astype(jnp.int32) - 128 for images in (train, queries))
    )
    products = [
        jnp.dot(q[:, start : start + 1024], t[:, start : start + 1024].T).astype(jnp.int32)
        for start in range(0, train.shape[1], 1024)
    ]
    return own[:, None] + norms - 2 * sum(products)


def absolute(train: Array, queries: Array) -> Array:
    """Sums of absolute differences, 16 pixels of 512 training images at a time.

    So much stays in the cache, and XLA makes of it one loop over 16-bit integers: all of Fashion-MNIST takes 25 seconds
    of one core with AVX-512, where a plain sum over the last axis takes many minutes.
    """
    block, step = 512, 16
    (count, pixels), rows = train.shape, len(queries)
    # Blocks and steps are filled up with zeros, which add nothing to a distance; whole images of zeros are cut off.
    t = jnp.pad(train, ((0, -count % block), (0, -pixels % step))).astype(jnp.int16)
    q = jnp.pad(queries, ((0, 0), (0, -pixels % step))).astype(jnp.int16)
    t = t.reshape(-1, block, t.shape[1] // step, step).transpose(0, 2, 3, 1)  # [blocks, steps, 16, 512]
    q = q.reshape(rows, -1, step).transpose(1, 2, 0)  # [steps, 16, rows]

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        differences = sum(jnp.abs(a[:, None] - b) for a, b in zip(*pair, strict=True))  # at most 16 * 255
        return total + jnp.asarray(differences, jnp.int32), None

    def one(part: Array) -> Array:
        return lax.scan(add, jnp.zeros((rows, block), jnp.int32), (q, part))[0]

    return lax.map(one, t).swapaxes(0, 1).reshape(rows, -1)[:, :count]


DISTANCES = {"l1": absolute, "l2": squared}
