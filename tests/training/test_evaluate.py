"""Evaluation of a run: views, reports, temperature, ensembles and soups, against NumPy, SciPy and OpenCV."""

import csv
import json
import os
import shutil
import subprocess
import sys

import cv2
import jax
import numpy as np
import pytest
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.signal import correlate

from cnnjax.cli import main
from cnnjax.config import DataConfig, Experiment, ModelConfig, override
from cnnjax.core import startup, trees
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.data import prepare
from cnnjax.models import create_model
from cnnjax.run import train
from cnnjax.runs.actions import calibrate, evaluate, evaluate_ensemble, predict
from cnnjax.runs.ensemble import soup
from cnnjax.runs.run import open_run
from cnnjax.runs.workdir import describe_run
from cnnjax.training.build import build_parts, first_state, resolve
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.loop import Length
from cnnjax.training.state import Progress

pytestmark = pytest.mark.usefixtures("no_curves")

NAMES = ("top", "middle", "bottom")


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny):
    """Three runs of one model: a and c as they were drawn, b after three steps."""
    folder, data_dir = tmp_path_factory.mktemp("runs"), tmp_path_factory.getbasetemp() / "data"
    net = {"model__name": "plain:conv4 >> bn >> relu >> pool", "model__input_size": (8, 8, 1)}
    untrained(tiny(**net), folder / "a", data_dir)
    train(tiny(**net, train__steps=3), folder / "b", data_dir=data_dir)
    untrained(tiny(**net, train__seed=1), folder / "c", data_dir)
    return folder


def untrained(config, folder, data_dir=None):
    """A run folder of weights as they are drawn, in a tenth of the time that a training takes."""
    run, dataset = RunDir(folder), prepare(config.data, data_dir)
    config = resolve(config, dataset)
    checkpoints = Checkpoints(run.checkpoints)
    checkpoints.save(first_state(build_parts(config, dataset, Length(1, 1, 1, 1.0))), Progress(finished="drawn"))
    checkpoints.close()
    describe_run(run, config, dataset)


