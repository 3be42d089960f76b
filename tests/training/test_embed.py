"""Features of the last layer: what it makes of them are the logits, and a report finds the images nearest by them."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cnnjax.core import files
from cnnjax.core.mesh import make_mesh
from cnnjax.core.rundir import RunDir
from cnnjax.models import create_model
from cnnjax.run import train
from cnnjax.runs.actions import evaluate
from cnnjax.runs.evaluator import Evaluator, data_of
from cnnjax.runs.run import open_run

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.mark.optimized(True)
@pytest.mark.parametrize("name", ["mlp", "plain:conv4 >> relu >> pool"])
def test_last_layer_makes_logits_of_features(name):
    model = create_model(name, 7, input_size=(12, 12, 3))
    variables = model.init(jax.random.key(0))
    images = np.random.default_rng(0).normal(size=(3, 12, 12, 3)).astype(np.float32)
    features = jax.jit(model.embed)(variables, images)
    layers = [layer for layer in variables["params"].values() if layer.get("kernel", images).shape[1:] == (7,)]
    assert len(layers) == 1
    logits = features @ layers[0]["kernel"] + layers[0]["bias"]
    np.testing.assert_allclose(logits, jax.jit(model.apply)(variables, images), rtol=1e-4, atol=1e-5)


@pytest.mark.optimized(True)
def test_positions_are_averaged():
    model = create_model("nin_cifar", 10, input_size=(32, 32, 3))
    features = jax.eval_shape(model.embed, model.shapes(), jax.ShapeDtypeStruct((2, 32, 32, 3), np.float32))
    assert features.shape == (2, 192)


def test_report_finds_the_nearest_training_images(tiny, tmp_path):
    train(tiny(train__steps=1, optimizer__lr=1e-4, evaluate__report=True), tmp_path / "run")
    run = open_run(tmp_path / "run")
    judge = Evaluator(run, data_of(run, None), make_mesh(), "test")
    training = judge.dataset.split("train")
    embed = jax.jit(lambda images: run.model.embed(run.variables, run.inference.views(images, None)[0]))
    mistakes = files.read_json(RunDir(tmp_path / "run").errors("test"))["mistakes"][:12]
    assert mistakes
    queries = embed(judge.images.gather(np.array([entry["index"] for entry in mistakes])))
    distances = cdist(queries, embed(training.gather(np.arange(len(training)))))
    for entry, row in zip(mistakes, distances, strict=True):
        found = [near["distance"] for near in entry["nearest"]]
        places = [near["index"] for near in entry["nearest"]]
        np.testing.assert_allclose(found, np.sort(row)[:5], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(row[places], found, rtol=1e-3, atol=1e-4)
        assert [near["labels"] for near in entry["nearest"]] == [[label] for label in training.labels[places]]
    crops = {"evaluate.views": "ten_crop"}
    evaluate(tmp_path / "run", report=True, overrides=crops)
    again = {one["index"]: one for one in files.read_json(RunDir(tmp_path / "run").errors("test"))["mistakes"][:12]}
    for entry in mistakes:
        assert again.get(entry["index"], entry)["nearest"] == entry["nearest"], "likeness is seen in one crop"
    evaluate(tmp_path / "run", report=True, most_searched=len(training) - 1)
    assert "nearest" not in files.read_json(RunDir(tmp_path / "run").errors("test"))["mistakes"][0]
