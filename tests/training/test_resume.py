"""A run that is killed and started again is the unbroken run, to the bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnnjax.config import Experiment, TrainConfig, from_json, override
from cnnjax.core import trees
from cnnjax.core.errors import RunError, UserError
from cnnjax.core.logs import read_metrics
from cnnjax.core.rundir import RunDir
from cnnjax.run import train
from cnnjax.runs.actions import evaluate
from cnnjax.runs.run import open_run, saved_config
from cnnjax.training.loop import decide
from cnnjax.training.state import Progress

pytestmark = pytest.mark.usefixtures("no_curves")

TIMING = ("images_per_s", "data_wait")


class Killed(Exception):
    """Stands for the power going out."""


def kill_at(step):
    def on_log(record):
        if record["step"] == step:
            raise Killed

    return on_log


def trace(workdir):
    """What a run logged, without the clock, and the digest of what it learned."""
    records = [{k: v for k, v in r.items() if k not in TIMING} for r in read_metrics(RunDir(workdir).metrics)]
    return records, evaluate(workdir, checkpoint="last")["params_digest"]


@pytest.mark.parametrize(
    "changes",
    [
        {"data__loader": "resident"},
        {"data__loader": "streamed", "data__threads": 1},
        {"data__loader": "streamed", "data__threads": 2, "train__ema": 0.9, "optimizer__name": "adam"},
        {"train__log_every": 7, "optimizer__schedule": "plateau", "optimizer__plateau_patience": 1},
        {"train__accumulate": 2, "augment__flip": True, "augment__mixup": 0.2},
    ],
    ids=lambda changes: "-".join(f"{key}={value}" for key, value in changes.items()),
)
def test_broken_run_equals_unbroken(tiny, tmp_path, changes):
    config = tiny(**changes)
    train(config, tmp_path / "whole")
    logged = [record["step"] for record in read_metrics(RunDir(tmp_path / "whole").metrics)]
    assert len(logged) >= 3
    assert logged == sorted(set(logged)), "each step is logged once"
    for killed in (logged[1], logged[-2]):
        with pytest.raises(Killed):
            train(tiny(**changes, train__checkpoint_every=0), tmp_path / "broken", callbacks=[kill_at(killed)])
    train(config, tmp_path / "broken")
    assert trace(tmp_path / "broken") == trace(tmp_path / "whole")


def test_threads_and_loader_do_not_change_a_bit(tiny, tmp_path):
    train(tiny(data__loader="resident"), tmp_path / "a")
    train(tiny(data__loader="streamed", data__threads=3, data__prefetch=1), tmp_path / "b")
    assert trace(tmp_path / "a") == trace(tmp_path / "b")


def test_one_run_folder_takes_one_training(tiny, tmp_path):
    told = []

    def second(record):
        with pytest.raises(UserError, match=r"another training is at work in .*run; wait until it ends, or name") as it:
            train(tiny(), tmp_path / "run")
        told.append(it)

    train(tiny(train__steps=2), tmp_path / "run", callbacks=[second])
    assert len(told) == 2
    assert train(tiny(train__steps=2), tmp_path / "run")["count"] == 30, "nobody holds it any more"


def start(archive, workdir):
    recipe = workdir.parent / "recipe.py"
    recipe.write_text(
        "from cnnjax.config import DataConfig, Experiment, ModelConfig, TrainConfig\n"
        f"config = Experiment(data=DataConfig(source='arrays:{archive}', batch_size=8, val_fraction=0.2),\n"
        "    model=ModelConfig(name='plain:conv8 >> relu >> pool >> fc16 >> relu'),\n"
        "    train=TrainConfig(epochs=120, log_every=10, eval_every=30, checkpoint_every=0.1, tensorboard=False))\n"
    )
    command = [sys.executable, "-m", "cnnjax.main", "--config", str(recipe), "--workdir", str(workdir)]
    environment = {**os.environ, "XLA_FLAGS": "", "CNNJAX_DATA_DIR": str(workdir.parent / "data")}
    with open(workdir.parent / "stderr", "w") as told:
        return subprocess.Popen(command, stderr=told, env=environment)


def wait_for_step(workdir, step, process):
    for _ in range(1200):
        records = read_metrics(RunDir(workdir).metrics)
        if records and records[-1]["step"] >= step and list(RunDir(workdir).checkpoints.glob("[1-9]*")):
            return records[-1]["step"]
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.02)
    raise AssertionError("the run does not get on")


def test_signals(archive, tmp_path, monkeypatch):
    """SIGKILL loses nothing that was saved; SIGTERM and Ctrl-C save first, exit 143 and 130, and tell how to go on."""
    monkeypatch.setenv("CNNJAX_DATA_DIR", str(tmp_path / "data"))
    whole, broken, reached = tmp_path / "whole", tmp_path / "broken", 0
    assert start(archive, whole).wait(120) == 0
    for number, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        process = start(archive, broken)
        reached = wait_for_step(broken, reached + 200, process)
        process.send_signal(number)
        assert process.wait(60) == status
        said = (tmp_path / "stderr").read_text()
        if status > 0:
            assert "cnnjax: stopped and saved at step" in said
            assert "; the same command goes on from there" in said
            assert "Traceback" not in said
    assert start(archive, broken).wait(120) == 0
    assert "training: going on, steps" in (tmp_path / "stderr").read_text()
    assert trace(broken) == trace(whole)


def test_finished_run_says_so(tiny, tmp_path, capsys):
    first = train(tiny(), tmp_path / "run")
    capsys.readouterr()
    again = train(tiny(), tmp_path / "run")
    assert again == first
    assert "is finished" in capsys.readouterr().err


@pytest.mark.parametrize(("side", "stated"), [(8, True), (6, False)])
def test_same_crop_of_prepared_images_is_the_same_run(tiny, tmp_path, capsys, side, stated):
    """Of 12 pixels a crop of 8 moves no cut, one of 6 does; stated or taken from the model's input, it is kept."""
    config = tiny(data__resize="center", data__size=(12, 12), model__input_size=(side, side, 1), train__steps=1)
    if stated:
        config = override(config, {"data.center_crop": (side, side)})
    first = train(config, tmp_path / "run")
    assert saved_config(RunDir(tmp_path / "run")).data.center_crop == (side, side)
    assert train(config, tmp_path / "run") == first
    assert "is finished" in capsys.readouterr().err


