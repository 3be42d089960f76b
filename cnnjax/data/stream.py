"""Batches gathered from the memory map by grain's threads, for sets larger than the device.

grain sees a data set of batch numbers and maps each to a whole batch: one element a batch, not one a picture, which
measured 25,000-29,000 pictures (256 x 256 x 3) a second on two cores against 4,000-14,000.

The batches land in a ring of buffers, since fresh 25 MB arrays cost more in page faults than the gather itself. A
buffer goes back into the ring only when the device array made of it is ready: one shared buffer corrupts nearly every
batch.
"""

import queue
from collections import deque
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.core.arrays import Batch
from cnnjax.core.mesh import by_batch
from cnnjax.data.feed import put, share
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

        free: queue.Queue[np.ndarray | None] = queue.Queue()
        for _ in range(self._threads + self._prefetch + IN_FLIGHT + 2):
            free.put(None)  # a buffer is made when it is first needed

        def gather(number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
            row = {name: share(array) for name, array in rows[number].items()}
            index = row.pop("index")
            index = index if self._indices is None else self._indices[index]
            buffer = free.get()
            if buffer is not None and len(buffer) != len(index):
                buffer = None
            images = self._split.gather(index, out=buffer)
            row["labels"] = self._split.labels[index]
            if self._split.sizes is not None:
                row["sizes"] = self._split.sizes[index]
            return images, row

        options = grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=self._prefetch)
        numbers = iter(grain.MapDataset.range(len(rows)).map(gather).to_iter_dataset(options))
        flying: deque[tuple[Batch, np.ndarray]] = deque()
        for images, row in numbers:
            flying.append((put({"images": images, **row}, self._row), images))
            if len(flying) > IN_FLIGHT:
                batch, buffer = flying.popleft()
                jax.block_until_ready(batch["images"])
                free.put(buffer)
                yield batch
        for batch, _ in flying:
            yield batch