@pytest.mark.skipif(startup.ynn_fusion() is None, reason="this jaxlib and machine need no flag")
def test_a_run_that_is_opened_first_has_the_flags_of_xla(home):
    """As in a notebook whose first line uses a run."""
    code = "import os, sys, cnnjax; cnnjax.open_run(sys.argv[1]); print(os.environ['XLA_FLAGS'])"
    environment = {**os.environ, "XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, "-c", code, home / "a"], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [f"--{startup.YNN_FLAG}={startup.ynn_fusion()}"], done.stderr
    assert done.stderr == ""


@pytest.fixture
def images(archive):
    with np.load(archive) as arrays:
        return arrays["x_test"], arrays["y_test"]


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def normalized(run, images):
    return (images - np.asarray(run.dataset.statistics.mean)) / np.asarray(run.dataset.statistics.std)


def view_logits(run, crops):
    """Logits [V, N, K] of crops [V, N, 8, 8, 1]."""
    return np.stack([run.logits(normalized(run, crop)) for crop in crops])


def ten(images, side=8):
    """The ten crops, written out."""
    last = images.shape[1] - side
    places = [(0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)]
    crops = [images[:, top : top + side, left : left + side] for top, left in places]
    return crops + [crop[:, :, ::-1] for crop in crops]


def enlarged(images, side):
    return np.stack([cv2.resize(image.astype(np.float32), (side, side))[..., None] for image in images])


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("views", ["single", "flip", "ten_crop"])
def test_views_are_averaged_after_the_softmax(home, images, views):
    arrays, labels = images
    plain, run = (open_run(home / "a", overrides=over) for over in (None, {"evaluate.views": views}))
    crops = {"single": ten(arrays)[4:5], "flip": [ten(arrays)[4], ten(arrays)[9]], "ten_crop": ten(arrays)}[views]
    expected = softmax(view_logits(plain, crops)).mean(0)
    close(run.predict(arrays), expected)
    found = evaluate(home / "a", overrides={"evaluate.views": views})
    assert found["top1"] == pytest.approx((expected.argmax(1) == labels).mean())
    assert found["log_loss"] == pytest.approx(-np.log(expected[np.arange(len(labels)), labels]).mean(), rel=1e-4)
    assert (found["views"], found["scales"], found["input_size"], found["count"]) == (views, [1.0], [8, 8], 30)


def test_scales_are_averaged_too(home, images):
    arrays, _ = images
    run = open_run(home / "a", overrides={"evaluate.views": "flip", "evaluate.scales": (1.0, 1.5)})
    crops = [ten(larger)[number] for larger in (arrays, enlarged(arrays, 18)) for number in (4, 9)]
    close(run.predict(arrays), softmax(view_logits(open_run(home / "a"), crops)).mean(0))
    small = open_run(home / "a", overrides={"evaluate.scales": (0.5,)})
    with pytest.raises(UserError, match=r"images are 6 x 6 but the model's input is 8 x 8"):
        small.predict(arrays)
    with pytest.raises(UserError, match="scales is empty"):
        open_run(home / "a", overrides={"evaluate.scales": ()})


def test_dense_is_the_head_as_a_convolution(home, images):
    """The map of a whole image is 6 x 6, that of the input 4 x 4, so the dense layer fits at 3 x 3 places."""
    arrays, _ = images
    run = open_run(home / "a", overrides={"evaluate.views": "dense"})
    head = next(layer for layer in run.variables["params"].values() if np.ndim(layer.get("kernel")) == 2)
    kernel = np.asarray(head["kernel"], np.float64).reshape(4, 4, 4, 3)
    whole = normalized(run, arrays).astype(np.float32)
    expected = []
    for side in (whole, whole[:, :, ::-1]):
        maps = np.asarray(run.model.apply(run.variables, side, method="features"), np.float64)
        scores = [
            [correlate(one, kernel[..., k], mode="valid").mean() + float(head["bias"][k]) for k in range(3)]
            for one in maps
        ]
        expected.append(softmax(np.asarray(scores)))
    close(run.predict(arrays), np.mean(expected, 0))


def test_another_resolution_where_the_weights_allow_it(home, tmp_path, images, tiny):
    arrays, _ = images
    with pytest.raises(UserError, match=r"depend on the size of its input, so it sees images of 8 x 8 alone"):
        open_run(home / "a", overrides={"evaluate.input_size": (12, 12)})
    pooled = tiny(model__name="plain:conv4 >> relu >> gap", model__input_size=(8, 8, 1))
    untrained(pooled, tmp_path / "run")
    run = open_run(tmp_path / "run", overrides={"evaluate.input_size": (12, 12)})
    seen = enlarged(arrays, 18)[:, 3:15, 3:15]
    assert run.model.input_size == (12, 12, 1)
    close(run.predict(arrays), softmax(view_logits(open_run(tmp_path / "run"), [seen])[0]))


FLAT = """
from flax import linen as nn

class Flat(nn.Module):
    num_classes: int

    def setup(self):
        self.fc = nn.Dense(self.num_classes)

    def features(self, images, train=False):
        return images.mean((1, 2))

    def head(self, features, train=False):
        return self.fc(features)
"""


def test_dense_needs_images_at_least_as_large_as_the_head():
    model = create_model("plain:conv4 >> pool >> fc3", 3, input_size=(16, 16, 1))
    variables = model.init(jax.random.key(0))
    with pytest.raises(UserError, match=r"of 12 x 16 images is 6 x 8, but its head takes 8 x 8; give larger images"):
        model.apply_dense(variables, np.zeros((1, 12, 16, 1), np.float32))


def test_a_net_that_sees_no_map_is_not_moved_over_it(tmp_path, tiny, monkeypatch):
    (tmp_path / "flat_net.py").write_text(FLAT)
    monkeypatch.syspath_prepend(tmp_path)
    config = tiny(model__name="flat_net:Flat", model__input_size=(8, 8, 1))
    untrained(config, tmp_path / "run")
    with pytest.raises(UserError, match="its features are no map of it"):
        evaluate(tmp_path / "run", overrides={"evaluate.views": "dense"})
    with pytest.raises(UserError, match="its features are no map of it"):
        train(override(config, {"evaluate.views": "dense"}), tmp_path / "new")
    assert not (tmp_path / "new").exists(), "it is not trained first"


def test_report_and_table(home, images):
    arrays, labels = images
    plain = evaluate(home / "a")
    found = evaluate(home / "a", report=True)
    assert found == json.loads((home / "a/eval/test.json").read_text())
    assert evaluate(home / "a")["per_class"] == found["per_class"]  # the page can still be written again
    assert "per_class" not in evaluate(home / "a", overrides={"evaluate.views": "flip"})
    for name, value in plain.items():
        assert found[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
    assert np.trace(found["confusion"]) == round(found["top1"] * 30)
    rows = list(csv.DictReader((home / "a/predictions/test.csv").read_text().splitlines()))
    probabilities = open_run(home / "a").predict(arrays)
    assert [int(row["index"]) for row in rows] == list(range(30))
    assert [row["file"] for row in rows] == [f"test/{number}" for number in range(30)]
    assert [row["label"] for row in rows] == [NAMES[label] for label in labels]
    assert [row["predicted"] for row in rows] == [NAMES[label] for label in probabilities.argmax(1)]
    assert [int(row["correct"]) for row in rows] == (probabilities.argmax(1) == labels).astype(int).tolist()
    close([float(row["confidence"]) for row in rows], probabilities.max(1))
    close([[float(row[f"p_{name}"]) for name in NAMES] for row in rows], probabilities)


def test_report_of_several_labels(tmp_path, tiny):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 12, 12, 1), np.uint8), rng.integers(0, 2, (60, 2))
    np.savez(tmp_path / "two.npz", images=images, labels=labels)
    config = tiny(model__name="plain:fc4", train__loss="sigmoid", data__class_names=("up", "down"))
    untrained(override(config, {"data.source": f"arrays:{tmp_path / 'two.npz'}"}), tmp_path / "run")
    found = evaluate(tmp_path / "run", report=True)
    assert found["confusion"] is None
    assert 0 < found["mean_average_precision"] <= 1
    rows = list(csv.DictReader((tmp_path / "run/predictions/test.csv").read_text().splitlines()))
    assert {row["label"] for row in rows} == {"", "up", "down", "up|down"}
    assert sum(int(row["correct"]) for row in rows) == round(found["exact_match"] * found["count"])
    scaled = calibrate(tmp_path / "run")
    assert scaled["after"]["log_loss"] <= scaled["before"]["log_loss"]