def test_other_flags_of_xla_are_reported(tiny, tmp_path, monkeypatch, capsys):
    """Flags belong to the environment that made the first bits; a run from before they were noted had none."""
    environment = RunDir(tmp_path / "run").environment
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=-reduce")
    train(tiny(train__epochs=1), tmp_path / "run")
    kept = json.loads(environment.read_text())
    assert kept["xla_flags"] == ["xla_cpu_experimental_ynn_fusion_type=-reduce"]
    train(tiny(train__epochs=2), tmp_path / "run")
    assert "has changed" not in capsys.readouterr().err
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_experimental_ynn_fusion_type=+reduce")
    train(tiny(train__epochs=3), tmp_path / "run")
    reported = (
        "has changed (xla_flags was ['xla_cpu_experimental_ynn_fusion_type=-reduce']): the run goes on, but not to"
    )
    assert reported in capsys.readouterr().err
    environment.write_text(json.dumps({name: value for name, value in kept.items() if name != "xla_flags"}))
    train(tiny(train__epochs=4), tmp_path / "run")
    assert "has changed (xla_flags was [])" in capsys.readouterr().err


def test_report_of_an_earlier_end_is_not_the_report_of_this_one(tiny, tmp_path, monkeypatch):
    """The longer run is killed after its last checkpoint and before its evaluation."""
    train(tiny(train__epochs=1), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("cnnjax.run._finish", lambda *arguments, **options: {})
        train(tiny(train__epochs=3), tmp_path / "run")
    report = train(tiny(train__epochs=3), tmp_path / "run")
    assert report["step"] == open_run(tmp_path / "run").step
    assert report == json.loads(RunDir(tmp_path / "run").evaluation("test").read_text())
    evaluate(tmp_path / "run", checkpoint="last")
    assert train(tiny(train__epochs=3), tmp_path / "run") == report


def test_evaluation_is_of_the_images_of_the_run(tiny, tmp_path, archive):
    """Other images at the old place are refused; where the source is gone, the prepared copy serves."""
    path = tmp_path / "moving.npz"
    path.write_bytes(archive.read_bytes())
    report = train(tiny(data__source=f"arrays:{path}"), tmp_path / "run")
    path.unlink()
    assert evaluate(tmp_path / "run") == report
    shutil.rmtree(open_run(tmp_path / "run").dataset.folder)
    with np.load(archive) as arrays:
        changed = {name: arrays[name] for name in arrays}
    changed["x_test"] = changed["x_test"][::-1]
    np.savez(path, **changed)
    with pytest.raises(UserError, match="no longer holds the images that the run was trained on"):
        evaluate(tmp_path / "run")


def test_readers_leave_a_save_under_way_alone(tiny, tmp_path):
    train(tiny(train__epochs=1), tmp_path / "run")
    under_way = RunDir(tmp_path / "run").checkpoints / "99.orbax-checkpoint-tmp"
    (under_way / "state").mkdir(parents=True)
    open_run(tmp_path / "run")
    time.sleep(0.5)
    assert under_way.is_dir()


def test_start_that_broke_off_early_begins_again(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".config.json.abc").touch()
    (tmp_path / "run" / "failure.log").touch()
    assert train(tiny(train__epochs=1), tmp_path / "run")["count"] == 30


def test_longer_run_goes_on_where_the_schedule_allows(tiny, tmp_path):
    train(tiny(), tmp_path / "run")
    train(tiny(train__epochs=5), tmp_path / "run")
    train(tiny(train__epochs=5), tmp_path / "whole")
    # the shorter run validated at its own end, which the longer one does not know: compare what both have
    assert trace(tmp_path / "run")[1] == trace(tmp_path / "whole")[1]
    train(tiny(optimizer__schedule="cosine"), tmp_path / "bound")
    with pytest.raises(UserError, match=r"another config.*train.epochs was 3.0, now 5.0"):
        train(tiny(optimizer__schedule="cosine", train__epochs=5), tmp_path / "bound")


def test_another_config_is_refused_and_nothing_written(tiny, tmp_path):
    train(tiny(), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "run").rglob("*"))}
    with pytest.raises(UserError, match=r"config.optimizer.lr was 0.05, now 0.1.*--workdir"):
        train(tiny(optimizer__lr=0.1), tmp_path / "run")
    assert before == {path: path.stat().st_mtime_ns for path in sorted((tmp_path / "run").rglob("*"))}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is no run folder"):
        train(tiny(), tmp_path / "other")
    train(tiny(data__threads=2, train__log_every=50), tmp_path / "run")  # these cannot change the result


