"""What a run promises beside exact resume: devices, accumulation, averages, endings, memory."""

import json
import os
import subprocess
import sys

import chex
import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.config import override
from cnnjax.core import trees
from cnnjax.core.errors import UserError
from cnnjax.core.logs import read_metrics
from cnnjax.core.mesh import make_mesh
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import metrics
from cnnjax.optim import losses as losses_of
from cnnjax.run import repeat, train
from cnnjax.runs.actions import evaluate
from cnnjax.runs.run import open_run
from cnnjax.training.loop import Loop
from cnnjax.training.step import _hits, train_step

pytestmark = pytest.mark.usefixtures("no_curves")


def losses(workdir):
    return np.array([record["train/loss"] for record in read_metrics(RunDir(workdir).metrics)])


def variables(workdir):
    return open_run(workdir, checkpoint="last").variables


def test_eight_devices_equal_one(tiny, tmp_path, mesh):
    assert make_mesh().size == 8
    train(tiny(), tmp_path / "eight")
    train(tiny(), tmp_path / "one", mesh=mesh(1))
    np.testing.assert_allclose(losses(tmp_path / "one"), losses(tmp_path / "eight"), rtol=1e-5, atol=1e-7)
    chex.assert_trees_all_close(variables(tmp_path / "one"), variables(tmp_path / "eight"), rtol=1e-4, atol=1e-5)


def test_checkpoint_of_eight_devices_goes_on_with_one(tiny, tmp_path, mesh):
    train(tiny(train__epochs=2), tmp_path / "run")
    train(tiny(train__epochs=4), tmp_path / "run", mesh=mesh(1))
    train(tiny(train__epochs=4), tmp_path / "whole")
    chex.assert_trees_all_close(variables(tmp_path / "run"), variables(tmp_path / "whole"), rtol=1e-4, atol=1e-5)


def test_accumulation_is_the_same_step(tiny, tmp_path, mesh):
    """Without BatchNorm and dropout, micro-batches change nothing but rounding."""
    plain = "plain:conv4 >> relu >> pool >> fc8 >> relu"
    train(tiny(model__name=plain), tmp_path / "one", mesh=mesh(2))
    train(tiny(model__name=plain, train__accumulate=4), tmp_path / "four", mesh=mesh(2))
    np.testing.assert_allclose(losses(tmp_path / "four"), losses(tmp_path / "one"), rtol=1e-4)


def test_average_is_what_evaluation_uses(tiny, tmp_path):
    train(tiny(train__ema=0.9), tmp_path / "averaged")
    train(tiny(), tmp_path / "plain")
    digests = {evaluate(tmp_path / name, checkpoint="last")["params_digest"] for name in ("averaged", "plain")}
    assert len(digests) == 2
    np.testing.assert_array_equal(losses(tmp_path / "averaged"), losses(tmp_path / "plain"))


@pytest.mark.optimized(False)
def test_overfit_learns_its_images_by_heart(tiny, tmp_path):
    config = tiny(train__overfit=16, train__epochs=120, optimizer__name="adam", optimizer__lr=0.005, augment__noise=250)
    report = train(config, tmp_path / "run")
    assert losses(tmp_path / "run")[-1] < 0.05
    assert (report["split"], report["count"], report["top1"]) == ("train", 16, 1), "of the same images"
    assert evaluate(tmp_path / "run", split="train", report=True)["count"] == 16
    assert len((tmp_path / "run/predictions/train.csv").read_text().splitlines()) == 17


@pytest.mark.optimized(False)
def test_endings(tiny, tmp_path):
    steps = {}
    for name, changes in {
        "steps": {"train__steps": 4},
        "budget": {"train__time_budget": 1e-6},
        "patience": {"train__epochs": 50, "train__early_stopping": 2, "optimizer__lr": 0.0},
        "plateau": {
            "train__epochs": 50,
            "optimizer__schedule": "plateau",
            "optimizer__plateau_patience": 1,
            "optimizer__plateau_drops": 2,
            "optimizer__lr": 0.0,
        },
    }.items():
        train(tiny(**changes), tmp_path / name)
        steps[name] = read_metrics(RunDir(tmp_path / name).metrics)[-1]["step"] if name != "budget" else None
    assert steps["steps"] == 4
    assert open_run(tmp_path / "budget").step == 1
    assert steps["patience"] == 15  # 80 images are five steps an epoch; the first validation is the best
    assert steps["plateau"] == 20  # one good validation, two drops, and the third that is due ends the run
    again = train(tiny(train__time_budget=1e-6), tmp_path / "budget")
    assert again["step"] == 1, "the same budget is spent already"
    train(tiny(), tmp_path / "budget")
    assert open_run(tmp_path / "budget", checkpoint="last").step == 15, "more time goes on"