def test_temperature(home):
    """Against SciPy's search on the logits of the validation images, whose order the training set's split gives."""
    run = open_run(home / "b")
    with pytest.raises(UserError, match=r"has no temperature for its best checkpoint; fit one by .*--calibrate"):
        open_run(home / "b", calibrated=True)
    found = calibrate(home / "b", overrides={"evaluate.views": "ten_crop"})
    assert json.loads((home / "b/calibration.json").read_text()) == found
    split = type(run.dataset).read(run.dataset.folder).split("val")
    logits = view_logits(run, ten(split.gather(np.arange(len(split))))).astype(np.float64)

    def loss(temperature):
        return -np.log(softmax(logits / temperature).mean(0)[np.arange(len(split)), split.labels]).mean()

    best = minimize_scalar(loss, bounds=(0.01, 100), method="bounded", options={"xatol": 1e-6}).x
    assert found["temperature"] == pytest.approx(best, rel=2e-3)
    assert found["after"]["log_loss"] == pytest.approx(loss(best), rel=1e-5)
    assert found["before"]["log_loss"] == pytest.approx(loss(1.0), rel=1e-5)

    images = split.gather(np.arange(len(split)))
    expected = softmax(view_logits(run, ten(images)[4:5])[0] / found["temperature"])
    close(open_run(home / "b", calibrated=True).predict(images), expected)
    assert evaluate(home / "b", report=True)["temperature"]["value"] == found["temperature"]
    scaled = evaluate(home / "b", calibrated=True)
    assert scaled["calibrated"]
    assert scaled["log_loss"] != evaluate(home / "b")["log_loss"]


