"""The command line as a user meets it: results on stdout, mistakes answered by one sentence and exit status 2."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax import verbs
from cnnjax.cli import main

ROOT = Path(__file__).parents[1]
LONG = 300 * "x"
RECIPE = """
from cnnjax.config import DataConfig, Experiment, ModelConfig, TrainConfig
config = Experiment(
    data=DataConfig(source="folder:{folder}", resize="squash", size=(12, 12), batch_size=8, val_fraction=0.1),
    model=ModelConfig(name="plain:conv4 >> relu >> pool"),
    train=TrainConfig(epochs=3, log_every=2),
)
variants = {{"smoke": {{"train.steps": 2}}}}
"""


@pytest.fixture
def folder(tmp_path):
    """Forty little images in two class folders."""
    rng = np.random.default_rng(0)
    for name, level in (("cats", 40), ("dogs", 160)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(level, level + 60, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def recipe(folder, tmp_path, monkeypatch):
    path = tmp_path / "pets.py"
    path.write_text(RECIPE.format(folder=folder))
    monkeypatch.chdir(tmp_path)
    return str(path)


def call(capsys, *words):
    status = main(words)
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_whole_way(recipe, folder, capsys):
    status, out, _ = call(capsys, "prepare", "--config", recipe)
    assert status == 0
    assert "2 classes, 12x12x3" in out
    status, out, err = call(capsys, "train", "--config", recipe)
    assert (status, out) == (0, "")
    assert "test: top-1 " in err
    run = Path("runs/pets")
    for name in (
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "eval/test.json",
        "figures/curves.png",
        "report.html",
    ):
        assert (run / name).is_file(), name
    assert list(run.glob("events.*"))
    status, out, _ = call(capsys, "evaluate", "--workdir", str(run), "--json")
    report = json.loads(out)
    assert status == 0
    assert report["count"] == 8
    assert report == json.loads((run / "eval/test.json").read_text())
    assert report["top5"] is None
    status, out, _ = call(capsys, "evaluate", "--workdir", str(run), "--split", "val", "--checkpoint", "last")
    assert status == 0
    assert "log_loss" in out
    status, out, _ = call(capsys, "predict", "--workdir", str(run), str(folder / "cats"), "--json", "--top", "1")
    assert status == 0
    results = json.loads(out)
    assert len(results) == 20
    assert {result["classes"][0]["name"] for result in results} <= {"cats", "dogs"}
    status, out, _ = call(capsys, "summary", "--workdir", str(run), "--json")
    assert status == 0
    assert json.loads(out)["params_digest"] == json.loads((run / "eval/test.json").read_text())["params_digest"]


def test_variant_has_a_folder_of_its_own(recipe, capsys):
    assert main(["train", "--config", f"{recipe}:smoke"]) == 0
    assert Path("runs/pets_smoke/eval/test.json").is_file()


def test_repeat(recipe, capsys):
    status, _, err = call(capsys, "train", "--config", f"{recipe}:smoke", "--repeat", "2", "--workdir", "both")
    assert status == 0
    assert "top-1 over 2 seeds" in err


def test_overrides_in_any_order_and_print_config(recipe, capsys):
    words = ["--config.optimizer.lr=0.5", "--config", recipe, "--print_config", "--config.train.epochs", "7"]
    status, out, _ = call(capsys, "train", *words)
    assert status == 0
    assert "config.optimizer.lr = 0.5  (command line)" in out
    assert "config.train.epochs = 7.0  (command line)" in out
    assert f"config.data.resize = squash  ({recipe})" in out
    assert "config.model.remat = False  (default)" in out
    assert not Path("runs").exists()


def test_summary_without_data(capsys):
    status, out, _ = call(capsys, "summary", "--model", "table_cnn", "--json")
    document = json.loads(out)
    assert status == 0
    assert (document["params"], document["input"], document["params_digest"]) == (59810, [28, 28, 1], None)
    assert [layer["activation_size"] for layer in document["layers"]] == [784, 6272, 1568, 1600, 400, 400, 120, 64, 10]
    status, out, _ = call(capsys, "summary", "--model", "mlp", "--input", "224x224x3", "--num_classes", "128")
    assert status == 0
    status, out, _ = call(capsys, "summary", "--config", str(ROOT / "configs/alexnet_imagenet.py"))
    assert status == 0
    assert "60,965,224" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], None),
        (["trian"], "unknown verb trian; did you mean train?"),
        (["train"], "--config is missing"),
        (["train", "--config", "pet.py"], "no config file pet.py; did you mean pets.py?"),
        (["train", "--config", "{recipe}:smok"], "no variant smok; did you mean smoke?"),
        (["train", "--confg", "x"], "unknown flag --confg; did you mean --config?"),
        (["train", "--config", "{recipe}", "--epochs", "5"], "did you mean --config.train.epochs?"),
        (["train", "--config", "{recipe}", "--optimizer.lr=5"], "did you mean --config.optimizer.lr?"),
        (["train", "--config", "{recipe}", "--batch-size=5"], "did you mean --config.data.batch_size?"),
        (["train", "--config", "{recipe}", "now"], "train takes no argument now"),
        (["train", "--config", "{recipe}", "--config.optimizer.lrr=3"], "did you mean config.optimizer.lr?"),
        (["train", "--config", "{recipe}", "--config.lr=3"], "did you mean config.optimizer.lr?"),
        (["train", "--config", "{recipe}", "--config.data.batch_size=many"], "is not a whole number"),
        (["train", "--config", "{recipe}", "--config.train.epochs"], "has no value"),
        (["train", "--config", "{recipe}", "--config.data.val_fraction=2"], "between 0 and 0.9"),
        (["train", "--config", "{recipe}", "--config.data.source=folder:nowhere"], "nowhere"),
        (["train", "--config", "{recipe}", "--config.data.batch_size=9"], "the nearest that is: 8 or 16"),
        (["train", "--config", "{recipe}", "--config.model.name=lenet55"], "did you mean lenet5?"),
        (["train", "--config", "{recipe}", "--config.model.name=table_cnn", "--config.data.size=4,4"], "at least"),
        (["evaluate", "--workdir", "nowhere"], "nowhere is no run folder"),
        (["evaluate", "--workdir", "images"], "images is no run folder: it has no config.json"),
        (["predict", "--workdir", "nowhere", "x.png"], "no run folder"),
        (["train", "--config", "{recipe}", "--config.optimizer.name=adma"], "did you mean adam"),
        (["train", "--config", "{recipe}", "--workdir", "pets.py/x"], "pets.py is no folder; name another"),
        (["train", "--config", "{recipe}", "--workdir", LONG], "bytes there; name another folder with --workdir"),
        (["train", "--config", "{recipe}", "--data_dir", LONG], "is too long a name"),
        (["train", "--config", LONG], "is too long a name for this file system; give a shorter one"),
        (["evaluate", "--workdir", LONG], "is too long a name"),
        (["summary", "--model", "mlp", "--config.train.epochs=1"], "overrides belong to a recipe"),
        (["summary", "--config", "{recipe}", "--num_classes", "3"], "belong to --model"),
        (["summary", "--config", "{recipe}", "--config.model.name=knn"], "knn compares images and learns nothing"),
        (["summary", "--model", "knn"], "knn compares images and learns nothing"),
        (["summary"], "one of --config FILE, --workdir RUN and --model NAME"),
        (["summary", "--model", "lenet5", "--input", "28x28"], "is not HxWxC"),
        (["summary", "--model", "resnet5000"], "unknown model resnet5000"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_mistakes(recipe, tmp_path, capsys, words, sentence):
    before = sorted(path for path in tmp_path.rglob("*") if "images" not in path.parts)
    status, out, err = call(capsys, *(word.format(recipe=recipe) for word in words))
    assert status == 2
    if sentence:
        assert out == ""
        assert err.startswith("cnnjax: ")
        assert sentence in err
        assert len(err.splitlines()) == 1
    assert before == sorted(path for path in tmp_path.rglob("*") if "images" not in path.parts), "nothing is written"


def test_bad_data_folders(recipe, folder, capsys):
    def refused(sentence):
        status, _, err = call(capsys, "train", "--config", recipe)
        assert status == 2
        assert sentence in err
        assert len(err.splitlines()) == 1
        assert not Path("runs").exists()

    (folder / "birds").mkdir()
    refused("birds")
    (folder / "birds").rmdir()
    image = folder / "cats" / "3.png"
    content = image.read_bytes()
    image.write_bytes(content[: len(content) // 2])
    refused("3.png")
    image.write_bytes(content)
    for path in (folder / "dogs").iterdir():
        path.rename(folder / "cats" / f"dog{path.name}")
    (folder / "dogs").rmdir()
    refused("one class")


def test_a_net_of_ones_own_is_found_by_the_run_folder_alone(recipe, folder, tmp_path):
    (tmp_path / "my_nets.py").write_text(
        "import cnnjax\nfrom cnnjax.models.plain import Plain\n"
        "@cnnjax.register_model('mine', input_size=(12, 12, 3))\n"
        "class Mine(Plain):\n    pattern: str = 'conv4 >> relu >> pool'\n"
    )
    Path(recipe).write_text(
        "import my_nets\n" + Path(recipe).read_text().replace("plain:conv4 >> relu >> pool", "mine")
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*words):
        return subprocess.run([sys.executable, "-m", "cnnjax", *words], capture_output=True, text=True, env=environment)

    assert run("train", "--config", f"{recipe}:smoke", "--workdir", "run").returncode == 0
    done = run("predict", "--workdir", "run", str(folder / "cats" / "3.png"), "--json")
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 1)
    (tmp_path / "my_nets.py").unlink()
    done = run("predict", "--workdir", "run", str(folder / "cats" / "3.png"))
    assert done.returncode == 2
    assert done.stderr.startswith("cnnjax: my_nets:mine: there is no module my_nets in ")


def test_no_space_for_the_cache(recipe, capsys, monkeypatch):
    monkeypatch.setattr("cnnjax.core.files.shutil.disk_usage", lambda path: type("usage", (), {"free": 1000}))
    status, _, err = call(capsys, "train", "--config", recipe)
    assert status == 2
    assert "--data_dir" in err
    assert not Path("runs").exists()


def test_run_of_another_config_and_unreadable_checkpoint(recipe, capsys):
    assert main(["train", "--config", recipe]) == 0
    capsys.readouterr()
    status, _, err = call(capsys, "train", "--config", recipe, "--config.optimizer.lr=0.5")
    assert status == 2
    assert "config.optimizer.lr was 0.01, now 0.5" in err
    for path in Path("runs/pets/checkpoints").rglob("d/*"):
        path.write_bytes(b"")
    status, _, err = call(capsys, "evaluate", "--workdir", "runs/pets")
    assert status == 2
    assert "cannot be read" in err
    assert len(err.splitlines()) == 1


def test_a_verb_that_reads_a_run_leaves_no_log_in_it(recipe, folder, capsys, monkeypatch):
    assert main(["train", "--config", f"{recipe}:smoke", "--workdir", "run"]) == 0
    monkeypatch.setattr("cnnjax.runs.actions.predict", lambda *a, **k: 1 / 0)
    capsys.readouterr()
    status, _, err = call(capsys, "predict", "--workdir", "run", str(folder))
    assert (status, len(err.splitlines())) == (1, 1)
    log = Path(err.split("the traceback is in ")[1].strip())
    assert "ZeroDivisionError" in log.read_text()
    assert not Path("run/failure.log").exists()


def test_sigterm_before_a_save_promises_no_more_than_there_is(recipe, capsys, monkeypatch):
    monkeypatch.setattr("cnnjax.data.prepare", lambda *a, **k: os.kill(os.getpid(), signal.SIGTERM))
    status, _, err = call(capsys, "train", "--config", recipe)
    assert status == 143
    assert err == "cnnjax: stopped; the same command begins again where the last saved piece ends\n"
    assert not Path("runs").exists()


def test_a_data_dir_that_is_no_folder_is_one_sentence(recipe):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("JAX_COMPILATION_CACHE_DIR")
    words = ["train", "--config", recipe, "--data_dir", recipe]
    done = subprocess.run([sys.executable, "-m", "cnnjax", *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("cnnjax: ")
    assert len(done.stderr.splitlines()) == 1


def test_unexpected_failure_is_one_sentence_with_a_log(recipe, capsys, monkeypatch):
    monkeypatch.setattr("cnnjax.run.evaluate", lambda *a, **k: 1 / 0)
    assert main(["train", "--config", f"{recipe}:smoke", "--workdir", "run"]) == 1
    err = capsys.readouterr().err
    assert "cnnjax: ZeroDivisionError: division by zero; the traceback is in run/failure.log" in err
    assert "Traceback" not in err
    assert "ZeroDivisionError" in Path("run/failure.log").read_text()


def test_failure_on_a_full_disk_is_one_sentence_too(recipe, capsys, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("cnnjax.run.train", full)
    monkeypatch.setattr("cnnjax.cli.tempfile.mkdtemp", full)
    status, _, err = call(capsys, "train", "--config", recipe)
    assert status == 1
    assert err == "cnnjax: OSError: [Errno 28] No space left on device; " + (
        "the traceback could not be written; --debug shows it\n"
    )


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["train", "--help"], ["models", "--json"]])
def test_output_may_be_cut_off(words):
    """As by `| head`: what is short stays in Python's buffer, and would fail when Python ends."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONUNBUFFERED", None)
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "cnnjax", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_main_module_and_version(recipe):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (["cnnjax.main", "--config", "nothing.py"], ["cnnjax", "train", "--config", "nothing.py"]):
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment)
        assert done.returncode == 2
        assert done.stderr.startswith("cnnjax: no config file nothing.py")
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    for verb in ("train", "prepare", "evaluate", "predict", "summary"):
        assert main([verb, "--help"]) == 0


