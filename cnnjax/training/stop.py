"""SIGTERM and Ctrl-C as a polite request: the loop finishes its step, saves, and says how to go on."""

import contextlib
import signal
from types import FrameType
from typing import Any


class StopRequest:
    """While entered, remembers the first SIGTERM or SIGINT as `signal`; a second one acts as it would have without.

    Outside the main thread, where handlers cannot be set, it never asks.
    """

    def __init__(self) -> None:
        self.signal = 0
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        # ValueError: not the main thread (a notebook's worker, say); the caller keeps its own handlers.
        with contextlib.suppress(ValueError):
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._remember)
        return self

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}

    def __exit__(self, *_: object) -> None:
        self._restore()
