"""The pipeline: in `train` the data's whole way, each stage one visible call.

source -> prepared records -> loader -> device feed -> augment -> model -> loss -> optimizer -> checkpoint
       -> evaluation -> report
"""

import contextlib
import dataclasses
import functools
import itertools
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import Mesh

from cnnjax import data
from cnnjax.augment.operations import AUGMENTATIONS
from cnnjax.baselines import BASELINES
from cnnjax.config import Experiment, flat, override, validate
from cnnjax.core import files, logs, meters, trees
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import fit_mesh, replicated
from cnnjax.core.registry import Registry
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset
from cnnjax.evaluation.custom import METRICS
from cnnjax.evaluation.views import VIEWS
from cnnjax.models.base import MODELS, find
from cnnjax.optim import LOSSES, OPTIMIZERS, SCHEDULES, schedules
from cnnjax.report import charts
from cnnjax.runs import transfer
from cnnjax.runs.actions import evaluate
from cnnjax.runs.evaluator import InputWatch, evaluation_size, look, measure
from cnnjax.runs.run import saved_dataset
from cnnjax.runs.workdir import check_same_run, check_workdir, describe_run, lock
from cnnjax.training import loop
from cnnjax.training.build import (
    build_parts,
    check_images,
    compiled,
    dispatches,
    first_state,
    keep_compiled,
    loader,
    mesh_of,
    resolve,
    state_shapes,
    steps_per_dispatch,
    to_learn,
)
from cnnjax.training.callbacks import CALLBACKS, Callback, Callbacks, Console, MetricsFile, OnLog, Record
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.inference import build_model, eval_step
from cnnjax.training.loop import Length, Loop
from cnnjax.training.state import Progress, TrainState, create_state
from cnnjax.training.step import Parts

SEARCHED_AT_END = 10_000
"""Training images that the report at a training's end looks through for likenesses; more take evaluate --report."""


