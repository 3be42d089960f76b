"""What the host and the devices do during a few steps, as a trace that TensorBoard and xprof open."""

from pathlib import Path
from typing import Any

import jax


class Trace:
    """Traces from the dispatch that holds the first of `steps` to the one that holds the last; None: nothing.

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
