"""The scripts of launch/ hand their arguments on, in a checkout whose Python only writes down what it is told."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path):
    shutil.copytree(ROOT / "launch", tmp_path / "launch")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/usr/bin/env bash\necho "$@" >> {tmp_path / "calls"}\n')
    python.chmod(0o755)
    return tmp_path


def calls(checkout, script, *words):
    """What Python is told, installing first; the second start of a checkout installs nothing."""
    subprocess.run(["bash", checkout / "launch" / script, *words], check=True, capture_output=True)
    said = (checkout / "calls").read_text().splitlines()
    (checkout / "calls").unlink()
    return said


def test_local(checkout):
    install, default = calls(checkout, "local.sh")
    assert install.endswith("--editable .")
    assert default == "-m cnnjax.main --config configs/lenet_digits.py"
    words = ("--config", "configs/own_images.py", "--config.data.source=folder:images")
    assert calls(checkout, "local.sh", *words) == [" ".join(("-m cnnjax.main", *words))]


def test_test(checkout):
    install, quick = calls(checkout, "test.sh", "tests/augment", "-x")
    assert install.endswith("--editable .[test]")
    assert quick == "-m pytest --numprocesses 2 --dist worksteal -m not slow tests/augment -x"
    assert calls(checkout, "test.sh", "--all", "-x") == ["-m pytest --numprocesses 2 --dist worksteal -x"]
