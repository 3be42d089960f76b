"""Made-up images in the shapes that a recipe states, so that nothing is read, decoded or downloaded."""

from typing import Any

import jax
import numpy as np

from cnnjax.config import Experiment
from cnnjax.core import keys
from cnnjax.core.arrays import Tree
from cnnjax.core.statistics import Statistics
from cnnjax.data import Dataset, rule_of
from cnnjax.training.inference import stated_shapes

IMAGES = 1 << 20  # training images where nobody knows better


def dataset_of(config: Experiment, images: int = IMAGES) -> Dataset:
    """Returns the description of a data set that a recipe could be trained on, without any images behind it.

    Raises:
      UserError: the recipe leaves the input size or the number of classes to the data.
    """
    (*sides, channels), classes = stated_shapes(config)
    options = config.data
    height, width = options.size or sides
    axes = np.eye(channels)
    return Dataset(
        folder=None,  # type: ignore[arg-type]
        class_names=tuple(f"class {number}" for number in range(classes)),
        multi_label=False,
        counts={"train": images},
        shape=(height, width, channels),
        store="pixels",
        rule=rule_of(options) | ({"resize": "center", "size": (height, width)} if options.resize == "auto" else {}),
        statistics=Statistics.from_json(
            {
                "mean": np.full(channels, 127.5),
                "std": np.full(channels, 64.0),
                "covariance": axes * 64.0**2,
                "eigenvalues": np.full(channels, 64.0**2),
                "eigenvectors": axes,
            }
        ),
        digest="",
        skipped=(),
        shards={},
    )


def batch_shapes(config: Experiment, dataset: Dataset, *, raw: bool) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shapes of a batch.

    Args:
      config: with the number of classes and the input size filled in.
      raw: uint8 images as they are stored; else float32 as the model sees them, cut, varied and normalized.
    """
    count, spec = config.data.batch_size, jax.ShapeDtypeStruct
    images = spec((count, *dataset.shape), np.uint8) if raw else spec((count, *stated_shapes(config)[0]), np.float32)
    shapes = {"images": images, "labels": spec((count,), np.int32), "position": spec((count,), np.uint32)}
    if raw and dataset.reading.resize == "pad":
        shapes["sizes"] = spec((count, 2), np.int32)
    return shapes


def batch_of(config: Experiment, dataset: Dataset, *, raw: bool) -> Tree:
    """Returns one host batch of noise in these shapes."""
    rng, shapes = keys.generator(config.train.seed, "synthetic"), batch_shapes(config, dataset, raw=raw)
    images = shapes["images"]
    noise = rng.integers(0, 256, images.shape, np.uint8) if raw else rng.standard_normal(images.shape, np.float32)
    count = config.data.batch_size
    batch: dict[str, Any] = {
        "images": noise,
        "labels": rng.integers(0, len(dataset.class_names), count, np.int32),
        "position": np.arange(count, dtype=np.uint32),
    }
    if "sizes" in shapes:
        batch["sizes"] = np.tile(np.array(dataset.shape[:2], np.int32), (count, 1))
    return batch
