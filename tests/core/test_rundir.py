"""The paths of a run folder, as scripts rely on them."""

from pathlib import Path

import pytest

from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir


def test_names_are_those_of_the_contract(tmp_path):
    run = RunDir(str(tmp_path))
    paths = [run.config, run.environment, run.metrics, run.checkpoints, run.figures]
    paths += [run.evaluation("test"), run.predictions("val")]
    names = "config.json environment.json metrics.jsonl checkpoints figures eval/test.json predictions/val.csv"
    assert [str(path.relative_to(tmp_path)) for path in paths] == names.split()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_config_is_a_run(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert RunDir.existing(tmp_path).root == Path(tmp_path)


def test_a_new_run_needs_room(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "new" / "run", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert RunDir.new(root).root == root
    for root in (tmp_path, tmp_path / "file"):
        with pytest.raises(UserError, match="exists and is not empty; name a new folder with --to"):
            RunDir.new(root, flag="--to")
    with pytest.raises(
        UserError, match=r"run cannot be used, since .*file is no folder; name another folder with --workdir"
    ):
        RunDir.new(tmp_path / "file" / "a" / "run")
    assert not (tmp_path / "new").exists()


def test_another_folder_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"is no run folder: it has no config\.json; name the --workdir"):
        RunDir.existing(tmp_path)
    with pytest.raises(UserError, match="is no run folder: it does not exist; name the --workdir"):
        RunDir.existing(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
