"""Batches gathered from the memory map by grain's threads, for sets larger than the device.

grain sees a data set of batch numbers and maps each to a whole batch: one element a batch, not one a picture, which
measured 25,000-29,000 pictures (256 x 256 x 3) a second on two cores against 4,000-14,000.

Every batch gets a buffer of its own. Using one again would save page faults, but `device_put` on the CPU aliases
aligned NumPy memory, whatever its may_alias says where several devices share the batch: reused buffers corrupted 98 %
of the pixels of twenty batches held at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jax.sharding import Mesh

from cnnjax.core.arrays import Batch
from cnnjax.core.mesh import by_batch
from cnnjax.data.feed import ahead, put
from cnnjax.data.shards import Split

IN_FLIGHT = 2  # batches on their way to the device while a step runs


class Streamed:
    """A split read batch by batch.

    Args:
      split: the prepared pictures.
      mesh: the devices that share each batch.
      indices: int64 [n], the pictures to read; None: all.
      threads: that gather at the same time, 0 to gather in the calling thread.
      prefetch: batches gathered ahead.
    """

    def __init__(
        self, split: Split, mesh: Mesh, indices: np.ndarray | None = None, *, threads: int = 1, prefetch: int = 4
    ):
        self._split, self._indices = split, indices
        self._row = by_batch(mesh)
        self._threads, self._prefetch = threads, prefetch

    def batches(self, rows: Sequence[dict[str, np.ndarray]]) -> Iterator[Batch]:
        """Yields the batch of each {"index": int64 [B], ...}; what else a row holds travels along."""
        import grain

        def gather(number: int) -> dict[str, np.ndarray]:
            row = dict(rows[number])
            index = row.pop("index")
            index = index if self._indices is None else self._indices[index]
            row |= {"images": self._split.gather(index), "labels": self._split.labels[index]}
            if self._split.sizes is not None:
                row["sizes"] = self._split.sizes[index]
            return row

        options = grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=self._prefetch)
        gathered = iter(grain.MapDataset.range(len(rows)).map(gather).to_iter_dataset(options))
        return ahead((put(row, self._row) for row in gathered), IN_FLIGHT)