def train(
    config: Experiment,
    workdir: str | Path,
    *,
    data_dir: str | Path | None = None,
    callbacks: Sequence[Callback | Callable[[Record], None]] = (),
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Trains a recipe into a run folder, or goes on with the run that is there, and evaluates it.

    Args:
      config: a recipe, such as `cnnjax.load_config("configs/lenet_digits.py")`.
      workdir: the run folder. The same call continues a broken run exactly; a finished one returns its figures at once.
      data_dir: where data are kept; default $CNNJAX_DATA_DIR, else ~/.cache/cnnjax.
      callbacks: called while it trains, beside config.train.callbacks: each a `Callback`, or f(record), which is called
        with every line of metrics.jsonl.
      mesh: the devices that train together, of one axis "data"; None: all that are of use.

    Returns:
      The report of the test split (without one, of validation; without that, of training): top1, top5, log_loss, ...;
      of nearest neighbors, which give no probabilities, top1 and count alone.

    Raises:
      UserError: bad input; nothing was written. RunError: a loss is not finite. Stopped: a signal came; all is saved.
    """
    if not isinstance(config, Experiment):
        raise UserError(f"train takes a config, not {config!r}; read one by cnnjax.load_config(FILE)")
    config, run = _importable(validate(config)), RunDir(workdir)
    with lock(run):
        keep_compiled(data_dir)
        if config.model.name in BASELINES:
            return BASELINES[config.model.name](config, run, data_dir)
        config = transfer.inherit(config, run)
        _check_early(config, run, mesh)
        dataset = data.prepare(config, data_dir)
        config = resolve(config, dataset)
        training = to_learn(config, dataset.split("train"))
        length = Length.of(config.train, images=len(training), batch_size=config.data.batch_size)
        parts = build_parts(config, dataset, length)
        validates = "val" in dataset.counts and not config.train.overfit
        _check_validation(config, validates)
        check_images(parts, dataset)
        most = steps_per_dispatch(parts, dataset)
        check_same_run(run, config, dataset, most)

        checkpoints, used = Checkpoints(run.checkpoints), mesh_of(parts, mesh)
        state, progress = _begin_or_go_on(parts, dataset.class_names, checkpoints, length, used)
        describe_run(run, config, dataset, most)
        if progress.finished:
            logs.say(f"{run.root} is finished ({progress.finished} at step {int(state.step)})")
            return _finish(run, config, progress, int(state.step), data_dir=data_dir, mesh=mesh)

        start = int(state.step)
        _announce(config, parts, dataset, length, used, start)
        load = loader(config, dataset, used)
        function, batches = dispatches(config, load(training), length, most, start)
        step, batches = _compile(function, parts, state, batches, used)
        validation = _validator(parts, dataset, load, used) if validates else None
        callback = _callbacks(config, dataset, callbacks)
        decide = functools.partial(loop.decide, config)
        trace = meters.Trace(config.train.profile, run.profile)
        work = Loop(config.train, length, step, validation, decide, checkpoints, callback, trace, most)
        report = None
        try:
            callback.on_start(run, config, start)
            with contextlib.closing(checkpoints):
                state, progress = work.run(state, progress, batches)
            logs.say(f"{progress.finished}: step {int(state.step):,}, {meters.duration(progress.seconds)} of training")
            report = _finish(run, config, progress, int(state.step), data_dir=data_dir, mesh=mesh)
        finally:
            callback.on_end(report)
        return report


def repeat(config: Experiment, workdir: str | Path, times: int, **options: Any) -> dict[str, Any]:
    """Trains seeds s ... s + times - 1 into folders of their own and returns {"runs", "mean", "deviation"} of top-1."""
    reports = []
    for seed in range(config.train.seed, config.train.seed + times):
        seeded = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed))
        reports.append(train(seeded, Path(workdir) / f"seed_{seed}", **options))
    scores = [report["top1"] for report in reports]
    deviation = statistics.stdev(scores) if times > 1 else 0.0
    logs.say(f"top-1 over {times} seeds: {statistics.mean(scores):.2%}, standard deviation {deviation:.2%}")
    return {"runs": reports, "mean": statistics.mean(scores), "deviation": deviation}


# ---------------------------------------------------------------- the pieces of train, in the order of their use


REGISTRIES: dict[str, Registry[Any]] = {
    "model.name": MODELS,
    "augment.operations": AUGMENTATIONS,
    "optimizer.name": OPTIMIZERS,
    "optimizer.schedule": SCHEDULES,
    "train.loss": LOSSES,
    "train.callbacks": CALLBACKS,
    "evaluate.views": VIEWS,
    "evaluate.metrics": METRICS,
}
"""The registries in which the names of a config are looked up."""


def _names(config: Experiment) -> Iterator[tuple[str, Registry[Any], tuple[str, ...]]]:
    """Yields key, registry and names of each option that is looked up in a registry."""
    values = flat(config)
    for key, registry in REGISTRIES.items():
        yield key, registry, values[key] if isinstance(values[key], tuple) else (values[key],)


def _importable(config: Experiment) -> Experiment:
    """Names what is one's own as other processes find it, which have the run folder alone."""
    changes: dict[str, Any] = {}
    for key, registry, names in _names(config):
        lasting = tuple(registry.importable_name(name) for name in names)
        for name, new in zip(names, lasting, strict=True):
            home = new.rpartition(":")[0]
            if new != name and (home == "__main__" or home not in sys.modules):  # a recipe is no module
                logs.say(
                    f"{name} is registered in the recipe or program itself, where evaluate and predict will not find "
                    "it; register it in a module that the recipe imports"
                )
        if lasting != names:
            changes[key] = lasting if isinstance(flat(config)[key], tuple) else lasting[0]
    return override(config, changes)


def _callbacks(config: Experiment, dataset: Dataset, more: Sequence[Callback | Callable[[Record], None]]) -> Callbacks:
    """Makes all callbacks of a training, its own logs first."""
    named = (*(("tensorboard",) if config.train.tensorboard else ()), *config.train.callbacks)
    own = [MetricsFile(), Console(), InputWatch(config, dataset), *(CALLBACKS[name]() for name in named)]
    return Callbacks([*own, *(one if isinstance(one, Callback) else OnLog(one) for one in more)])


def _check_early(config: Experiment, run: RunDir, mesh: Mesh | None) -> None:
    """What is wrong without a look at the data is told before they are prepared, which can take hours."""
    fit_mesh(mesh, config.data.batch_size, config.train.accumulate)
    for _key, registry, names in _names(config):
        for name in names:
            _ = find(name) if registry is MODELS else registry[name]
    if config.model.input_size and config.model.num_classes:
        build_model(config)
    check_workdir(run, config)


def _check_validation(config: Experiment, validates: bool) -> None:
    if validates:
        return
    for key, wants in {
        "config.optimizer.schedule=plateau": config.optimizer.schedule == "plateau",
        "config.train.early_stopping": bool(config.train.early_stopping),
    }.items():
        if wants:
            raise UserError(
                f"{key} needs a validation split; set config.data.val_fraction above 0, and no train.overfit"
            )


def _begin_or_go_on(
    parts: Parts, class_names: tuple[str, ...], checkpoints: Checkpoints, length: Length, mesh: Any
) -> tuple[TrainState, Progress]:
    last = checkpoints.last()
    if last is None:
        state = jax.jit(functools.partial(first_state, parts), out_shardings=replicated(mesh))()
        if parts.config.model.init:
            fresh = {"params": state.params, "batch_stats": state.batch_stats}
            variables = transfer.begin(fresh, parts.model, parts.config.model.init, class_names)
            state = create_state(variables, parts.optimizer, average=bool(parts.config.train.ema))
            state = jax.device_put(state, replicated(mesh))
        return state, Progress(plateau=schedules.plateau_start())
    state, progress = checkpoints.restore(last, state_shapes(parts), replicated(mesh))
    budget = parts.config.train.time_budget
    more_time = progress.finished == loop.BUDGET_SPENT and (not budget or budget > progress.seconds)
    more_steps = progress.finished == loop.ALL_DONE and last < length.steps
    if more_time or more_steps:
        progress.finished = ""
    return state, progress


def _announce(config: Experiment, parts: Parts, dataset: Dataset, length: Length, mesh: Any, start: int) -> None:
    counts = ", ".join(f"{count:,} {name}" for name, count in dataset.counts.items())
    params = trees.size(parts.model.shapes()["params"])
    logs.say(f"data: {config.data.source}, {counts} images of {len(dataset.class_names)} classes")
    logs.say(f"model: {config.model.name}, {params:,} parameters, input {'x'.join(map(str, parts.model.input_size))}")
    what = f"going on, steps {start + 1:,} to {length.steps:,}" if start else f"{length.steps:,} steps"
    kind = jax.devices()[0].device_kind
    logs.say(f"training: {what} of {length.batch_size} images on {mesh.size} x {kind}")


def _compile(function: Any, parts: Parts, state: TrainState, batches: Any, mesh: Any) -> tuple[Any, Any]:
    first = next(batches)
    with meters.Stopwatch() as watch:
        step = compiled(function, parts, state, first, mesh)
    logs.say(f"compiled in {meters.duration(watch.seconds)}")
    return step, itertools.chain([first], batches)


def _validator(parts: Parts, dataset: Dataset, load: Any, mesh: Any) -> Callable[[TrainState], dict[str, float]]:
    images = dataset.split("val")
    source = load(images)
    size = evaluation_size(parts.config, mesh)
    step = jax.jit(functools.partial(eval_step, inference=parts.inference), out_shardings=replicated(mesh))

    def validate(state: TrainState) -> dict[str, float]:
        measured = measure(step, state.variables, source, len(images), size)
        return {"val/loss": measured["log_loss"], "val/top1": measured["top1"]}

    return validate


def _finish(run: RunDir, config: Experiment, progress: Progress, last: int, **options: Any) -> dict[str, Any]:
    """Evaluates the best checkpoint (unless that was done), draws the curves, and says what came out."""
    counts = saved_dataset(run).counts
    split = "train" if config.train.overfit else next(name for name in ("test", "val", "train") if name in counts)
    best = progress.best_step >= 0
    expected = {
        "checkpoint": "best" if best else "last",
        "step": progress.best_step if best else last,
        **look(config),
        "calibrated": False,
    }
    report = files.read_json(run.evaluation(split)) if run.evaluation(split).is_file() else {}
    if any(report.get(key) != value for key, value in expected.items()):
        overrides = {f"evaluate.{name}": getattr(config.evaluate, name) for name in ("views", "scales", "input_size")}
        report = evaluate(
            run.root,
            split=split,
            overrides=overrides,
            report=config.evaluate.report,
            most_searched=SEARCHED_AT_END,
            **options,
        )
    if logs.read_metrics(run.metrics):
        try:
            charts.curves(run.metrics, run.figures / "curves.png", test=report if split == "test" else None)
        except ModuleNotFoundError:
            logs.say("the curves were not drawn: matplotlib is not installed")
    top5 = f", top-5 {report['top5']:.2%}" if report["top5"] is not None else ""
    logs.say(
        f"{split}: top-1 {report['top1']:.2%}{top5}, log loss {report['log_loss']:.4f} on {report['count']:,} images "
        f"({report['checkpoint']} checkpoint, step {report['step']:,})"
    )
    logs.say(f"curves, config, metrics, evaluation and checkpoints are in {run.root}")
    return report
