"""A finished or broken run, opened for use: its config, classes, variables, and predictions from files or arrays."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax.config import DataConfig, Experiment, differences, from_json, override, validate
from cnnjax.core import files, startup, trees
from cnnjax.core.arrays import Array, Batch, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import by_batch, replicated, rounded_up
from cnnjax.core.registry import nearest
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset, decode
from cnnjax.data.listing import read_file
from cnnjax.models import Model
from cnnjax.models.convolution import plain
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.inference import Inference, build_inference, predict_step

Which = Literal["best", "last"]
CONVERTED = "converted"
"""config.data.source of a run that has no images of its own."""


@dataclass(frozen=True)
class Run:
    """A trained model with all that belongs to it.

    Attributes:
      config: as the training resolved it.
      dataset: the description of the data it was trained on.
      inference: its model, pre-processing and views.
      variables: {"params", "batch_stats"} of the checkpoint, the running average where the recipe keeps one.
      step: of the checkpoint; `checkpoint` says which it is.
      folder: where it was opened.
      temperature: what logits are divided by, 1 unless the run was opened `calibrated`.
      mesh: the devices that share a batch of images to predict; None: the first one has it all.
    """

    config: Experiment
    dataset: Dataset
    inference: Inference
    variables: Tree
    step: int
    checkpoint: Which
    folder: RunDir
    temperature: float = 1.0
    calibrated: bool = False
    mesh: Mesh | None = None

    @property
    def model(self) -> Model:
        """Returns the model, at the input size of evaluation."""
        return self.inference.model

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the probabilities."""
        return self.dataset.class_names

    @property
    def reading(self) -> DataConfig:
        """The options by which images are decoded and fitted: as the training data were, or as they would be."""
        return self.config.data if self.dataset.prepared else self.config.reading

    def index(self, class_name: str) -> int:
        """Where a class stands among the probabilities; UserError, naming the nearest, where the run has no such."""
        if class_name not in self.classes:
            raise UserError(f"the run has no class {class_name}{nearest(class_name, self.classes)}")
        return self.classes.index(class_name)

    @functools.cached_property
    def params_digest(self) -> str:
        """Of the variables, `trees.digest`; found once, since it reads all of them."""
        return trees.digest(self.variables)

    @property
    def calibration(self) -> float | None:
        """The temperature that was fitted to this checkpoint, None without one."""
        path = self.folder.calibration
        saved = files.read_json(path) if path.is_file() else {}
        return saved["temperature"] if saved.get("params_digest") == self.params_digest else None

    @functools.cached_property
    def _predict(self) -> Callable[..., Any]:
        step = functools.partial(predict_step, inference=self.inference, temperature=self.temperature)

        def once(variables: Tree, batch: Batch) -> Array:
            with plain():  # the faster forms take longer to compile than a few images take
                return step(variables, batch)

        return jax.jit(once)

    @functools.cached_property
    def _logits(self) -> Callable[..., Any]:
        return jax.jit(self.model.apply)

    def predict(self, images: Any) -> HostArray:
        """Returns probabilities float32 [N, K].

        Args:
          images: paths of image files, or uint8 arrays [N, H, W, C]; any size, fitted as the training data were.

        Raises:
          UserError: one of them is no whole image.
        """
        rows = [np.zeros((0, len(self.classes)), np.float32)]
        for row in self.predict_each(images):
            if isinstance(row, UserError):
                raise row
            rows.append(row[None])
        return np.concatenate(rows)

    def predict_each(self, images: Any) -> Iterator[HostArray | UserError]:
        """Yields for each image, in order, its probabilities float32 [K], or what is wrong with it."""
        if getattr(images, "ndim", 4) != 4:
            raise UserError(
                f"images in an array are [N, H, W, C], not {list(images.shape)}; of one image give array[None], "
                "of gray ones array[..., None]"
            )
        items = [images] if isinstance(images, (str, Path)) else list(images)
        size = min(self.config.evaluate.batch_size or self.config.data.batch_size, max(len(items), 1))
        if self.mesh:
            size = rounded_up(size, self.mesh)
        with ThreadPoolExecutor(self.config.data.threads or startup.cores()) as pool:
            for start in range(0, len(items), size):
                fitted = list(pool.map(self.fit, items[start : start + size]))
                whole = [found for found in fitted if not isinstance(found, UserError)]
                rows = iter(self._probabilities(whole, size)) if whole else iter(())
                for found in fitted:
                    yield found if isinstance(found, UserError) else next(rows)

    def _probabilities(self, fitted: list[tuple[HostArray, tuple[int, int]]], size: int) -> HostArray:
        """Those of at most `size` images; the batch is filled up, so that it compiles once."""
        padded = fitted + fitted[-1:] * (size - len(fitted))
        batch = {"images": np.stack([image for image, _ in padded])}
        if self.config.data.resize == "pad":
            batch["sizes"] = np.asarray([true for _, true in padded], np.int32)
        if self.mesh:
            batch = jax.device_put(batch, by_batch(self.mesh))
        return np.asarray(self._predict(self.variables, batch))[: len(fitted)]

    def fit(self, item: Any) -> tuple[HostArray, tuple[int, int]] | UserError:
        """Fits a file or array as the training data were: uint8 [H, W, C] and its true size, or what is wrong."""
        rule = self.reading
        name = str(item) if isinstance(item, (str, Path)) else "an array"
        try:
            content = read_file(item, rule.max_bytes) if isinstance(item, (str, Path)) else np.asarray(item)
            fitted, true = decode.load(content, rule, name, self.dataset.shape[2])
        except decode.BadImageError as error:
            return UserError(f"{name} is no whole image ({error.reason}); leave it out")
        except UserError as error:
            return error
        except OSError as error:
            return UserError(f"{name} cannot be read ({error.strerror or error}); leave it out")
        if fitted.shape != self.dataset.shape:
            have, want = ("x".join(map(str, shape)) for shape in (fitted.shape, self.dataset.shape))
            return UserError(
                f"{name} is {have}, but the run was trained on {want}; resize it, or train with "
                "config.data.resize=center and config.data.size=HEIGHT,WIDTH"
            )
        return fitted, true

    def logits(self, images: Any) -> HostArray:
        """Returns logits float32 [N, K] of float32 [N, H, W, C], already normalized and of the model's input size."""
        images, size = np.asarray(images, np.float32), self.model.input_size
        wrong = UserError(f"logits takes images [N, {', '.join(map(str, size))}], not {list(images.shape)}")
        if images.ndim != 4:
            raise wrong
        try:
            return np.asarray(self._logits(self.variables, images))
        except Exception as error:  # whatever the model's layers say of it; some models take other sizes
            if images.shape[1:] == size:
                raise
            raise wrong from error


