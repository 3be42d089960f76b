"""From a config and a prepared data set to everything that the steps are traced from."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax import data
from cnnjax.augment import pipeline
from cnnjax.augment.normalize import as_levels
from cnnjax.config import Experiment, validate
from cnnjax.core import files, keys, startup, trees
from cnnjax.core.arrays import Batch
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import fit_mesh, replicated
from cnnjax.data import Dataset, Split
from cnnjax.models import summarize
from cnnjax.optim import LOSSES, optimizers, schedules
from cnnjax.training.inference import build_inference
from cnnjax.training.loop import Length
from cnnjax.training.state import TrainState, create_state
from cnnjax.training.step import Parts, attacked, train_step, train_steps


def resolve(config: Experiment, dataset: Dataset) -> Experiment:
    """Fills in what the recipe left to the data (number of classes, input size) and holds the rest against them."""
    classes, shape = len(dataset.class_names), dataset.shape
    if config.model.num_classes not in (None, classes):
        raise UserError(
            f"config.model.num_classes={config.model.num_classes}, but {config.data.source} has {classes} classes; "
            f"set config.model.num_classes={classes} or none"
        )
    size = config.model.input_size or shape
    if size[2] != shape[2]:
        raise UserError(
            f"config.model.input_size={'x'.join(map(str, size))} has {size[2]} channels, but the images have "
            f"{shape[2]}; set config.data.channels={size[2]}, or the input size to match"
        )
    if dataset.multi_label and not LOSSES[config.train.loss].independent:
        raise UserError(f"{config.data.source} gives several labels an image; set config.train.loss=sigmoid")
    model = dataclasses.replace(config.model, num_classes=classes, input_size=size)
    reading = dataset.reading
    images = dataclasses.replace(
        config.data,
        resize=reading.resize,
        size=reading.size,
        center_crop=config.data.center_crop or reading.center_crop,
        channels=shape[2],
    )
    augment = config.augment
    if augment.normalize == "auto":
        augment = dataclasses.replace(augment, normalize="dataset")
    # What the data decide must be within the ranges too: config.json is held against them whenever it is read.
    return validate(dataclasses.replace(config, data=images, model=model, augment=augment))


def build_parts(config: Experiment, dataset: Dataset, length: Length) -> Parts:
    """Builds everything that the training step is traced from."""
    inference = build_inference(config, dataset)
    return Parts(
        config=config,
        inference=inference,
        optimizer=optimizers.optimizer(config.optimizer, decay=not config.train.overfit),
        schedule=schedules.schedule(config.optimizer, steps=length.steps, steps_per_epoch=length.steps_per_epoch),
        augment=pipeline.train_pipeline(
            as_levels(config.augment) if attacked(config) else config.augment,
            seed=config.train.seed,
            statistics=dataset.statistics,
            input_size=inference.model.input_size[:2],
            plain=bool(config.train.overfit),
        ),
    )


def check_images(parts: Parts, dataset: Dataset) -> None:
    """Traces the pipelines by shapes alone, so that images which do not fit the model are told early.

    So are the views by which the recipe has the trained model evaluated at its end.
    """
    spec = jax.ShapeDtypeStruct
    images, sizes = spec((1, *dataset.shape), np.uint8), None
    if dataset.reading.resize == "pad":
        sizes = spec((1, 2), np.int32)
    targets = spec((1, parts.model.num_classes), np.float32)
    jax.eval_shape(parts.augment, images, targets, spec((1,), np.uint32), sizes)
    jax.eval_shape(parts.inference.views, images, sizes)
    at_end = build_inference(parts.config, dataset, parts.config.evaluate)
    for scale in at_end.options.scales:
        seen = jax.eval_shape(functools.partial(at_end.views, scale=scale), images, sizes)
        if at_end.options.views == "dense":  # which needs a map to move the head over
            jax.eval_shape(at_end.model.apply_dense, at_end.model.shapes(), spec(seen.shape[1:], seen.dtype))


def first_state(parts: Parts) -> TrainState:
    """The state of step 0, from `train.seed`; traceable."""
    variables = parts.model.init(keys.key(parts.config.train.seed, "init"))
    return create_state(variables, parts.optimizer, average=bool(parts.config.train.ema))


def state_shapes(parts: Parts) -> TrainState:
    """The same as shapes, for restoring into."""
    return jax.eval_shape(functools.partial(first_state, parts))


def mesh_of(parts: Parts, mesh: Mesh | None = None) -> Mesh:
    """Returns the devices that train together, see `fit_mesh`."""
    config, parameters = parts.config, trees.size(state_shapes(parts).params)
    return fit_mesh(mesh, config.data.batch_size, config.train.accumulate, parameters=parameters)


def to_learn(config: Experiment, training: Split) -> Split:
    """All training images, or with `train.overfit` so many of them, the same at every start."""
    count = config.train.overfit
    if not count:
        return training
    if count > len(training):
        raise UserError(f"config.train.overfit={count}, but there are only {len(training)} training images")
    return data.Chosen(training, keys.generator(config.train.seed, "overfit").permutation(len(training))[:count])


def is_resident(config: Experiment, dataset: Dataset) -> bool:
    """Whether images are kept on the devices: as the recipe says, else where they fit."""
    return config.data.loader == "resident" or (config.data.loader == "auto" and data.fits(dataset))


def loader(config: Experiment, dataset: Dataset, mesh: Mesh) -> Callable[[Split], Any]:
    """How splits reach the devices: resident or streamed, by size or as the recipe says; both give the same batches."""
    threads = config.data.threads or startup.cores()
    if is_resident(config, dataset):
        return lambda split: data.Resident(split, mesh, threads=threads)
    prefetch = config.data.prefetch
    return lambda split: data.Streamed(split, mesh, threads=threads, prefetch=prefetch)


def training_rows(config: Experiment, length: Length, start: int = 0) -> data.TrainingRows:
    """Which images the steps behind `start` take."""
    return data.TrainingRows(
        config.train.seed,
        length.images,
        length.batch_size,
        start=start,
        stop=length.steps,
        alternate=config.augment.alternate,
    )


LIGHT = 500_000_000
"""Multiply-adds of a batch up to which a CPU gains by several steps a dispatch: on two cores the 0.5 million an image
of `mlp` trained 1.4 times as fast, LeNet-5's 1.17 times, the 0.9 million of `cnn1` 1.1 times."""


