"""Evaluates a split so that every example counts exactly once, whatever the batch size."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from cnnjax.core.arrays import Array, Batch, HostArray
from cnnjax.core.errors import RunError
from cnnjax.evaluation.metrics import summarize


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
    """Returns the means of `metrics.summarize` over all batches of `feed`; sums are added in float64.

    Float32 would stop counting at 2^24.

    Args:
      step: batch -> sums, as `metrics.sums` gives them.
      feed: the batches of one split, padded and masked.
      count: how many examples the split has.

    Raises:
      RunError: another number of examples was counted.
    """
    totals: dict[str, float] = {"count": 0.0}
    for partial in _one_ahead(step, feed):
        for name, value in partial.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    _check_count(totals["count"], count)
    return summarize(totals)


def collect(step: Callable[[Batch], Any], feed: Iterable[Batch], count: int) -> Any:
    """Returns what `step` says of each example, in the order of the split.

    Args:
      step: batch -> tree of arrays [B, ...].
      feed, count: see `evaluate_split`.

    Returns:
      The same tree of arrays [count, ...] on the host.

    Raises:
      RunError: another number of examples was counted.
    """
    found = list(_one_ahead(lambda batch: (step(batch), batch["mask"]), feed))
    _check_count(sum(float(mask.sum()) for _, mask in found), count)
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *(outputs for outputs, _ in found))


def _one_ahead(step: Callable[[Batch], Any], feed: Iterable[Batch]) -> Iterator[Any]:
    """Yields what `step` gives, on the host; batch n + 1 is dispatched before the outcome of batch n is read."""
    waiting: list[Any] = []
    for batch in feed:
        waiting.append(step(batch))
        if len(waiting) > 1:
            yield jax.device_get(waiting.pop(0))
    yield from map(jax.device_get, waiting)


def _check_count(counted: float, count: int) -> None:
    if counted != count or not count:
        raise RunError(f"evaluation counted {counted:,.0f} of {count:,} images, so it gives no figures")