def test_help_names_all_that_a_list_can_have():
    from cnnjax import explain, robustness
    from cnnjax.explain.study import OTHERS
    from cnnjax.optim import ATTACKS
    from cnnjax.verbs import TEXTS

    for flag, names in {
        "method": [*explain.METHODS, *OTHERS],
        "test": [*robustness.CHANGES, "corruptions"],
        "attack": list(ATTACKS),
    }.items():
        words = TEXTS[flag].replace(",", " ").replace(";", " ").split()
        assert set(names) <= set(words), flag


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("soup",), "--workdir is missing; give the run folders, A,B,C"),
        (("predict", "a.png"), "--workdir is missing; give the run folder, or several"),
        (("models", "--json", "--markdown"), "--json and --markdown both want stdout; give one of them"),
        (("report", "a", "--config.train.seed=1"), "report reads no recipe, so it takes no --config.train.seed"),
    ],
)
def test_what_is_missing_or_too_much(capsys, words, sentence):
    status, out, err = call(capsys, *words)
    assert (status, out) == (2, "")
    assert sentence in err


def test_the_table_of_a_report_has_figures_alone():
    from cnnjax import tables

    report = {"top1": 17 / 18, "top5": None, "scales": [1.0], "classes": ["a", "b"], "confusion": [[1, 0], [0, 1]]}
    shown = tables.evaluation(report | {"per_class": [{"name": "a"}], "intervals": {"top1": [0.25, 0.75]}})
    assert [line.split() for line in shown.splitlines()] == [
        ["top1", "0.944444", "0.25", "to", "0.75"],
        ["top5", "-"],
        ["scales", "[1.0]"],
    ]


def test_classes_of_one_name_are_told_apart_by_their_keys(tmp_path):
    (tmp_path / "words.txt").write_text("n2012849\tcrane\nn1440764\ttench, Tinca tinca\nn3126707\tcrane\n\n")
    names = ["crane (n2012849)", "tench, Tinca tinca", "crane (n3126707)"]
    assert verbs._class_names(str(tmp_path / "words.txt")) == names
