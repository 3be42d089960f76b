"""Evaluates a split so that every example counts exactly once, whatever the batch size."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import jax
import numpy as np

from cnnjax.core.arrays import Array, Batch, HostArray
from cnnjax.core.errors import RunError
from cnnjax.evaluation.metrics import summarise


def batches(count: int, batch_size: int) -> Iterator[tuple[HostArray, HostArray]]:
    """Yields the indices of each batch, int64 [B], and its mask, float32 [B].

    All batches have one size, so that the step compiles once: the last is filled with the last index, masked by 0.
    """
    for start in range(0, count, batch_size):
        indices = np.arange(start, start + batch_size, dtype=np.int64)
        yield np.minimum(indices, count - 1), (indices < count).astype(np.float32)


def evaluate_split(
    step: Callable[[Batch], Mapping[str, Array]], feed: Iterable[Batch], count: int
) -> dict[str, float | int | None]:
    """Returns the means of `metrics.summarise` over all batches of `feed`.

    The device is one batch ahead: batch n + 1 is dispatched before the sums of batch n are read. They are added in
    float64, since float32 stops counting at 2^24.

    Args:
      step: batch -> sums, as `metrics.sums` gives them.
      feed: the batches of one split, padded and masked.
      count: how many examples the split has.

    Raises:
      RunError: another number of examples was counted.
    """
    totals: dict[str, float] = {"count": 0.0}

    def read(partial: Mapping[str, Array]) -> None:
        for name, value in jax.device_get(partial).items():
            totals[name] = totals.get(name, 0.0) + float(value)

    ahead: Mapping[str, Array] | None = None
    for batch in feed:
        dispatched = step(batch)
        if ahead is not None:
            read(ahead)
        ahead = dispatched
    if ahead is not None:
        read(ahead)
    if totals["count"] != count or not count:
        raise RunError(f"evaluation counted {totals['count']:,.0f} of {count:,} pictures, so it gives no figures")
    return summarise(totals)
