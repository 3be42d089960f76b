"""Every recipe: its docstring holds its command, it states its shapes, and trains three steps on made-up images."""

from pathlib import Path

import numpy as np
import pytest

from cnnjax import recipes
from cnnjax.config import override
from cnnjax.core.logs import read_metrics
from cnnjax.core.rundir import RunDir
from cnnjax.models.convolution import plain
from cnnjax.run import train
from cnnjax.runs.actions import summarize

pytestmark = pytest.mark.usefixtures("no_curves")

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
OWN, KNN = "own_images", "knn_fashion_mnist"


@pytest.fixture(autouse=True)
def plain_convolutions():
    """Three steps are compiling and little else, which the faster forms make longer."""
    with plain():
        yield


QUICK = ("cifar10_94",)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_recipe_states_what_it_is(path):
    text = path.read_text()
    assert f"configs/{path.name}" in text, "the docstring holds the command"
    if path.stem not in (OWN, KNN):
        summary, _ = summarize(recipes.load(str(path)).config)
        assert summary.params > 0


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS if path.stem.endswith(("_imagenet", "_cifar10"))], ids=lambda path: path.stem
)
def test_a_papers_recipe_names_what_it_trains_with(path):
    config, told = recipes.load(str(path)).config, " ".join(path.read_text().split('"""')[1].split())
    for value, words in (
        (config.optimizer.warmup_epochs, ("warm-up", "rise")),
        (config.optimizer.clip_norm, ("clipped",)),
        (config.train.label_smoothing, ("label smoothing",)),
        (config.train.ema, ("averaged weights",)),
    ):
        assert not value or any(word in told for word in words), words


def test_what_papers_say_outright():
    """He et al. 2016, appendix: no warming up; Zagoruyko and Komodakis 2016, section 3: reflected padding."""
    where = Path(__file__).parents[1] / "configs"
    assert recipes.load(str(where / "resnet50_v2_imagenet.py")).config.optimizer.warmup_epochs == 0
    assert recipes.load(str(where / "wrn_28_10_cifar10.py")).config.augment.pad_fill == "reflect"


# Deep models take a minute and more to compile; the variant `smoke` of each is for every machine, and for --all.
DEEP = {path for path in CONFIGS if path.stem.endswith(("_imagenet", "_cifar10", "capsnet_mnist"))}
DEEP -= {path for path in DEEP if path.stem in QUICK}


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(DEEP), ids=lambda path: path.stem)
def test_smoke_variant_takes_three_steps(path, tmp_path, mesh):
    variant = "" if path.stem.endswith("_cifar10") else ":smoke"
    overrides = {} if variant else {"data.source": "fake:32x32x3,10", "train.steps": 3, "train.log_every": 1}
    report = train(recipes.load(f"{path}{variant}", overrides).config, tmp_path / "run", mesh=mesh(1))
    assert report["count"] > 0
    assert [record["step"] for record in read_metrics(RunDir(tmp_path / "run").metrics)] == [1, 2, 3]


# Nets whose likes are tried anyway: cnn4_bn_fashion_mnist, own_images.
ALIKE = {"vgg_fashion_mnist", "vgg_bn_fashion_mnist", "euronet_eurosat"}
SHALLOW = [
    pytest.param(path, marks=[pytest.mark.slow] if path.stem in ALIKE else [], id=path.stem)
    for path in CONFIGS
    if path not in DEEP and path.stem != KNN
]


@pytest.mark.parametrize("path", SHALLOW)
def test_recipe_trains_three_steps(path, tmp_path, mesh):
    recipe = recipes.load(str(path))
    height, width, channels = recipe.config.model.input_size or (40, 40, 3)
    if recipe.config.data.size:
        height, width = recipe.config.data.size
    classes = min(recipe.config.model.num_classes or 3, 10)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6 * classes, height, width, channels), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(len(images)) % classes)
    tiny = {
        "data.source": f"arrays:{tmp_path / 'noise.npz'}",
        "data.batch_size": 8,
        "data.val_fraction": 0.2,
        "data.test_fraction": 0.2,
        "model.num_classes": None,
        "train.steps": 3,
        "train.log_every": 1,
        "evaluate.batch_size": 8,
        "evaluate.views": "single",
        "evaluate.report": False,
    }
    report = train(override(recipe.config, tiny), tmp_path / "run", mesh=mesh(1))
    assert report["count"] > 0
    records = read_metrics(RunDir(tmp_path / "run").metrics)
    assert [record["step"] for record in records] == [1, 2, 3]
    assert all(np.isfinite(record["train/loss"]) for record in records)
