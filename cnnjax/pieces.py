"""The pieces for a training loop of one's own: data, batches, augmentation and evaluation, without a run folder.

Models come from `create_model`; losses, optimizers and schedules from `cnnjax.optim`.
"""

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.augment import pipeline
from cnnjax.augment.normalize import normalize
from cnnjax.config import AugmentConfig, DataConfig, EvaluateConfig
from cnnjax.core import files, startup
from cnnjax.core.arrays import Array, Batch, HostArray, Tree
from cnnjax.core.mesh import fit_mesh, make_mesh, replicated, rounded_up
from cnnjax.data import Dataset, Resident, Split, Streamed, TrainingRows, default_data_dir, prepare
from cnnjax.data.resident import holds
from cnnjax.evaluation import views
from cnnjax.models import Model
from cnnjax.runs.evaluator import measure
from cnnjax.training.inference import Inference, eval_step
from cnnjax.training.loop import steps_in
from cnnjax.training.step import as_targets

ENDLESS = 2**40  # steps


def dataset(
    images: HostArray,
    labels: HostArray,
    *,
    test: tuple[HostArray, HostArray] | None = None,
    class_names: Sequence[str] = (),
    data_dir: str | Path | None = None,
    **options: Any,
) -> Dataset:
    """Makes a prepared data set of arrays, kept in the cache as that of any source.

    Args:
      images: [N, H, W] or [N, H, W, C], of uint8, uint16, or fractions in 0..1.
      labels: int [N], or 0 and 1 [N, K] of several labels an image.
      test: (images, labels) of the test split; None: a part of the images, see `DataConfig.test_fraction`.
      class_names: in label order; without them classes are called by their numbers.
      data_dir: where data are kept; default $CNNJAX_DATA_DIR, else ~/.cache/cnnjax.
      **options: further fields of DataConfig, such as val_fraction.
    """
    arrays = {"x_train": images, "y_train": labels} if test else {"images": images, "labels": labels}
    if test:
        arrays |= {"x_test": test[0], "y_test": test[1]}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    sha = hashlib.sha256()
    for name, array in arrays.items():
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(array.tobytes())
    path = Path(data_dir or default_data_dir()).absolute() / "arrays" / f"{sha.hexdigest()[:24]}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.atomic(path) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    return prepare(DataConfig(source=f"arrays:{path}", class_names=tuple(class_names), **options), data_dir)


def loader(
    split: Split,
    batch_size: int,
    *,
    seed: int = 0,
    epochs: float | None = None,
    start: int = 0,
    resident: bool | None = None,
    threads: int = 0,
    mesh: Mesh | None = None,
) -> Iterator[Batch]:
    """Yields training batches on the devices, each epoch in an order of its own; batches cross the ends of epochs.

    Args:
      split: of a prepared data set, `dataset.split("train")`.
      seed: of the order.
      epochs: how long; None: without end.
      start: steps done: the batches go on as if these had been taken, so that a loop can be resumed.
      resident: the images are kept on the devices; None: where they fit.
      threads: that read; 0: as many as there are cores.
      mesh: the devices that share each batch; None: all.

    Yields:
      {"images": uint8 [B, H, W, C], "labels": int32 [B] or uint8 [B, K], "position": uint32 [B]}.
    """
    mesh, threads = fit_mesh(mesh or make_mesh(), batch_size), threads or startup.cores()
    stop = ENDLESS if epochs is None else steps_in(epochs, len(split), batch_size)
    rows = TrainingRows(seed, len(split), batch_size, start=start, stop=stop)
    return _source(split, mesh, threads, resident).batches(rows)


def _source(split: Split, mesh: Mesh, threads: int, resident: bool | None = None) -> Resident | Streamed:
    kept = holds(len(split), split.shape) if resident is None else resident
    return Resident(split, mesh, threads=threads) if kept else Streamed(split, mesh, threads=threads)


def augmentation(
    config: AugmentConfig, dataset: Dataset, model: Model, *, seed: int = 0
) -> Callable[[Batch], tuple[Array, Array]]:
    """Returns f(batch) -> (images float32 [N, h, w, C], targets float32 [N, K]), for inside a jitted step.

    The images are augmented and normalized as the model sees them; what is drawn depends on the seed and the position
    of an image alone.

    Args:
      config: the options.
      dataset: that the batches come from, whose statistics normalize.
      model: whose input size and number of outputs decide.
    """
    made = pipeline.train_pipeline(config, seed=seed, statistics=dataset.statistics, input_size=model.input_size[:2])

    def augment(batch: Batch) -> tuple[Array, Array]:
        targets = as_targets(batch["labels"], model.num_classes)
        return made(batch["images"], targets, batch["position"], batch.get("sizes"))

    return augment


def evaluate_variables(
    model: Model,
    variables: Tree,
    dataset: Dataset,
    split: str = "test",
    *,
    augment: AugmentConfig | None = None,
    loss: str = "softmax",
    view: str = "single",
    batch_size: int = 256,
    mesh: Mesh | None = None,
) -> dict[str, float]:
    """Evaluates any variables of a model on a split, every image exactly once.

    Args:
      variables: {"params", "batch_stats"}.
      augment: whose normalization the model was trained with; None: that of `AugmentConfig()`.
      loss: that it was trained with, by whose rule logits become probabilities.
      view: which crops are averaged, see `EvaluateConfig.views`.

    Returns:
      count, top1, top5 (with more than 5 classes), log_loss; of several labels also exact_match and label_accuracy.
    """
    mesh, config = mesh or make_mesh(), augment or AugmentConfig()
    inference = Inference(
        model,
        loss,
        lambda values: normalize(values, config, dataset.statistics),
        pipeline.eval_pipeline(
            config, statistics=dataset.statistics, input_size=model.input_size[:2], views=views.VIEWS[view]
        ),
        EvaluateConfig(views=view),
    )
    step = jax.jit(functools.partial(eval_step, inference=inference), out_shardings=replicated(mesh))
    images = dataset.split(split)
    source, size = _source(images, mesh, startup.cores()), rounded_up(batch_size, mesh)
    return dict(measure(step, jax.device_put(variables, replicated(mesh)), source, len(images), size))