@pytest.mark.optimized(False)
def test_every_training_objective_and_penalty_learns(tiny, tmp_path):
    for number, changes in enumerate(
        [
            {"train__loss": "sigmoid"},
            {"train__loss": "mse", "optimizer__lr": 0.01},
            {"train__label_smoothing": 0.1, "optimizer__l1": 1e-5, "optimizer__l2": 1e-4},
            {"optimizer__name": "sam"},
            {"optimizer__clip_norm": 1.0, "train__log_dead_relu": True, "model__remat": True},
            {"model__dtype": "bfloat16", "optimizer__name": "adam", "optimizer__lr": 0.005},
        ]
    ):
        report = train(tiny(train__epochs=12, **changes), tmp_path / str(number))
        assert report["top1"] > 0.8, changes
        assert report["count"] == 30
    assert 0 <= read_metrics(RunDir(tmp_path / "4").metrics)[-1]["dead_relu"] < 1


@pytest.mark.optimized(False)
def test_two_classes_with_one_output(tmp_path, tiny, archive):
    with np.load(archive) as arrays:
        keep = {name: arrays[name] for name in arrays}
    for part in ("train", "test"):
        chosen = keep[f"y_{part}"] < 2
        keep[f"x_{part}"], keep[f"y_{part}"] = keep[f"x_{part}"][chosen], keep[f"y_{part}"][chosen]
    np.savez(tmp_path / "two.npz", **keep)
    config = tiny(
        data__source=f"arrays:{tmp_path / 'two.npz'}",
        data__class_names=("top", "middle"),
        train__loss="sigmoid",
        train__epochs=10,
    )
    assert train(config, tmp_path / "run")["top1"] > 0.9
    run = open_run(tmp_path / "run")
    assert run.variables["params"][max(run.variables["params"])]["kernel"].shape[-1] == 1
    probabilities = run.predict(keep["x_test"])
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities.argmax(1) == keep["y_test"]).mean() > 0.9


@pytest.mark.optimized(False)
def test_two_labels_a_image_are_two_outputs(tmp_path, tiny):
    """Both, one or none of two labels: not two classes that exclude each other."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (120, 2))
    images = rng.integers(0, 60, (120, 12, 12, 1), dtype=np.uint8)
    images[labels[:, 0] == 1, :5, :, 0] += 150
    images[labels[:, 1] == 1, 7:, :, 0] += 150
    np.savez(tmp_path / "two.npz", images=images, labels=labels)
    config = tiny(data__source=f"arrays:{tmp_path / 'two.npz'}", data__class_names=("up", "down"), train__epochs=12)
    with pytest.raises(UserError, match=r"several labels an image; set config.train.loss=sigmoid"):
        train(config, tmp_path / "run")
    report = train(override(config, {"train.loss": "sigmoid"}), tmp_path / "run")
    assert report["exact_match"] > 0.9
    probabilities = open_run(tmp_path / "run").predict(images)
    assert ((probabilities > 0.5) == labels).mean() > 0.95


def test_images_without_a_label_are_never_right():
    """As `evaluation.metrics` counts them."""
    labels = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    scores = np.array([[3, 2, 1], [1, 2, 3], [3, 2, 1]], np.float32)
    counted = metrics.each(losses_of.probabilities(scores, "sigmoid"), labels)["top1"]
    np.testing.assert_array_equal(_hits(scores, jax.numpy.asarray(labels)), counted)
    assert counted.tolist() == [False, True, False]


def test_open_run_predicts_what_evaluate_counts(tiny, tmp_path, archive):
    report = train(tiny(train__epochs=8), tmp_path / "run")
    run = cnnjax.open_run(tmp_path / "run")
    with np.load(archive) as arrays:
        images, labels = arrays["x_test"], arrays["y_test"]
    probabilities = run.predict(images)
    assert run.classes == ("top", "middle", "bottom")
    assert report["count"] == len(labels) == 30, "a count that no batch of 16 divides"
    assert report["top1"] == pytest.approx((probabilities.argmax(1) == labels).mean())
    picked = probabilities[np.arange(len(labels)), labels]
    assert report["log_loss"] == pytest.approx(-np.log(picked).mean(), rel=1e-4, abs=1e-7)
    assert report["params_digest"] == trees.digest(run.variables)
    normalized = (images - np.asarray(run.dataset.statistics.mean)) / np.asarray(run.dataset.statistics.std)
    logits = run.logits(normalized)
    np.testing.assert_allclose(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), probabilities, atol=1e-5)
    with pytest.raises(UserError, match=r"are \[N, H, W, C\], not \[12, 12, 1\]; of one image give array\[None\]"):
        run.predict(images[0])
    np.testing.assert_array_equal(run.predict([images[0]]), run.predict(images[0][None]))
    with pytest.raises(UserError, match=r"logits takes images \[N, 12, 12, 1\], not \[30, 10, 12, 1\]"):
        run.logits(normalized[:, :10])


def test_training_needs_only_the_core_of_the_dependencies(tmp_path, archive):
    """A GPU machine may have jax, flax, optax, orbax, chex, absl, rich and numpy, and nothing else."""
    absent = "grain array_record tensorflow_datasets PIL simplejpeg tifffile matplotlib sklearn tensorboardX scipy cv2"
    code = f"""
