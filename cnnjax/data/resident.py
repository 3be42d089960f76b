"""The whole split as uint8 in device memory; a batch is one gather on the device.

For sets that fit (all of MNIST is 47 MB): after the first copy nothing but B indices a step crosses to the device.
"""

import math
import os
from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.core.arrays import Array, Batch
from cnnjax.core.mesh import by_batch, replicated
from cnnjax.data.shards import Dataset, Split


def fits(dataset: Dataset) -> bool:
    """Whether all splits together take at most a quarter of a device's memory (CPU devices share the machine's)."""
    return holds(sum(dataset.counts.values()), dataset.shape)


def holds(count: int, shape: tuple[int, int, int]) -> bool:
    """Returns whether so many images take at most a quarter of a device's memory."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    if limit is None:
        limit = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // jax.local_device_count()
    return count * math.prod(shape) <= limit // 4


class Resident:
    """A split in device memory, one copy a device.

    Args:
      split: the prepared images.
      mesh: the devices that share each batch.
    """

    def __init__(self, split: Split, mesh: Mesh, *, threads: int = 1):
        arrays = {"images": split.gather(np.arange(len(split)), threads=threads), "labels": split.labels}
        if split.sizes is not None:
            arrays["sizes"] = split.sizes
        self._arrays = jax.device_put(arrays, replicated(mesh))
        self._row, self._rows = by_batch(mesh), NamedSharding(mesh, PartitionSpec(None, *by_batch(mesh).spec))
        self._whole = replicated(mesh)
        self._take = jax.jit(take, out_shardings=self._row)

    def batches(self, rows: Iterable[dict[str, np.ndarray]]) -> Iterator[Batch]:
        """Yields the batch of each {"index": int64 [B], ...}; what else a row holds travels along."""
        for row in rows:
            index = jax.device_put(row["index"].astype(np.int32), self._row)
            rest = {name: array for name, array in row.items() if name != "index"}
            yield self._take(self._arrays, index) | jax.device_put(rest, self._row)

    def dispatches(self, rows: Sequence[dict[str, np.ndarray]], counts: Iterable[int], most: int) -> Iterator[Batch]:
        """Yields what `training.step.train_steps` takes: the rows of the next `count` steps, and all the images.

        Args:
          rows: one {"index": int64 [B], ...} a step.
          counts: steps of each dispatch, 1 .. most.
          most: rows are filled up to so many, by the last again, so that every dispatch has one shape.
        """
        start = 0
        for count in counts:
            own = [rows[min(start + i, start + count - 1)] for i in range(most)]
            stacked = {name: np.stack([row[name] for row in own]) for name in own[0]}
            stacked["index"] = stacked["index"].astype(np.int32)
            put = jax.device_put(stacked, self._rows), jax.device_put(np.int32(count), self._whole)
            yield {"images": self._arrays, "rows": put[0], "count": put[1]}
            start += count


def take(arrays: dict[str, Array], index: Array) -> Batch:
    """Gathers the batch of `index` int32 [B] out of a whole split."""
    return {name: jnp.take(array, index, axis=0, mode="clip") for name, array in arrays.items()}