def saved_config(folder: RunDir) -> Experiment:
    """The config that a run was trained with."""
    return from_json(files.read_json(folder.config))


def saved_dataset(folder: RunDir) -> Dataset:
    """The description of the data that a run was trained on; UserError where it is gone or damaged."""
    try:
        return Dataset.from_json(files.read_json(folder.dataset))
    except OSError:
        raise UserError(f"{folder.dataset} is gone or cannot be read; restore it from a copy") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder.dataset} does not describe a data set; restore it from a copy") from error


def open_run(
    path: str | Path,
    *,
    checkpoint: Which | None = None,
    overrides: Mapping[str, Any] | None = None,
    calibrated: bool = False,
    mesh: Mesh | None = None,
) -> Run:
    """Opens a run folder; needs neither the recipe nor the data.

    Args:
      path: the run folder.
      checkpoint: best or last; None: the best where there is one, else the last.
      overrides: {"evaluate.views": "ten_crop"}: keys that leave what was trained as it is.
      calibrated: with the temperature that `evaluate --calibrate` has fitted to this checkpoint.
      mesh: the devices that share a batch of images to predict, of one axis "data"; None: the first one has it all.

    Raises:
      UserError: no run folder, no checkpoint, one that cannot be read, or one without a temperature.
    """
    folder = RunDir.existing(path)
    config = saved_config(folder)
    dataset = saved_dataset(folder)
    if overrides:
        changed = validate(override(config, overrides))
        bound = differences(config, changed)
        if not dataset.prepared:  # never trained here: it takes any images
            bound = {key: pair for key, pair in bound.items() if not key.startswith("data.")}
        if bound:
            raise UserError(f"config.{next(iter(bound))} belongs to the training of {path}; it cannot be changed now")
        config, dataset = _finer(config, changed, dataset)
    inference = build_inference(config, dataset, config.evaluate)
    checkpoints = Checkpoints(folder.checkpoints, read_only=True)
    try:
        step = checkpoints.choose(checkpoint)
        variables, progress = checkpoints.restore_variables(step, inference.model.shapes())
    finally:
        checkpoints.close()
    which: Which = "best" if checkpoint != "last" and step == progress.best_step else "last"
    variables = jax.device_put(variables, replicated(mesh) if mesh else jax.local_devices()[0])
    run = Run(config, dataset, inference, variables, step, which, folder, mesh=mesh)
    if not calibrated:
        return run
    temperature = run.calibration
    if temperature is None:
        raise UserError(f"{path} has no temperature for its {which} checkpoint; fit one by cnnjax evaluate --calibrate")
    return dataclasses.replace(run, temperature=temperature, calibrated=True)


def _finer(old: Experiment, new: Experiment, dataset: Dataset) -> tuple[Experiment, Dataset]:
    """Has images that are yet to be prepared made of the size that `evaluate.input_size` is best shown."""
    data, seen, trained = new.data, new.evaluate.input_size, new.model.input_size
    if dataset.prepared or data.size is None:
        return new, dataset
    if seen and trained and data.size == old.data.size:
        height, width = (round(side * now / then) for side, now, then in zip(data.size, seen, trained[:2], strict=True))
        data = dataclasses.replace(data, size=(height, width))
    if seen:
        data = dataclasses.replace(data, center_crop=seen)
    shape = (*cast(tuple[int, int], data.size), dataset.shape[2])
    return dataclasses.replace(new, data=data), dataclasses.replace(dataset, shape=shape)