import sys
sys.modules.update(dict.fromkeys({absent.split()!r}))
from cnnjax.config import DataConfig, Experiment, ModelConfig, TrainConfig
from cnnjax.run import train
from cnnjax.runs.actions import evaluate
data, model = DataConfig(source="arrays:{archive}"), ModelConfig(name="plain:fc8")
config = Experiment(data, model=model, train=TrainConfig(steps=3))
assert train(config, "run")["count"] == evaluate("run")["count"] == 30
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "CNNJAX_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "matplotlib is not installed" in done.stderr


@pytest.mark.optimized(False)
def test_repeat_trains_a_folder_for_each_seed(tiny, tmp_path):
    result = repeat(tiny(train__epochs=1), tmp_path / "runs", 2)
    assert [path.name for path in sorted((tmp_path / "runs").iterdir())] == ["seed_0", "seed_1"]
    scores = [report["top1"] for report in result["runs"]]
    assert result["mean"] == pytest.approx(np.mean(scores))
    assert result["deviation"] == pytest.approx(np.std(scores, ddof=1))
    assert result["runs"][0]["params_digest"] != result["runs"][1]["params_digest"]


def test_a_run_traces_once_and_never_copies_its_state(tiny, tmp_path, monkeypatch):
    traces, gone = [], []

    def traced(state, batch, parts):
        traces.append(batch["images"].shape)
        return train_step(state, batch, parts)

    class Watched(Loop):
        def run(self, state, progress, batches):
            first = jax.tree.leaves((state.params, state.batch_stats, state.opt_state))
            end = super().run(state, progress, batches)
            gone.extend(leaf.is_deleted() for leaf in first)
            return end

    monkeypatch.setattr("cnnjax.training.build.train_step", traced)
    monkeypatch.setattr("cnnjax.run.Loop", Watched)
    train(tiny(train__epochs=3), tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 15, "three epochs with their validations"
    assert traces == [(16, 12, 12, 1)]
    assert gone
    assert all(gone), "the next step took the memory of the first state"


def test_memory_is_flat_over_two_thousand_steps(tiny, tmp_path):
    import resource

    peaks = []

    def watch(record):
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

    config = tiny(model__name="plain:fc8", train__epochs=400, train__log_every=500, train__eval_every=100)
    train(config, tmp_path / "run", callbacks=[watch])
    assert len(peaks) >= 4
    assert peaks[-1] - peaks[0] < 20 * 1024, "less than 20 MiB between step 500 and step 2,000"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data__batch_size": 12}, "not divisible by 8 devices; the nearest that is: 8 or 16"),
        ({"model__num_classes": 10}, "has 3 classes; set config.model.num_classes=3"),
        ({"model__input_size": (12, 12, 3)}, "has 3 channels.*config.data.channels=3"),
        ({"model__name": "lenet6", "model__num_classes": 3, "model__input_size": (28, 28, 1)}, "did you mean lenet5"),
        ({"train__overfit": 500}, "only 80 training images"),
        ({"data__val_fraction": 0.0, "train__early_stopping": 3}, "needs a validation split"),
        ({"model__input_size": (20, 20, 1)}, "12 x 12.*20 x 20"),
        ({"evaluate__input_size": (16, 16)}, "depend on the size of its input, so it sees images of 12 x 12 alone"),
        ({"evaluate__scales": (1.0, 0.5)}, "6 x 6.*12 x 12"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(tiny, tmp_path, changes, sentence):
    with pytest.raises(UserError, match=sentence) as told:
        train(tiny(**changes), tmp_path / "run")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "run").exists()


def test_images_out_of_range_are_told_before_a_run_folder_would_keep_them(tiny, tmp_path):
    wide = {"images": np.zeros((20, 2, 4200), np.uint8), "labels": np.arange(20) % 2}
    np.savez(tmp_path / "wide.npz", **wide)
    changes = {"data__source": f"arrays:{tmp_path / 'wide.npz'}", "data__class_names": (), "model__name": "softmax"}
    with pytest.raises(UserError, match=r"model.input_size=\(2, 4200, 1\) is out of range; it must be between"):
        train(tiny(**changes, train__steps=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nearest_neighbors_leave_a_folder_of_figures(tiny, tmp_path):
    config = tiny(model__name="knn", model__neighbors=3)
    report = train(config, tmp_path / "run")
    assert (report["split"], report["count"], report["neighbors"]) == ("test", 30, 3)
    assert report["top1"] > 0.9  # bright squares at three places
    assert json.loads((tmp_path / "run/eval/test.json").read_text()) == report
    assert train(config, tmp_path / "run") == report
    with pytest.raises(UserError, match="another config"):
        train(tiny(model__name="knn", model__neighbors=1), tmp_path / "run")
    with pytest.raises(UserError, match="learns nothing"):
        open_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"model.neighbors=1000 must be from 1 to"):
        train(tiny(model__name="knn", model__neighbors=1000), tmp_path / "many")
    assert not (tmp_path / "many").exists()


def test_nearest_neighbors_need_images_to_classify(tiny, tmp_path, archive):
    with np.load(archive) as arrays:
        np.savez(tmp_path / "one.npz", images=arrays["x_train"], labels=arrays["y_train"])
    changes = {"data__val_fraction": 0.0, "data__test_fraction": 0.0, "data__source": f"arrays:{tmp_path / 'one.npz'}"}
    with pytest.raises(UserError, match=r"there are neither; set config.data.test_fraction above 0"):
        train(tiny(model__name="knn", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_python_callers_are_told_as_well(tmp_path):
    with pytest.raises(UserError, match=r"train takes a config, not 'x'; read one by cnnjax.load_config"):
        train("x", tmp_path / "run")
    with pytest.raises(UserError, match="num_classes=0 leaves lenet5 no output; it must be 1 or more"):
        cnnjax.create_model("lenet5", num_classes=0)


def test_adversaries_of_no_reach_are_the_images(tiny, tmp_path):
    """With epsilon 0 the step is the plain one but for rounding, augmentation and mixup included."""
    options = {"train__steps": 4, "augment__shift": 0.1, "augment__mixup": 0.4}
    train(tiny(**options), tmp_path / "plain")
    train(tiny(train__adversary="fgsm", train__adversary_epsilon=0, **options), tmp_path / "attacked")
    np.testing.assert_allclose(losses(tmp_path / "attacked"), losses(tmp_path / "plain"), rtol=1e-4)


@pytest.mark.optimized(False)
def test_training_on_adversaries_learns_and_logs_clean_accuracy(tiny, tmp_path):
    config = tiny(train__adversary="pgd", train__adversary_epsilon=0.1, train__adversary_steps=2, train__epochs=10)
    assert train(config, tmp_path / "run")["top1"] > 0.8
    last = read_metrics(RunDir(tmp_path / "run").metrics)[-1]
    assert last["train/top1"] > 0.8
    heart = {"train__overfit": 16, "train__steps": 3}
    train(tiny(train__adversary="pgd", **heart), tmp_path / "attacked")
    train(tiny(**heart), tmp_path / "plain")
    np.testing.assert_array_equal(
        losses(tmp_path / "attacked"), losses(tmp_path / "plain"), "learnt by heart, in peace"
    )