def test_ensemble_is_the_mean_of_the_runs(home, images):
    arrays, labels = images
    folders = [home / "a", home / "c"]
    found = evaluate_ensemble(folders, overrides={"evaluate.views": "ten_crop"})
    expected = []
    for views in ("single", "ten_crop"):
        runs = [open_run(folder, overrides={"evaluate.views": views}).predict(arrays) for folder in folders]
        means = [(scores.argmax(1) == labels).mean() for scores in runs]
        expected += [(1, views, np.mean(means)), (2, views, (np.mean(runs, 0).argmax(1) == labels).mean())]
    for row, (nets, views, top1) in zip(found["rows"], expected, strict=True):
        assert (row["nets"], row["views"], row["top1"]) == (nets, views, pytest.approx(top1))
    assert found["gain"] == pytest.approx(expected[-1][2] - expected[0][2])
    assert [member["top1"] for member in found["members"]] == [evaluate(folder)["top1"] for folder in folders]


def test_soup_is_the_mean_of_the_weights(home, tmp_path):
    folder = soup([home / "a", home / "b"], tmp_path / "soup")
    runs = [open_run(path) for path in (home / "a", home / "b", folder.root)]
    leaves = [trees.flatten(run.variables) for run in runs]
    for path, leaf in leaves[2].items():
        np.testing.assert_allclose(leaf, (np.asarray(leaves[0][path]) + np.asarray(leaves[1][path])) / 2, atol=1e-7)
    assert any("batch_stats" in path for path in leaves[2])
    assert evaluate(folder.root)["count"] == 30
    with pytest.raises(UserError, match="is not empty"):
        soup([home / "a", home / "b"], folder.root)


def test_runs_that_do_not_fit_are_told(home, tmp_path, tiny):
    untrained(tiny(model__name="plain:fc4", data__val_fraction=0.0), tmp_path / "other")
    with pytest.raises(UserError, match=r"other and .*a differ in config.model"):
        soup([home / "a", tmp_path / "other"], tmp_path / "soup")
    with pytest.raises(UserError, match="two runs or more"):
        soup([home / "a"], tmp_path / "soup")
    (tmp_path / "link").symlink_to(home / "a")
    for several in (lambda both: soup(both, tmp_path / "soup"), evaluate_ensemble, lambda both: predict(both, [])):
        with pytest.raises(UserError, match=r"link is given twice .* name each run once"):
            several([home / "a", tmp_path / "link"])
    assert not (tmp_path / "soup").exists()
    untrained(tiny(model__name="plain:fc4", data__class_names=("x", "y", "z")), tmp_path / "named")
    with pytest.raises(UserError, match="have other classes"):
        predict([home / "a", tmp_path / "named"], [home / "a"])
    with pytest.raises(UserError, match=r"other has no split val.*config.data.val_fraction above 0"):
        calibrate(tmp_path / "other")


def test_an_ensemble_is_of_runs_that_were_tested_on_the_same_images(tmp_path):
    """Other draws of one folder have other images with the same labels."""
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "x" / name / f"{number}.png")
    for seed in (0, 1):
        source = DataConfig(source=f"folder:{tmp_path / 'x'}", batch_size=4, split_seed=seed)
        untrained(
            Experiment(data=source, model=ModelConfig(name="softmax")), tmp_path / f"run{seed}", tmp_path / "data"
        )
    with pytest.raises(UserError, match=r"have other images for the split test.*config\.data\.split_seed"):
        evaluate_ensemble([tmp_path / "run0", tmp_path / "run1"], data_dir=tmp_path / "data")
    shutil.copytree(tmp_path / "run0", tmp_path / "copy")
    same = evaluate_ensemble([tmp_path / "run0", tmp_path / "copy"], data_dir=tmp_path / "data")
    assert same["gain"] == 0


