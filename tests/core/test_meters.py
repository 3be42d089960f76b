"""Clock and memory."""

import os
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


class Computed:
    """Stands for an array of a step that is done, or is not."""

    def __init__(self, done):
        self.is_ready = lambda: done


@pytest.mark.parametrize(
    ("computing", "waits"),
    [(None, True), ({"loss": Computed(True)}, True), ({"loss": Computed(True), "top1": Computed(False)}, False)],
)
def test_a_batch_is_waited_for_where_the_devices_have_nothing_to_do(computing, waits):
    def slow():
        time.sleep(0.02)
        yield "batch"

    waiting = Stopwatch()
    assert next_batch(slow(), computing, waiting) == "batch"
    assert (waiting.seconds >= 0.02) if waits else (waiting.seconds == 0)
