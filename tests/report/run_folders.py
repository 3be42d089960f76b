"""Run folders as training and evaluate --report leave them, made of random predictions in a moment."""

import json

import numpy as np
from PIL import Image

from cnnjax.core import files
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import gallery, metrics, predictions, report

CLASSES = ["shirt", "<script>alert(1)</script>", "T-shirt & $top$ $", 'a "coat"', "ok"]
NETWORK = {
    "params": 61706,
    "macs": 416520,
    "layers": [{"name": "fc", "output_shape": [10], "activation_size": 10, "params": 850, "macs": 840}],
}


class Split:
    """A split in memory."""

    def __init__(self, name, images, labels, folder):
        self.name, self.images, self.labels = name, images, labels
        self.names = [f"{folder}/<b>{number}.png" for number in range(len(images))]

    def gather(self, indices):
        return self.images[indices]


def write_run(root, classes=tuple(CLASSES), *, count=80, shape=(12, 12, 1), seed=0, lr=0.1, several=False):
    """Writes a run folder and returns its eval/test.json."""
    rng, run = np.random.default_rng(seed), RunDir(root)
    labels = rng.integers(len(classes), size=count)
    logits = rng.normal(size=(count, len(classes))) + 1.5 * np.eye(len(classes))[labels]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if several:
        labels = (rng.random((count, len(classes))) < 0.4).astype(np.uint8)
        scores = np.clip(0.6 * labels + 0.4 * rng.random(labels.shape), 0, 1)
    images = rng.integers(256, size=(count, *shape), dtype=np.uint8)
    test, train = (Split(name, images, labels, root) for name in ("test", "train"))
    digest = f"{seed:064x}"
    files.write_json(run.config, {"data": {"source": "folder:<x>"}, "model": {"name": "mlp"}, "optimizer": {"lr": lr}})
    files.write_json(run.environment, {"python": "3.11", "packages": {"jax": "0.10.2"}})
    described = {
        "class_names": classes,
        "counts": {"train": count, "test": count},
        "digest": "d",
        "multi_label": several,
    }
    files.write_json(run.dataset, described)
    lines = [
        {"step": step, "epoch": step / 4, "train/loss": 2 / step, "train/top1": 1 - 1 / step, "lr": lr / step}
        | ({"val/loss": 2.5 / step, "val/top1": 1 - 1.5 / step} if step % 4 == 0 else {})
        for step in range(1, 13)
    ]
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = {"split": "test", **metrics.means(scores, labels), "checkpoint": "best", "step": 12}
    found |= {"params_digest": digest, "views": "single", "temperature": None} | report.report(scores, labels, classes)
    files.write_json(run.evaluation("test"), found)
    predictions.write(run.predictions("test"), scores, labels, classes=classes, names=test.names)

    def embed(split, indices):
        return [split.gather(np.arange(count) if indices is None else indices).reshape(-1, int(np.prod(shape)))]

    gallery.write(run, test, scores, params_digest=digest, train=train, embed=embed)
    run.figures.mkdir()
    Image.fromarray(images[0, :, :, 0]).save(run.figures / "grad_cam.png")
    return found