def _is_light(parts: Parts) -> bool:
    return parts.config.data.batch_size * summarize(parts.model).macs <= LIGHT


def steps_per_dispatch(parts: Parts, dataset: Dataset) -> int:
    """How many steps the device takes in one go, at most; one of streamed images.

    On a CPU more than one only of a light model without strided or grouped convolutions: of their gradients XLA makes
    plain loops in the body of a loop, and ResNet-20 gets 1.5 times slower. The bits are those of another program, so
    nothing has a say in it that may differ where a run goes on, such as log_every.
    """
    config = parts.config
    if not is_resident(config, dataset):
        return 1
    if config.train.steps_per_dispatch:
        return config.train.steps_per_dispatch
    if jax.default_backend() != "cpu":
        return 32
    return 16 if _is_light(parts) and parts.model.trace.steady else 1


def _learn_apart(parts: Parts, mesh: Mesh) -> bool:
    """Whether CPU devices are the better for taking the gradient each of its own images, and may."""
    if mesh.size == 1 or jax.default_backend() != "cpu" or not _is_light(parts):
        return False
    return parts.model.solitary and not parts.config.train.log_dead_relu  # which looks at the whole batch


def dispatches(
    config: Experiment, source: Any, length: Length, most: int, start: int = 0
) -> tuple[Callable[..., Any], Iterator[Batch]]:
    """The step to compile, and what it takes behind step `start`; `most` is of `steps_per_dispatch`."""
    rows = training_rows(config, length, start)
    if most == 1:
        return train_step, source.batches(rows)
    spans = length.dispatches(start, most, config.train.log_every)
    return train_steps, source.dispatches(rows, (last - first + 1 for first, last in spans), most)


def compiled(function: Callable[..., Any], parts: Parts, state: TrainState, batch: Batch, mesh: Mesh) -> Any:
    """Compiles a training step ahead of its use: one trace, by construction, and the first step is as fast as others.

    Returns:
      f(state, batch) -> (state, scalars), which donates the state.
    """
    if _learn_apart(parts, mesh):
        parts = dataclasses.replace(parts, apart=mesh)
    options: dict[str, str | bool] = {"xla_gpu_deterministic_ops": True} if parts.config.train.deterministic else {}
    jitted = jax.jit(functools.partial(function, parts=parts), donate_argnums=0, out_shardings=replicated(mesh))
    return jitted.lower(state, batch).compile(compiler_options=options)


def keep_compiled(data_dir: str | Path | None) -> None:
    """Has compiled programs kept beside the prepared data, where later runs find them again."""
    folder = Path(data_dir or data.default_data_dir()) / "compiled"
    if files.obstacle(folder):  # a sentence of `prepare` tells, where the folder is needed for data too
        return
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(folder))
