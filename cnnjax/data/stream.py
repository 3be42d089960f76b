"""Batches gathered from the memory map by grain's threads, for sets larger than the device.

grain sees a data set of batch numbers and maps each to a whole batch: one element a batch, not one an image.
"""

import math
import mmap
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
from jax.sharding import Mesh

from cnnjax.core.arrays import Batch, HostArray
from cnnjax.core.mesh import by_batch
from cnnjax.data.feed import ahead, put
from cnnjax.data.shards import Split

IN_FLIGHT = 2  # batches on their way to the device while a step runs


class Buffers:
    """uint8 arrays of one shape, whose memory is used again when nobody holds the array any more.

    New memory costs a page fault every 4 KiB, which takes several times as long as the copy into it. A ring that counts
    batches would not do: `device_put` on the CPU aliases aligned NumPy memory, so that a batch on the device is this
    very buffer, and lives as long as somebody holds it. Therefore the end of the array itself gives the memory back.
    """

    def __init__(self, shape: tuple[int, ...]):
        self._shape = shape
        self._free: list[mmap.mmap] = []

    def take(self) -> HostArray:
        """Returns an array whose contents are undefined; may be called from several threads."""
        try:
            memory = self._free.pop()
        except IndexError:
            size = max(math.prod(self._shape), 1)
            memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # The memory is no array, so that NumPy makes every view, at whatever depth, hold this array and not its base.
        array: HostArray = np.ndarray(self._shape, np.uint8, memory)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array


class Streamed:
    """A split read batch by batch.

    Args:
      split: the prepared images.
      mesh: the devices that share each batch.
      threads: that gather at the same time, 0 to gather in the calling thread.
      prefetch: batches gathered ahead.
    """

    def __init__(self, split: Split, mesh: Mesh, *, threads: int = 1, prefetch: int = 4):
        self._split = split
        self._row = by_batch(mesh)
        self._threads, self._prefetch = threads, prefetch

    def batches(self, rows: Sequence[dict[str, np.ndarray]]) -> Iterator[Batch]:
        """Yields the batch of each {"index": int64 [B], ...}, of one length B; what else a row holds travels along."""
        import grain

        if not len(rows):
            return iter(())
        buffers = Buffers((len(rows[0]["index"]), *self._split.shape))

        def gather(number: int) -> dict[str, np.ndarray]:
            row = dict(rows[number])
            index = row.pop("index")
            row |= {"images": self._split.gather(index, buffers.take()), "labels": self._split.labels[index]}
            if self._split.sizes is not None:
                row["sizes"] = self._split.sizes[index]
            return row

        options = grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=self._prefetch)
        gathered = iter(grain.MapDataset.range(len(rows)).map(gather).to_iter_dataset(options))
        return ahead((put(row, self._row) for row in gathered), IN_FLIGHT)
