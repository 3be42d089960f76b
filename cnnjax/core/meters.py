"""Clock and memory: how long, how fast, how much."""

import functools
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

from cnnjax.core.startup import cores


class Stopwatch:
    """Adds up the seconds spent inside `with` blocks."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> "Stopwatch":
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start

    def take(self) -> float:
        """Returns the seconds so far and begins again at zero."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def next_batch(batches: Iterator[Any], computing: Any, waiting: Stopwatch) -> Any:
    """Returns the next batch; counts as waiting the time in which it was not there yet and the devices had no step.

    Args:
      computing: arrays of the last step, which are ready as soon as it is done; None: there is none.
    """
    start, arrays = time.perf_counter(), jax.tree.leaves(computing)
    done = None if all(array.is_ready() for array in arrays) else _watcher().submit(_end_of, arrays)
    batch = next(batches)
    if done is None or done.done():
        end = time.perf_counter()
        waiting.seconds += end - (start if done is None else min(done.result(), end))
    return batch


@functools.cache
def _watcher() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "end-of-step")


def _end_of(arrays: list[Any]) -> float:
    jax.block_until_ready(arrays)
    return time.perf_counter()


def peak_memory() -> int:
    """Peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB, macOS in bytes


def duration(seconds: float) -> str:
    """Seconds as people write them: 8.1 s, 4 min 10 s, 3 h 05 min."""
    if seconds < 59.95:  # what rounds to 60.0 s is a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


WAITS = 0.15  # share of the time from which a run counts as input-bound


def input_bound(data_wait: float, *, resident: bool, fits: bool, encoded: bool, threads: int = 0) -> str:
    """Says that the devices wait for images and what would help, or nothing where they hardly do.

    Args:
      data_wait: share of the wall time in which the devices waited for a batch, 0..1.
      resident: the images are on the devices already.
      fits: they would find room there.
      encoded: they are decoded as they are read.
      threads: that read, 0 for as many as there are cores.
    """
    if data_wait < WAITS:
        return ""
    here = cores()
    if resident:
        remedy = "the steps are short: a larger config.data.batch_size"
    elif fits:
        remedy = "config.data.loader=resident"
    elif encoded:
        remedy = "config.data.store=pixels"
    elif 0 < threads < here:
        remedy = f"config.data.threads=0, which is {here} here,"
    else:
        remedy = "a larger config.data.prefetch, a smaller config.data.size or a faster disk"
    return f"input-bound: the device waits for images {data_wait:.0%} of the time; {remedy} may help"


class Trace:
    """What host and devices do in `steps`, first to last, for TensorBoard and xprof; None: nothing is traced.

    It begins with the dispatch that holds the first of them and ends with the one that holds the last.

    A context manager, so that a trace which the run leaves unfinished is written too.
    """

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self._steps, self._folder, self._running = steps, folder, False

    def begin(self, first: int, last: int) -> None:
        """Called before the dispatch of the steps first ... last."""
        if self._steps and not self._running and first <= self._steps[1] and last >= self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def end(self, last: int, results: Any) -> None:
        """Called behind it; waits for the last dispatch, which would else not be in the trace."""
        if self._running and self._steps and last >= self._steps[1]:
            jax.block_until_ready(results)
            self.stop()

    def stop(self) -> None:
        if self._running:
            jax.profiler.stop_trace()
            self._running = False

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
