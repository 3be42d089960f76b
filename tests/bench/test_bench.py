"""bench and plan: what they promise in JSON, what they leave alone, and whether their numbers can be true."""

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cnnjax import recipes
from cnnjax.bench import measure, peaks
from cnnjax.bench import plan as planning
from cnnjax.bench.synthetic import dataset_of
from cnnjax.cli import main
from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, override
from cnnjax.core.meters import input_bound
from cnnjax.data.shards import Split
from cnnjax.models import summary
from cnnjax.run import train
from cnnjax.training.build import resolve
from cnnjax.training.inference import build_model

BATCH, SHAPE = 16, (12, 12, 3)


@pytest.fixture
def config(tmp_path):
    """A recipe that states its shapes, whose data need not be there."""
    return Experiment(
        data=DataConfig(source=f"arrays:{tmp_path / 'noise.npz'}", batch_size=BATCH, val_fraction=0.2),
        augment=AugmentConfig(flip=True, pad=2),
        model=ModelConfig(name="plain:conv32 >> relu >> fc10", num_classes=4, input_size=SHAPE),
        optimizer=OptimizerConfig(name="sgd"),
        train=TrainConfig(epochs=3, log_every=1, tensorboard=False),
    )


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (100, *SHAPE), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(100) % 4)
    return images


@pytest.fixture
def recipe(config, tmp_path, monkeypatch):
    path = tmp_path / "recipe.py"
    path.write_text(f"from cnnjax.config import *\nconfig = {config!r}\n")
    monkeypatch.chdir(tmp_path)
    return str(path)


def listing(folder):
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "configs").glob("*.py")), ids=lambda path: path.stem
)
def test_every_recipe_that_states_its_shapes_can_be_made_up(path):
    config = recipes.load(str(path)).config
    if config.model.input_size is None:
        return
    resolved = resolve(config, dataset_of(config))
    assert (resolved.data.resize, resolved.data.size) == (config.data.resize, config.data.size)
    fitted = override(config, {"data.resize": "auto"})
    assert resolve(fitted, dataset_of(fitted)).data.resize == "center"


