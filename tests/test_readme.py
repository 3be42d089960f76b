"""The documents say what is true: their commands are understood, their files exist, their Python runs."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax import cli, recipes, verbs

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "BUILD.md", *sorted((ROOT / "configs").glob("*.py"))]
COMMAND = re.compile(
    r"(?:IMAGENET_DIR=\S+ )?"
    r"(?:bash launch/local\.sh|\S*python -m cnnjax\.main"
    rf"|\S*cnnjax(?= (?:{'|'.join(verbs.VERBS)})\b))"
)


def commands():
    for document in DOCUMENTS:
        for line in document.read_text().splitlines():
            words = re.sub(r"\s(#|  ).*", "", line.strip())
            found = COMMAND.match(words)
            if found and line.startswith("    ") and "|" not in words.split("--config")[0]:
                yield pytest.param(words, id=f"{document.name}: {words[:70]}")


@pytest.mark.parametrize("line", list(commands()))
def test_command_is_understood(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(line)
    words = [word for word in words if "=" not in word or word.startswith("--")]
    if words[0] == "bash":
        assert (ROOT / words[1]).is_file()
        words = ["train", *(words[2:] or ["--config", "configs/lenet_digits.py"])]
    elif "cnnjax.main" in words:
        words = ["train", *words[words.index("cnnjax.main") + 1 :]]
    else:
        words = words[1:]
    if "FILE[:variant]" in words:
        return
    name, rest = words[0], words[1:]
    flag, overrides, paths = cli._parse(verbs.VERBS[name], rest)
    assert not paths or verbs.VERBS[name].files
    if "config" in flag and flag.config:
        assert recipes.load(flag.config, overrides)


def test_all_verbs_are_named_in_order():
    listed = re.search(r"    cnnjax (train \|[\w\s|]*?)\n.*each with", (ROOT / "README.md").read_text()).group(1)
    assert listed.split(" | ") == list(verbs.VERBS)


def test_files_that_are_named_exist():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([\w/.]+)\)|`((?:configs|tests|launch|cnnjax|docs)/[\w/.]+)`", text):
        name = path[0] or path[1]
        assert (ROOT / name).exists(), name
    tree = re.search(r"```\ncnnjax/\n(.*?)```", text, re.DOTALL).group(1)
    for line in tree.splitlines():
        name = line.split()[0]
        inside = ROOT / ("cnnjax" if line.startswith("  ") else "") / name
        assert inside.exists(), name


def test_nets_are_counted():
    from cnnjax.models.base import MODELS

    nets, families = re.search(
        r"^(\d+) models of (\d+) families", (ROOT / "README.md").read_text(), re.MULTILINE
    ).groups()
    own = [entry.card.family for name, entry in MODELS.items() if "/" not in name and entry.home.startswith("cnnjax.")]
    assert (len(own), len(set(own))) == (int(nets), int(families))


def test_python_example_runs(tmp_path, monkeypatch):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    from sklearn.datasets import load_digits

    digits = load_digits()
    for name, digit in (("four", 4), ("seven", 7)):
        scan = digits.images[digits.target == digit][0]
        Image.fromarray((scan * 255 / 16).astype(np.uint8)).save(f"{name}.png")
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL).group(1)
    found = {}
    exec(code, found)
    assert found["probabilities"].shape == (2, 10)
    assert found["report"]["count"] == 360
