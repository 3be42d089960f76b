"""k nearest neighbors: an image is what the training images nearest to it are, pixel by pixel.

Nothing is trained; the figure says how far a data set goes without any understanding.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.config import Experiment
from cnnjax.core import files, logs
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset, prepare
from cnnjax.evaluation.neighbors import Metric, nearest
from cnnjax.runs.workdir import check_workdir, describe_run


def run_knn(config: Experiment, run: RunDir, data_dir: str | Path | None) -> dict[str, Any]:
    """Evaluates k nearest neighbors into a run folder, which holds what was asked and what came out."""
    check_workdir(run, config)
    dataset = prepare(config, data_dir)
    split = next((name for name in ("test", "val") if name in dataset.counts), None)
    if split is None:
        raise UserError(
            "config.model.name=knn classifies test or validation images, and there are neither; set "
            "config.data.test_fraction above 0"
        )
    found = evaluate(dataset, config.model.neighbors, config.model.metric, split=split)
    describe_run(run, config, dataset)
    report = {"split": split, **found, "neighbors": config.model.neighbors, "metric": config.model.metric}
    files.write_json(run.evaluation(split), report)
    logs.say(f"{split}: top-1 {report['top1']:.2%} on {report['count']:,} images, {config.model.neighbors} nearest")
    return report


def evaluate(dataset: Dataset, k: int = 1, metric: Metric = "l2", *, split: str = "test") -> dict[str, float | int]:
    """Classifies a split by its neighbors in the training split.

    Fashion-MNIST (60,000 training images, data.val_fraction=0), k = 1: 84.97 % by L2, 85.26 % by L1.

    Returns:
      top1 (share that is right) and count.

    Raises:
      UserError: several labels an image, or no such k (see `nearest`).
    """
    train, test = dataset.split("train"), dataset.split(split)
    if train.labels.ndim != 1:
        raise UserError("nearest neighbors vote for one class an image; this data set gives several labels an image")
    images, queries = (part.gather(np.arange(len(part))) for part in (train, test))
    found = classify(images, train.labels, queries, k, metric)
    return {"top1": float(np.mean(found == test.labels)), "count": len(test)}


def classify(train: HostArray, labels: HostArray, queries: HostArray, k: int = 1, metric: Metric = "l2") -> HostArray:
    """Returns the class that most of the k nearest have, int [N]; of classes with equal votes that of the nearest.

    Args:
      labels: int [M], of `train`; the rest is as in `nearest`.
    """
    _, indices = nearest(train, queries, k, metric)
    neighbors = labels[indices]
    votes = (neighbors[:, :, None] == neighbors[:, None]).sum(2)  # for the class of each neighbor
    return np.take_along_axis(neighbors, votes.argmax(1)[:, None], 1)[:, 0]
