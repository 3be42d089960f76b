"""A finished or broken run, opened for use: its config, classes, variables, and predictions from files or arrays."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from cnnjax import recipes
from cnnjax.config import Experiment
from cnnjax.core import files
from cnnjax.core.arrays import HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset, decode
from cnnjax.data.listing import read_file
from cnnjax.training.assemble import assemble, state_shapes
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.loop import Length
from cnnjax.training.step import Parts, predict_step

Which = Literal["best", "last"]


@dataclass(frozen=True)
class Run:
    """A trained model with all that belongs to it.

    Attributes:
      config: as the training resolved it.
      dataset: the description of the data it was trained on.
      parts: its model and pipelines.
      variables: {"params", "batch_stats"} of the checkpoint, the running average where the recipe keeps one.
      step: of the checkpoint; `checkpoint` says which it is.
      folder: where it was opened.
      temperature: what logits are divided by; 1 unless the run was opened calibrated.
    """

    config: Experiment
    dataset: Dataset
    parts: Parts
    variables: Tree
    step: int
    checkpoint: Which
    folder: RunDir
    temperature: float = 1.0

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.dataset.class_names

    @functools.cached_property
    def _predict(self) -> Callable[..., Any]:
        return jax.jit(functools.partial(predict_step, parts=self.parts, temperature=self.temperature))

    @functools.cached_property
    def _logits(self) -> Callable[..., Any]:
        return jax.jit(self.parts.model.apply)

    def predict(self, pictures: Any) -> HostArray:
        """Returns probabilities float32 [N, K].

        Args:
          pictures: paths of picture files, or uint8 arrays [N, H, W, C]; any size, fitted as the training data were.
        """
        items = [pictures] if isinstance(pictures, (str, Path)) else list(pictures)
        size = min(self.config.evaluate.batch_size or self.config.data.batch_size, max(len(items), 1))
        rows = [np.zeros((0, len(self.classes)), np.float32)]
        for start in range(0, len(items), size):
            chunk = [self._fit(item) for item in items[start : start + size]]
            missing = size - len(chunk)
            batch = {"images": np.stack([image for image, _ in chunk + chunk[-1:] * missing])}
            if self.config.data.resize == "pad":
                batch["sizes"] = np.asarray([true for _, true in chunk + chunk[-1:] * missing], np.int32)
            rows.append(np.asarray(self._predict(self.variables, batch))[: len(chunk)])
        return np.concatenate(rows)

    def _fit(self, item: Any) -> tuple[HostArray, tuple[int, int]]:
        rule = self.config.data
        name = str(item) if isinstance(item, (str, Path)) else "an array"
        try:
            content = read_file(item, rule.max_bytes) if isinstance(item, (str, Path)) else np.asarray(item)
            fitted, true = decode.load(content, rule, name, self.dataset.shape[2])
        except decode.BadPictureError as error:
            raise UserError(f"{name} is no whole picture ({error.reason}); leave it out") from error
        if fitted.shape != self.dataset.shape:
            have, want = ("x".join(map(str, shape)) for shape in (fitted.shape, self.dataset.shape))
            raise UserError(
                f"{name} is {have}, but the run was trained on {want}; resize it or train with a resize rule"
            )
        return fitted, true

    def logits(self, images: Any) -> HostArray:
        """Returns logits float32 [N, K] of float32 [N, H, W, C], already normalised and of the model's input size."""
        return np.asarray(self._logits(self.variables, np.asarray(images, np.float32)))


def saved_config(folder: RunDir) -> Experiment:
    """The config that a run was trained with."""
    return recipes.from_json(files.read_json(folder.config))


def open_run(path: str | Path, *, checkpoint: Which | None = None, overrides: Mapping[str, Any] | None = None) -> Run:
    """Opens a run folder; needs neither the recipe nor the data.

    Args:
      path: the run folder.
      checkpoint: best or last; None: the best where there is one, else the last.
      overrides: {"evaluate.views": "ten_crop"}: keys that leave what was trained as it is.

    Raises:
      UserError: no run folder, no checkpoint, or one that cannot be read.
    """
    folder = RunDir.existing(path)
    config = saved_config(folder)
    if config.model.name == "knn":
        raise UserError(f"{path} compared pictures and learned nothing; its figures are in {folder.root / 'eval'}")
    dataset = Dataset.from_json(files.read_json(folder.dataset))
    if overrides:
        changed = recipes.validate(recipes.override(config, overrides))
        bound = recipes.differences(config, changed)
        if not dataset.prepared:  # never trained here: it takes any pictures
            bound = {key: pair for key, pair in bound.items() if not key.startswith("data.")}
        if bound:
            raise UserError(f"config.{next(iter(bound))} belongs to the training of {path}; it cannot be changed now")
        config = changed
    parts = assemble(config, dataset, Length(1, 1, 1, 1.0), view=config.evaluate.views)
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    try:
        step = checkpoints.choose(checkpoint)
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        state, progress = checkpoints.restore(step, state_shapes(parts), here)
    finally:
        checkpoints.close()
    which: Which = "best" if checkpoint != "last" and step == progress.best_step else "last"
    return Run(config, dataset, parts, state.variables, step, which, folder)