@pytest.mark.parametrize("flags", [[], ["--augment"]])
def test_synthetic_never_touches_the_data(recipe, config, tmp_path, capsys, flags):
    before = listing(tmp_path)
    assert main(["bench", "--config", recipe, "--synthetic", *flags, "--steps", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert listing(tmp_path) == before
    assert set(report) >= {
        "images_per_s",
        "step_ms",
        "compile_s",
        "peak_memory_bytes",
        "flops_per_step",
        "mfu",
        "split",
    }
    assert set(report["step_ms"]) == {"median", "p95"}
    assert set(report["split"]) == {"data_wait", "transfer", "compute", "evaluation"}
    assert report["mfu"] is None, "nobody knows the peak of a CPU"
    assert 0 < report["step_ms"]["median"] <= report["step_ms"]["p95"]
    assert report["compile_s"] > 0
    assert report["split"]["transfer"] == 0
    # Forward, the weights' gradient and the inputs' are a product each; the first layer needs no gradient of its input.
    forward = 2 * summary.summarize(build_model(config)).macs * BATCH
    assert 2 * forward < report["flops_per_step"] < 4 * forward


@pytest.mark.parametrize("most", [1, 4])
def test_several_steps_a_dispatch_are_counted_one_by_one(config, images, most, mesh):
    """As training takes them: the same operations a step, and the clock of all steps divided among them."""
    config = override(config, {"train.steps_per_dispatch": most, "train.log_every": 100, "data.loader": "resident"})
    began = time.perf_counter()
    report = measure.bench(config, steps=6, mesh=mesh(1))
    assert 6 <= report["steps"] < 6 + most
    assert report["steps"] * report["step_ms"]["median"] < 1e3 * (time.perf_counter() - began)
    forward = 2 * summary.summarize(build_model(config)).macs * BATCH
    assert 2 * forward < report["flops_per_step"] < 4 * forward


def read_slowly(monkeypatch, seconds):
    gather = Split.gather

    def slow(self, indices, out=None, *, threads=1):
        time.sleep(seconds)
        return gather(self, indices, out, threads=threads)

    monkeypatch.setattr(Split, "gather", slow)


def test_throughput_is_that_of_the_clock(config, images, monkeypatch, mesh):
    """A read that sleeps 40 ms a batch bounds both numbers from outside, and is named with its remedy."""
    read_slowly(monkeypatch, 0.04)
    config = override(config, {"data.loader": "streamed", "data.threads": 1, "data.prefetch": 1})
    for input_only in (False, True):
        report = measure.bench(config, input_only=input_only, steps=10, mesh=mesh(1))
        assert report["images_per_s"] < BATCH / 0.04 * 1.5, "a stall of the machine lets some batches queue up"
        assert report["images_per_s"] == pytest.approx(BATCH / report["step_ms"]["median"] * 1e3, rel=0.5)
        assert report["split"]["data_wait"] > 0.02
        assert report["steps"] == 10
        told = measure.text(report).splitlines()
        assert told[-1].startswith("verdict")
        if input_only:
            assert report["split"]["evaluation"] == 0
            assert report["mfu"] is None
        else:
            assert "input-bound: the device waits" in told[-1]
            assert "config.data.loader=resident" in told[-1]


def test_training_says_once_that_it_waits(config, images, monkeypatch, tmp_path, capsys, mesh):
    read_slowly(monkeypatch, 0.05)
    config = override(config, {"data.threads": 1, "data.prefetch": 1})
    train(override(config, {"data.loader": "streamed"}), tmp_path / "streamed", mesh=mesh(1))
    assert capsys.readouterr().err.count("input-bound") == 1


@pytest.mark.parametrize(
    ("share", "given", "says"),
    [
        (0.05, {}, None),
        (0.14, {"encoded": True}, None),
        (0.16, {"fits": True}, "16% of the time; config.data.loader=resident may help"),
        (0.5, {"fits": True, "resident": True}, "batch_size"),
        (0.5, {"encoded": True}, "config.data.store=pixels"),
        (0.5, {"threads": 1}, "config.data.threads=0, which is 4 here"),
        (0.5, {"threads": 4}, "prefetch"),
        (0.5, {}, "prefetch"),
    ],
)
def test_remedy(share, given, says, monkeypatch):
    monkeypatch.setattr("cnnjax.core.meters.cores", lambda: 4)
    told = input_bound(share, **{"resident": False, "fits": False, "encoded": False} | given)
    assert (says in told) if says else told == ""


def test_utilization(monkeypatch):
    assert peaks.peak("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12
    assert peaks.peak("NVIDIA H100 PCIe", "bfloat16") == 756e12
    assert peaks.peak("NVIDIA H200 NVL", "bfloat16") == 835e12
    assert peaks.peak("NVIDIA H200", "bfloat16") == 989e12
    assert peaks.peak("TPU v5 lite", "bfloat16") == 197e12
    assert peaks.peak("TPU v5", "bfloat16") == 459e12
    assert peaks.peak("Tesla V100-SXM2-16GB", "bfloat16") is None
    assert peaks.peak("cpu", "float32") is None
    monkeypatch.setattr("cnnjax.bench.measure.peak", lambda kind, dtype: 1e9)
    assert measure.utilization(4e9, 2.0, "float32", 8) == pytest.approx(0.25)
    assert measure.utilization(None, 2.0, "float32", 8) is None


def test_on_a_gpu_the_nets_own_operations_count(config, monkeypatch):
    """Its compiler tells -1 for each call of a library, and convolutions are such."""
    parts = SimpleNamespace(model=build_model(config), config=config)
    compiled = SimpleNamespace(cost_analysis=lambda: {"flops": -2.0})
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    macs = 9 * 3 * 32 * 12 * 12 + 12 * 12 * 32 * 10 + 10 * 4
    assert measure.operations(compiled, parts, 1) == 3 * 2 * macs * BATCH
    assert measure.operations(compiled, None, 1) is None


def test_plan(recipe, config, tmp_path, capsys):
    before = listing(tmp_path)
    assert (
        main(["plan", "--config", recipe, "--config.optimizer.name=adam", "--num_train_images", "100", "--json"]) == 0
    )
    report = json.loads(capsys.readouterr().out)
    assert listing(tmp_path) == before
    channels, features = 32, 12 * 12 * 32
    params = (9 * 3 + 1) * channels + (features + 1) * 10 + (10 + 1) * 4
    assert report["params"] == params
    assert report["steps"] == math.ceil(3 * 100 / BATCH)
    assert report["images_per_device"] * jax.device_count() == BATCH
    memory = report["memory"]
    assert memory["params"] == 4 * params
    assert 8 * params <= memory["opt_state"] <= 8 * params + 64, "Adam keeps two moments"
    assert memory["batch"] == BATCH * (math.prod(SHAPE) + 8) // jax.device_count()
    assert memory["activations"] > 12 * 12 * 32 * 4, "the layer of an image waits for the backward pass"
    assert memory["total"] == sum(memory[name] or 0 for name in memory if name not in ("total", "limit"))
    unknown = planning.plan(config)
    assert unknown["steps"] is None
    assert "--num_train_images" in planning.text(unknown)
    assert planning.plan(override(config, {"train.steps": 7}))["steps"] == 7


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["bench"], "--config is missing"),
        (["bench", "--config", "{recipe}", "--augment"], "give both"),
        (["bench", "--config", "{recipe}", "--synthetic", "--input_only"], "add --augment"),
        (
            ["bench", "--config", "{recipe}", "--synthetic", "--config.model.name=knn"],
            "knn compares images and learns nothing",
        ),
        (["bench", "--config", "{recipe}", "--synthetic", "--config.model.num_classes=none"], "from the data"),
        (["bench", "--config", "{recipe}", "--synthetic", "--config.data.batch_size=9"], "8 or 16"),
        (["bench", "--config", "{recipe}"], "noise.npz"),
        (["plan", "--config", "{recipe}", "--config.model.name=knn"], "knn compares images and learns nothing"),
        (["plan", "--config", "{recipe}", "--config.model.input_size=none"], "from the data"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_mistakes(recipe, tmp_path, capsys, words, sentence):
    before = listing(tmp_path)
    status = main([word.format(recipe=recipe) for word in words])
    told = capsys.readouterr()
    assert status == 2
    assert told.out == ""
    assert sentence in told.err
    assert len(told.err.splitlines()) == 1
    assert listing(tmp_path) == before
