"""The study of a run folder, by the command line and on an opened run."""

import json

import numpy as np
import pytest
from PIL import Image

from cnnjax.cli import main
from cnnjax.config import DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, override
from cnnjax.robustness import CHANGES, CORRUPTIONS, Subject, study, trials
from cnnjax.run import train
from cnnjax.runs.actions import evaluate
from cnnjax.runs.run import open_run
from tests.conftest import mesh_of

pytestmark = pytest.mark.usefixtures("no_curves")

CONFIG = Experiment(
    model=ModelConfig(name="plain:conv8 >> bn >> relu >> pool >> fc16 >> relu"),
    optimizer=OptimizerConfig(name="adam", lr=0.01),
    train=TrainConfig(epochs=4, tensorboard=False),
)


def images(count=130, channels=1, classes=3, seed=0):
    """Bright bars whose height tells the class, on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = rng.integers(0, 90, (count, 12, 12, channels), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 * label + 1 : 3 * label + 4, 2:9] += 120
    return images, labels


ONE = mesh_of(1)
"""Eight shards of eight images prove nothing here but patience; `test_eight_devices_agree` has them all."""


def trained(folder, images, labels, **changes):
    names = tuple("abc"[: labels.max() + 1]) if labels.ndim == 1 else tuple("abc")
    np.savez(folder / "x.npz", x_train=images[:90], y_train=labels[:90], x_test=images[90:], y_test=labels[90:])
    data = DataConfig(source=f"arrays:{folder / 'x.npz'}", batch_size=16, val_fraction=0.2, class_names=names)
    config = Experiment(data=data, model=CONFIG.model, optimizer=CONFIG.optimizer, train=CONFIG.train)
    train(override(config, changes), folder / "run", data_dir=folder / "data", mesh=ONE)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("robust"), *images())


def test_everything_on_a_run_folder_alone(run, capsys, monkeypatch):
    for name, change in CHANGES.items():  # two strengths each: the others are of the same compiled function
        monkeypatch.setitem(CHANGES._items, name, type(change)(change.apply, change.strengths[:2], "x", change.none))
    some = ("gaussian_noise", "pixelate", "speckle_noise", "saturate")  # test_filters.py has all
    monkeypatch.setattr(CORRUPTIONS, "_items", {name: CORRUPTIONS[name] for name in some})
    words = ("--count", "30", "--test", f"{','.join(CHANGES)},corruptions", "--attack", "fgsm,pgd_l2", "--json")
    capsys.readouterr()
    assert main(["robustness", "--workdir", str(run), *words]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["changes"]) == set(CHANGES)
    assert set(report["corruptions"]["top1"]) == set(CORRUPTIONS) - {"saturate"}, "which gray images do not have"
    assert report["corruptions"]["figures"] == "CIFAR-10-C"
    benchmark = [row for name, row in report["corruptions"]["top1"].items() if not CORRUPTIONS[name].extra]
    assert report["corruptions"]["mean_top1"] == pytest.approx(np.mean(benchmark))
    assert report["count"] == 30
    assert report["clean"]["top1"] > 0.9
    attacks = report["attacks"]
    assert attacks["fgsm"]["top1"][-1] < report["clean"]["top1"] > attacks["pgd_l2"]["top1"][-1]
    assert report == json.loads((run / "eval/test_robustness.json").read_text())
    for name in ("robustness", "adversaries_fgsm", "adversaries_pgd_l2"):
        with Image.open(run / f"figures/{name}.png") as image:
            assert min(image.size) > 200


@pytest.mark.optimized(True)
def test_clean_accuracy_is_that_of_evaluate_and_pgd_is_as_strong_as_fgsm(run):
    options = {"attacks": ["fgsm", "pgd"], "epsilons": [0.05, 0.1, 0.2], "mesh": ONE}
    report = study(run, **options)
    exact = evaluate(run, mesh=ONE)
    assert report["count"] == exact["count"] == 40
    assert report["clean"]["top1"] == pytest.approx(exact["top1"])
    assert report["clean"]["log_loss"] == pytest.approx(exact["log_loss"], rel=1e-4)
    assert report["params_digest"] == exact["params_digest"]
    one, many = (report["attacks"][name] for name in ("fgsm", "pgd"))
    assert all(pgd <= fgsm for pgd, fgsm in zip(many["top1"], one["top1"], strict=True))
    assert many["log_loss"] == sorted(many["log_loss"])
    assert study(run, **options) == report, "the same images, the same draws"


def test_targets(run):
    report = study(run, attacks=["pgd"], epsilons=[0.01, 0.6], target="b", mesh=ONE)
    weak, strong = report["attacks"]["pgd"]["success"]
    assert weak < 0.3
    assert strong > 0.7
    report = study(run, attacks=["fgsm"], epsilons=[0.3], target="least_likely", mesh=ONE)
    assert 0 <= report["attacks"]["fgsm"]["success"][0] <= 1


def test_mistakes_are_told_in_a_sentence(run, capsys):
    for words, sentence in (
        (("--test", "rotatoin"), "unknown test rotatoin; did you mean rotation?"),
        (("--attack", "pdg"), "unknown attack pdg; did you mean pgd?"),
        (("--attack", "pgd", "--target", "d"), "the run has no class d"),
        (("--attack", "pgd", "--epsilon", "0,1"), "numbers above 0"),
        (("--attack", "pgd", "--epsilon", "x"), "no list of numbers"),
        (("--attack", "pgd", "--epsilon", "nan"), "numbers above 0"),
        (("--attack", "pgd", "--epsilon", "0.1,inf"), "numbers above 0"),
        (("--test", ","), "nothing to try; name tests (translation, "),
        (("--test", "rotation", "--epsilon", "0.1"), "belong to attacks"),
        (("--test", "rotation", "--config.evaluate.scales=0.9,1"), "leave out --config.evaluate.scales"),
        (("--test", "rotation", "--target", "b"), "belong to attacks"),
        (("--test", "rotation", "--attack", "fgsm", "--steps", "20"), "steps=20 belong to an iterated attack"),
        (("--attack", "fgsm", "--epsilon", "0.1,0.2,0.10"), "epsilon 0.1 is given twice; name each once"),
        (("--attack", "pgd,fgsm,pgd"), "attack pgd is given twice"),
        (("--test", "blur,blur"), "test blur is given twice"),
        (("--split", "tset"), "has no split tset; did you mean test?"),
    ):
        assert main(["robustness", "--workdir", str(run), *words]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.optimized(True)
def test_on_an_opened_run(run):
    subject = Subject(open_run(run))
    arrays, labels = images(9, seed=1)
    levels = subject.frame(arrays)
    np.testing.assert_array_equal(levels, arrays)
    np.testing.assert_allclose(subject.probabilities(levels), subject.run.predict(arrays), atol=1e-5)
    moved = np.asarray(subject.attack(levels, labels, "pgd", epsilon=0.05, steps=5))
    assert np.abs(moved - levels).max() <= 255 * (0.05 + 1e-6)
    assert moved.min() >= 0
    assert moved.max() <= 255
    assert subject.change(levels, "rotation", 20).shape == levels.shape
    alone = subject.change(levels[4:5], "noise", 0.2, indices=[4])
    np.testing.assert_allclose(alone[0], subject.change(levels, "noise", 0.2)[4], atol=1e-3)


@pytest.mark.parametrize("kind", ["several", "one"])
def test_several_labels_and_one_output(kind, tmp_path, capsys):
    arrays, labels = images(classes=3 if kind == "several" else 2)
    if kind == "several":
        labels = (np.eye(3)[labels] + np.eye(3)[(labels + (np.arange(130) % 2)) % 3] > 0).astype(np.uint8)
    run = trained(tmp_path, arrays, labels, **{"train.loss": "sigmoid", "train.epochs": 8})
    report = study(run, tests=["noise"], attacks=["fgsm"], epsilons=[0.4], mesh=ONE)
    assert report["attacks"]["fgsm"]["log_loss"][0] > report["clean"]["log_loss"] + 0.3
    assert report["attacks"]["fgsm"]["top1"][0] < report["clean"]["top1"]
    if kind == "several":
        assert main(["robustness", "--workdir", str(run), "--attack", "fgsm", "--target", "a"]) == 2
        assert "only where an image has one label" in capsys.readouterr().err


def test_eight_devices_agree(run):
    options = {"count": 30, "attacks": ["pgd"], "epsilons": [0.1], "tests": ["translation"]}
    one, eight = study(run, **options, mesh=ONE), study(run, **options)
    assert eight["attacks"]["pgd"]["log_loss"] == pytest.approx(one["attacks"]["pgd"]["log_loss"], rel=1e-3)
    assert eight["changes"]["translation"]["top1"] == one["changes"]["translation"]["top1"]


def test_the_figure_shows_the_radius_that_halves_the_accuracy_whatever_that_is():
    """A model that was right of two in five images has lost nothing yet at 38 %."""

    class Still:
        frame = staticmethod(lambda images, sizes: images)
        probabilities = staticmethod(lambda levels: np.eye(3)[:2])

    batch = {"images": np.zeros((2, 4, 4, 1)), "mask": np.ones(2)}
    row = {"epsilons": (0.1, 0.2, 0.4), "top1": [0.38, 0.3, 0.1]}
    trial = trials.Trial(row["epsilons"], lambda batch, epsilon: batch["levels"] + epsilon)
    epsilon, before, after, *_ = trials._pairs(Still(), batch, trial, row, clean=0.4)
    assert epsilon == 0.4
    np.testing.assert_allclose(after - before, 0.4)