def test_an_ensemble_is_of_one_file_of_arrays_at_any_size(tmp_path):
    """Images of arrays are called by numbers, in every file."""
    rng = np.random.default_rng(0)
    for name, file, size in (("a", "a", None), ("b", "b", None), ("small", "a", (6, 6))):
        images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
        if size is None:
            np.savez(tmp_path / f"{file}.npz", images=images, labels=np.arange(40) % 2)
        fit = {"resize": "squash", "size": size} if size else {}
        source = DataConfig(source=f"arrays:{tmp_path / file}.npz", batch_size=8, **fit)
        untrained(Experiment(data=source, model=ModelConfig(name="softmax")), tmp_path / name, tmp_path / "data")
    with pytest.raises(UserError, match="have other images for the split test"):
        evaluate_ensemble([tmp_path / "a", tmp_path / "b"], data_dir=tmp_path / "data")
    assert evaluate_ensemble([tmp_path / "a", tmp_path / "small"], data_dir=tmp_path / "data")["count"] == 8


def test_predict_keeps_going_past_a_bad_file(home, tmp_path, images, capsys):
    arrays, _ = images
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(20):  # more than a batch
        Image.fromarray(arrays[number, :, :, 0]).save(folder / f"{number:02}.png")
    (folder / "05.png").write_bytes(b"no image")
    (folder / "text.txt").write_text("words")
    words = ["predict", "--workdir", f"{home / 'a'},{home / 'c'}", str(folder), "--top", "2"]
    assert main([*words, "--json"]) == 1
    out, err = capsys.readouterr()
    assert "05.png is no whole image" in err
    assert "2 of 21 files could not be classified" in err
    results = json.loads(out)
    bad = [result["file"] for result in results if "error" in result]
    assert bad == [str(folder / "05.png"), str(folder / "text.txt")]
    good = [number for number in range(20) if number != 5]
    mean = np.mean([open_run(home / name).predict(arrays[good]) for name in "ac"], 0)
    found = [result["classes"] for result in results if "classes" in result]
    assert [row[0]["name"] for row in found] == [NAMES[label] for label in mean.argmax(1)]
    close([[item["probability"] for item in row] for row in found], np.sort(mean, 1)[:, :0:-1])

    (folder / "05.png").unlink()
    (folder / "text.txt").unlink()
    assert main([*words, "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["file"], row["rank"]) for row in rows[:2]] == [(str(folder / "00.png"), rank) for rank in "12"]
    close([float(row["probability"]) for row in rows[::2]], mean.max(1))
    assert main(words) == 0
    assert capsys.readouterr().out.count(".png: ") == 19
    assert main([*words, "--csv", "--json"]) == 2


def test_the_command_line_of_evaluate_and_soup(home, tmp_path, capsys):
    both = f"{home / 'a'},{home / 'b'}"
    assert main(["evaluate", "--workdir", str(home / "a"), "--calibrate", "--report"]) == 0
    out, err = capsys.readouterr()
    assert "temperature " in err
    assert " to " in next(line for line in out.splitlines() if line.startswith("top1"))
    assert main(["evaluate", "--workdir", str(home / "a"), "--calibrated", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["calibrated"]
    assert main(["evaluate", "--workdir", both]) == 0
    assert "2 models" in capsys.readouterr().out
    assert main(["evaluate", "--workdir", both, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2
    assert main(["evaluate", "--workdir", both, "--report"]) == 2
    assert main(["soup", "--workdir", both, "--to", str(tmp_path / "soup")]) == 0
    assert main(["predict", "--workdir", str(tmp_path / "soup"), str(tmp_path)]) == 1, "config.json is no image"
