"""metrics.jsonl, lines without a terminal, and events that the real TensorBoard reads."""

import io
import json
import sys
import time

import pytest
from rich.console import Console

from cnnjax.core import logs
from cnnjax.core.logs import MetricsLog, TensorBoard, progress, read_metrics, say


def write(path, steps, keep_to=0, value=1.0):
    log = MetricsLog(path, keep_to)
    for step in steps:
        log.write({"step": step, "train/loss": value})
    log.close()


def test_every_line_is_an_object_and_there_at_once(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path, 0)
    log.write({"step": 1, "lr": 0.1})
    assert json.loads(path.read_text()) == {"step": 1, "lr": 0.1}  # before it is closed
    log.write({"step": 2, "lr": 0.1})
    log.close()
    assert read_metrics(path) == [{"step": 1, "lr": 0.1}, {"step": 2, "lr": 0.1}]


def test_resume_cuts_back_to_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, range(10, 60, 10))
    write(path, [40, 50], keep_to=30, value=2.0)
    assert [(line["step"], line["train/loss"]) for line in read_metrics(path)] == [
        (10, 1.0), (20, 1.0), (30, 1.0), (40, 2.0), (50, 2.0),
    ]  # fmt: skip
    write(path, [], keep_to=0)
    assert path.read_text() == ""


def test_line_torn_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, [1, 2])
    with open(path, "a") as file:
        file.write('{"step": 3, "train/lo')
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
    write(path, [3], keep_to=5)
    assert [line["step"] for line in read_metrics(path)] == [1, 2, 3]


def test_no_file_has_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_lines_go_to_stderr_as_they_are(capsys):
    say("[bold]5 of 10[/] " + "x" * 300)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "[bold]5 of 10[/] " + "x" * 300 + "\n"


def test_progress_without_a_terminal_is_a_line_every_ten_seconds(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress("training", 2000, done=1000) as tick:
        for _ in range(30):
            now += 1.0
            tick(10, note="loss 0.5")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "training: 1,100 of 2,000, 1 min 30 s left loss 0.5",
        "training: 1,200 of 2,000, 1 min 20 s left loss 0.5",
        "training: 1,300 of 2,000, 1 min 10 s left loss 0.5",
    ]


def test_progress_without_a_terminal_can_be_silent(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress("training", 20, lines=False) as tick:
        now += 60
        tick()
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(logs, "console", Console(file=screen, force_terminal=True, width=100))
    with progress("training", 20, done=5) as tick:
        tick(10, note="loss 0.5")
        tick()
    assert "training" in screen.getvalue()
    assert "16/20" in screen.getvalue()
    assert "loss 0.5" in screen.getvalue()


def scalars(folder, name):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder))
    reader.Reload()
    return [(event.step, round(event.value, 6)) for event in reader.Scalars(name)]


def test_tensorboard_reads_the_events(tmp_path):
    board = TensorBoard(tmp_path, None)
    board.write({"step": 5, "epoch": 0.5, "train/loss": 2.25, "val/top1": None})
    board.write({"step": 10, "epoch": 1.0, "train/loss": 1.5, "val/top1": 0.75})
    board.close()
    assert scalars(tmp_path, "train/loss") == [(5, 2.25), (10, 1.5)]
    assert scalars(tmp_path, "val/top1") == [(10, 0.75)]


def test_resumed_events_replace_those_of_the_broken_run(tmp_path, monkeypatch):
    clock = time.time
    first = TensorBoard(tmp_path, None)
    for step in range(1, 11):
        first.write({"step": step, "lr": 1.0})
    first.close()
    monkeypatch.setattr(time, "time", lambda: clock() + 60)  # event files are named by the second
    second = TensorBoard(tmp_path, 6)
    for step in range(6, 9):
        second.write({"step": step, "lr": 2.0})
    second.close()
    assert scalars(tmp_path, "lr") == [(step, 1.0) for step in range(1, 6)] + [(step, 2.0) for step in range(6, 9)]


def test_tensorboard_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    board = TensorBoard(tmp_path, None)
    board.write({"step": 1, "lr": 0.1})
    board.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [0, 1, 2.5, True])
def test_tensorboard_takes_any_number(tmp_path, value):
    board = TensorBoard(tmp_path, None)
    board.write({"step": 1, "x": value})
    board.close()
    assert scalars(tmp_path, "x") == [(1, float(value))]


def test_brackets_in_a_path_are_no_markup(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(logs, "console", Console(file=screen, force_terminal=True, width=100))
    with progress("preparing folder:[/old] [red]", 20) as tick:
        tick(10, note="[/b]")
    for text in ("folder:[/old] [red]", "[/b]"):
        assert text in screen.getvalue()