def test_damaged_checkpoint_is_refused(tiny, tmp_path):
    train(tiny(optimizer__momentum=0.0), tmp_path / "run")  # so that all but a few bytes are of the parameters
    run = open_run(tmp_path / "run", checkpoint="last")
    data = max(
        (RunDir(tmp_path / "run").checkpoints / str(run.step)).rglob("d/*"), key=lambda path: path.stat().st_size
    )
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(UserError, match=f"checkpoint {run.step} .* cannot be read"):
        open_run(tmp_path / "run", checkpoint="last")


def test_another_net_in_a_run_that_began_with_weights(tiny, tmp_path):
    """The sentence is of the run folder, not of the weights, which it has long since taken."""
    train(tiny(train__steps=1), tmp_path / "first")
    began = {"train__steps": 1, "model__init": str(tmp_path / "first")}
    train(tiny(**began), tmp_path / "run")
    with pytest.raises(
        UserError, match=r"run is the run folder of another config \(config.model.name was .*, now plain:"
    ):
        train(tiny(**began, model__name="plain:fc8"), tmp_path / "run")
    with pytest.raises(UserError, match=r"config.model.init=.*first holds a plain:.*set config.model.name="):
        train(tiny(**began, model__name="plain:fc8"), tmp_path / "new")


def test_what_is_gone_or_damaged_in_a_run_folder_is_told(tiny, tmp_path):
    train(tiny(train__epochs=6, optimizer__lr=0.0, model__dropout=0.0), tmp_path / "run")  # the first is the best
    run = RunDir(tmp_path / "run")
    description = run.dataset.read_text()
    run.dataset.write_text("{}")
    with pytest.raises(UserError, match=r"dataset.json does not describe a data set; restore it from a copy"):
        open_run(run.root)
    run.dataset.unlink()
    with pytest.raises(UserError, match=r"dataset.json is gone or cannot be read; restore it from a copy"):
        open_run(run.root)
    run.dataset.write_text(description)
    with pytest.raises(UserError, match="checkpoint=beste is neither best nor last"):
        open_run(run.root, checkpoint="beste")
    best, last = open_run(run.root).step, open_run(run.root, checkpoint="last").step
    assert best < last
    shutil.rmtree(run.checkpoints / str(best))
    with pytest.raises(UserError, match=f"has lost the best checkpoint, of step {best}; use --checkpoint last"):
        open_run(run.root)
    assert open_run(run.root, checkpoint="last").step == last
    (run.checkpoints / str(last) / "meta" / "metadata").write_text("{}")
    with pytest.raises(UserError, match=f"checkpoint {last} .* cannot be read"):
        open_run(run.root, checkpoint="last")


