"""Clock and memory."""

import os
import threading
import time
from pathlib import Path

import pytest

from cnnjax.core.errors import Stopped
from cnnjax.core.meters import Stopwatch, duration, input_bound, next_batch, peak_memory


def test_stopwatch_adds_up_what_is_inside(monkeypatch):
    now = 50.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    watch = Stopwatch()
    for seconds in (1.5, 2.0):
        with watch:
            now += seconds
        now += 100
    assert watch.seconds == 3.5
    assert watch.take() == 3.5
    assert watch.seconds == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"), (8.14, "8.1 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (250.4, "4 min 10 s"),
        (3599.4, "59 min 59 s"), (3599.6, "1 h 00 min"), (11100, "3 h 05 min"), (360000, "100 h 00 min"),
    ],
)  # fmt: skip
def test_durations_as_people_write_them(seconds, text):
    assert duration(seconds) == text


def test_peak_memory_is_in_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs Linux's /proc to compare with")
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert peak_memory() == pytest.approx(int(peak.split()[1]) * 1024, rel=0.05)


def test_stopped_keeps_its_signal():
    assert (str(Stopped("saved", 15)), Stopped("saved", 15).signal) == ("saved", 15)


def test_advice_counts_the_cores_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(3), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    where = {"resident": False, "fits": False, "encoded": False}
    assert "config.data.threads=0, which is 3 here" in input_bound(0.5, threads=2, **where)
    assert "threads" not in input_bound(0.5, threads=3, **where)


class Step:
    """Stands for an array of a step that has ended, or goes on until it is ended."""

    def __init__(self, ended):
        self.event = threading.Event()
        if ended:
            self.event.set()

    def is_ready(self):
        return self.event.is_set()

    def block_until_ready(self):
        self.event.wait()


@pytest.mark.parametrize(
    ("before", "behind", "waits"),
    [
        ("nothing", 0.2, True),
        ("ended", 0.2, True),
        ("running", 0.2, True),
        ("running", 0, False),
        ("endless", 0.2, False),
    ],
)
def test_a_batch_is_waited_for_from_the_moment_that_the_devices_have_nothing_to_do(before, behind, waits):
    """Where the step ends while the batch is prepared, the time behind its end alone counts."""
    step = Step(before == "ended")

    def prepare():
        time.sleep(0.2)
        if before == "running":
            step.event.set()
            time.sleep(behind)
        yield "batch"

    waiting = Stopwatch()
    assert next_batch(prepare(), None if before == "nothing" else [Step(True), step], waiting) == "batch"
    step.event.set()
    assert (waiting.seconds >= 0.15) if waits else (waiting.seconds < 0.1)
