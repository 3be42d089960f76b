"""The scripts in benchmarks/ follow the library: their sides take steps."""

import argparse
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def sides(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    import cpu_sides

    return cpu_sides


@pytest.mark.parametrize("plain", [False, True])
def test_cnnjax_side_of_the_cpu_race_trains(sides, plain, monkeypatch):
    monkeypatch.setitem(sides.BATCH, "lenet5", 16)
    run = sides.cnnjax_side("lenet5", argparse.Namespace(plain=plain))
    assert run() == run() == 16 * sides.BATCH["lenet5"]  # as many steps a dispatch as training takes


def test_cnnjax_side_of_the_gpu_race_measures(sides, monkeypatch):
    import gpu  # which stands beside cpu_sides

    monkeypatch.setitem(gpu.SMOKE, "plain:fc8", 28)
    report = gpu.cnnjax_speed("plain:fc8", 8, 1, True)
    assert report["images_per_s"] > 0
    assert report["macs"] > 0


def test_canaries_run_in_one_line(sides, monkeypatch):
    import gpu

    from cnnjax.bench import canaries

    written = []
    monkeypatch.setattr(gpu, "write", lambda name, lines: written.extend(lines))
    monkeypatch.setattr(gpu, "device_name", lambda: "no GPU")
    right, wrong = canaries.Canary("right", lambda: [(2, 2)]), canaries.Canary("wrong", lambda: [(1, 2)])
    monkeypatch.setattr(canaries, "CANARIES", (right, wrong))
    assert gpu.canaries() == 1
    assert [line.split()[:3] for line in written[-2:]] == [["ok", "cpu", "right"], ["FAILED", "cpu", "wrong"]]


@pytest.mark.parity
def test_torch_side_of_the_cpu_race_trains(sides):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    run = sides.torch_side("lenet5", argparse.Namespace(side="torch_channels_last"))
    assert run() == sides.BATCH["lenet5"]