def test_non_finite_loss_stops_the_run_and_keeps_the_last_checkpoint(tiny, tmp_path):
    config = tiny(optimizer__lr=1e38, train__checkpoint_every=0, optimizer__warmup_epochs=2)
    with pytest.raises(RunError, match=r"not finite at step \d+ \(the checkpoint of step \d+ is kept\)"):
        train(config, tmp_path / "run")
    kept = open_run(tmp_path / "run", checkpoint="last")
    assert all(np.isfinite(leaf).all() for leaf in trees.flatten(kept.variables).values())


def test_non_finite_validation_stops_the_run(tiny, tmp_path):
    """The last step's own loss is finite; what it makes of the weights shows in the validation alone."""
    with pytest.raises(RunError, match=r"validation loss is not finite at step 1 \(no checkpoint was due before\)"):
        train(tiny(optimizer__lr=1e38, train__steps=1), tmp_path / "run")
    assert not RunDir(tmp_path / "run").checkpoints.exists()


def test_best_is_kept_beside_last(tiny, tmp_path):
    train(tiny(train__epochs=6), tmp_path / "run")
    records = [record for record in read_metrics(RunDir(tmp_path / "run").metrics) if "val/top1" in record]
    best = max(records, key=lambda record: (record["val/top1"], -record["val/loss"], -record["step"]))
    assert open_run(tmp_path / "run").step == best["step"]
    assert open_run(tmp_path / "run", checkpoint="last").step == records[-1]["step"]
    kept = {path.name for path in RunDir(tmp_path / "run").checkpoints.iterdir() if path.name.isdigit()}
    assert kept == {str(best["step"]), str(records[-1]["step"])}


def test_saved_config_is_json_and_complete(tiny, tmp_path):
    config = tiny()
    train(config, tmp_path / "run")
    saved = from_json(json.loads(RunDir(tmp_path / "run").config.read_text()))
    assert saved.model.num_classes == 3
    assert saved.model.input_size == (12, 12, 1)
    assert not list((tmp_path / "run").rglob("*.py"))


def test_of_equal_accuracies_the_lower_loss_is_the_best():
    progress, config = Progress(), Experiment(train=TrainConfig(early_stopping=3))
    for step, (top1, loss) in enumerate([(0.8, 0.5), (0.8, 0.4), (0.8, 0.4), (0.7, 0.1)], 1):
        reason = decide(config, progress, {"val/top1": top1, "val/loss": loss}, step)
    assert (progress.best, progress.best_loss, progress.best_step, progress.stale) == (0.8, 0.4, 2, 3)
    assert reason == "no better validation top-1 in 3 validations"
