"""A run held against pictures: which they are, how they reach the devices, and what the network says of them."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from cnnjax import data
from cnnjax.config import Experiment
from cnnjax.core import logs
from cnnjax.core.arrays import Array, Batch, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import replicated
from cnnjax.data import Dataset, Split
from cnnjax.evaluation import split as evaluation
from cnnjax.training import converted
from cnnjax.training.step import eval_step, predict_step
from cnnjax.training.trained import Run


def loader(config: Experiment, dataset: Dataset, mesh: Any) -> Callable[[Split, Any], Any]:
    """How splits reach the devices: resident or streamed, by size or as the recipe says; both give the same batches."""
    threads = config.data.threads or os.cpu_count() or 1
    if config.data.loader == "resident" or (config.data.loader == "auto" and data.fits(dataset)):
        return lambda split, indices: data.Resident(split, mesh, indices, threads=threads)
    prefetch = config.data.prefetch
    return lambda split, indices: data.Streamed(split, mesh, indices, threads=threads, prefetch=prefetch)


def evaluation_size(config: Experiment, mesh: Any) -> int:
    """Evaluation pads its batches anyway, so any number is rounded up to what the devices can share."""
    size = config.evaluate.batch_size or config.data.batch_size
    return -(-size // mesh.size) * mesh.size


def data_of(run: Run, data_dir: str | Path | None) -> Dataset:
    """The prepared data that a run was trained on, at their old place or prepared again; never others."""
    source = run.config.data.source
    if source == converted.SOURCE:
        raise UserError(
            f"{run.folder} was converted and has no pictures of its own; give config.data.source=folder:PATH with them"
        )
    if not run.dataset.prepared:  # a converted run is held against any pictures of its classes
        dataset = data.prepare(run.config.data, data_dir)
        _ = _outputs(run, dataset)
        return dataset
    if (run.dataset.folder / "dataset.json").is_file():
        dataset = Dataset.read(run.dataset.folder)
    else:
        dataset = data.prepare(run.config.data, data_dir)
    if dataset.digest != run.dataset.digest:
        raise UserError(f"{source} no longer holds the pictures that the run was trained on; bring them back")
    return dataset


def _outputs(run: Run, dataset: Dataset) -> HostArray:
    """The output of the run for each class of a data set: of the same name, or failing that of the same place.

    Raises:
      UserError: the names are not the run's, and there are not as many classes as outputs.
    """
    have, wanted = dataset.class_names, {name: place for place, name in enumerate(run.classes)}
    strange = [name for name in have if name not in wanted]
    if not strange:
        return np.array([wanted[name] for name in have], np.int32)
    if len(have) != len(wanted):
        raise UserError(
            f"{run.config.data.source} has {len(have)} classes, "
            f"of which {strange[0]} is none of the run's {len(wanted)}; name them as the run does (convert "
            "--classes FILE says how), or give as many, in the order of its outputs"
        )
    return np.arange(len(have), dtype=np.int32)


def pictures_of(run: Run, split: str | None, data_dir: str | Path | None) -> tuple[Dataset, Split]:
    """The run's data and one split; None: test, of converted weights the first there is of test, val and train."""
    dataset = data_of(run, data_dir)
    if split is None:
        wanted = ("test",) if run.dataset.prepared else ("test", "val", "train")
        split = next((name for name in wanted if name in dataset.counts), "test")
    pictures = dataset.split(split)
    if not run.dataset.prepared:
        pictures.labels = _relabelled(pictures.labels, _outputs(run, dataset), len(run.classes))
    return dataset, pictures


def _relabelled(labels: HostArray, outputs: HostArray, width: int) -> HostArray:
    """Labels [N], or [N, k] of several a picture, as those of a run with `width` outputs."""
    if labels.ndim == 1:
        return outputs[labels]
    wide = np.zeros((len(labels), width), labels.dtype)
    wide[:, outputs] = labels
    return wide


def measure(step: Any, variables: Tree, source: Any, count: int, size: int, lines: bool = False) -> Any:
    """The metrics of one split, its last batch padded and masked, never dropped."""
    return _over(step, variables, source, count, size, lines, evaluation.evaluate_split)


def _over(step: Any, variables: Tree, source: Any, count: int, size: int, lines: bool, gather: Any) -> Any:
    rows = [{"index": index, "mask": mask} for index, mask in evaluation.batches(count, size)]
    with logs.progress("evaluating", len(rows), lines=lines) as tick:

        def ticking(batch: Batch) -> Any:
            tick()
            return step(variables, batch)

        return gather(ticking, source.batches(rows), count)


class Judge:
    """One run and one split of its pictures, ready to be evaluated.

    Args:
      run: opened.
      mesh: the devices that share each batch.
      split: train, val or test; None: test, of converted weights the first there is of test, val and train.
      data_dir: where data are kept.

    Attributes:
      pictures: the split.
    """

    def __init__(self, run: Run, mesh: Any, split: str | None = None, data_dir: str | Path | None = None):
        dataset, self.pictures = pictures_of(run, split, data_dir)
        self.run = run
        self._mesh = mesh
        self._source = loader(run.config, dataset, mesh)(self.pictures, None)
        self._variables = jax.device_put(run.variables, replicated(mesh))

    def figures(self) -> dict[str, Any]:
        """Returns the exact means over the split, summed on the device."""
        step = functools.partial(eval_step, parts=self.run.parts, temperature=self.run.temperature)
        return dict(self._over(step, evaluation.evaluate_split))

    def probabilities(self, temperatures: Sequence[float]) -> list[HostArray]:
        """Returns float32 [N, K] in the order of the split for each of the temperatures, in one pass."""

        def step(variables: Tree, batch: Batch) -> list[Array]:  # XLA sees that all begin with the same logits
            return [predict_step(variables, batch, self.run.parts, value) for value in temperatures]

        return list(self._over(step, evaluation.collect))

    def _over(self, step: Callable[..., Any], gather: Any) -> Any:
        jitted = jax.jit(step, out_shardings=replicated(self._mesh))
        size = evaluation_size(self.run.config, self._mesh)
        return _over(jitted, self._variables, self._source, len(self.pictures), size, True, gather)
