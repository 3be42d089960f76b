"""The spine: one function per verb; in `train` the data's whole way, each stage one visible call.

source -> prepared records -> loader -> device feed -> augment -> model -> loss -> optimiser -> checkpoint
       -> evaluation -> report
"""

import dataclasses
import functools
import itertools
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from cnnjax import data, recipes
from cnnjax.config import Experiment
from cnnjax.core import files, logs, meters, trees
from cnnjax.core.arrays import Batch, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import check_batch, fitted, make_mesh, replicated
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset, Split
from cnnjax.evaluation import neighbours
from cnnjax.evaluation import split as evaluation
from cnnjax.models import create_model, summary
from cnnjax.models.base import find
from cnnjax.optim import OPTIMIZERS, schedules
from cnnjax.report import charts
from cnnjax.training import claim, converted, loop, transfer
from cnnjax.training.assemble import (
    assemble,
    build_model,
    check_pictures,
    first_state,
    overfit_indices,
    resolve,
    state_shapes,
)
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.loop import Length, Loop, Record
from cnnjax.training.state import Progress, TrainState, create_state
from cnnjax.training.step import Parts, eval_step, train_step, train_steps
from cnnjax.training.trace import Trace
from cnnjax.training.trained import Run, Which, open_run


def train(
    config: Experiment,
    workdir: str | Path,
    *,
    data_dir: str | Path | None = None,
    on_log: Callable[[Record], None] | None = None,
) -> dict[str, Any]:
    """Trains a recipe into a run folder, or goes on with the run that is there, and evaluates it.

    Args:
      config: a recipe, such as `cnnjax.load_config("configs/lenet_digits.py")`.
      workdir: the run folder. The same call continues a broken run exactly; a finished one returns its figures at once.
      data_dir: where data are kept; default $CNNJAX_DATA_DIR, else ~/.cache/cnnjax.
      on_log: called with every line of metrics.jsonl.

    Returns:
      The report of the test split (without one, of validation; without that, of training): top1, top5, log_loss, ...

    Raises:
      UserError: bad input; nothing was written. RunError: the loss is not finite. Stopped: a signal came; all is saved.
    """
    config, run = recipes.validate(config), RunDir(workdir)
    _keep_compiled(data_dir)
    if config.model.name == "knn":
        return _nearest_neighbours(config, run, data_dir)
    mesh = fitted(make_mesh(), config.data.batch_size, config.train.accumulate)
    config = transfer.inherit(config, run)
    _check_early(config, run, mesh)
    dataset = data.prepare(config.data, data_dir)
    config = resolve(config, dataset)
    training = dataset.split("train")
    chosen = overfit_indices(config, len(training))
    count = len(training) if chosen is None else len(chosen)
    length = Length.of(config.train, pictures=count, batch_size=config.data.batch_size)
    parts = assemble(config, dataset, length)
    validates = "val" in dataset.counts and not config.train.overfit
    _check_validation(config, validates)
    check_pictures(parts, dataset)
    claim.check_same_run(run, config, dataset)

    checkpoints = Checkpoints(run.checkpoints)
    state, progress = _begin_or_go_on(parts, dataset.class_names, checkpoints, length, mesh)
    claim.describe_run(run, config, dataset)
    if progress.finished:
        logs.say(f"{run.root} is finished ({progress.finished} at step {int(state.step)})")
        return _finish(run, config, data_dir, progress, int(state.step))

    start = int(state.step)
    _announce(config, parts, dataset, length, mesh, start)
    load = loader(config, dataset, mesh)
    rows = data.TrainingRows(
        config.train.seed,
        count,
        config.data.batch_size,
        start=start,
        stop=length.steps,
        alternate=config.augment.alternate,
    )
    function, batches, most = _dispatches(config, load(training, chosen), rows, length)
    step, batches = _compile(function, parts, state, batches, mesh)
    validate = _validator(parts, dataset, load, mesh) if validates else None
    metrics = logs.MetricsLog(run.metrics, keep_to=start)
    board = logs.TensorBoard(run.root, start + 1) if config.train.tensorboard else None
    sinks = [metrics.write, lambda record: logs.say(loop.line(record)), board.write if board else None, on_log]
    decide = functools.partial(_decide, config)
    trace = Trace(config.train.profile, run.profile)
    work = Loop(
        config.train, length, step, validate, decide, checkpoints, [sink for sink in sinks if sink], trace, most
    )
    try:
        state, progress = work.run(state, progress, batches)
    finally:
        metrics.close()
        checkpoints.close()
        if board:
            board.close()
    logs.say(f"{progress.finished}: step {int(state.step):,}, {meters.duration(progress.seconds)} of training")
    return _finish(run, config, data_dir, progress, int(state.step))


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


def evaluate(
    workdir: str | Path,
    *,
    split: str | None = None,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluates a run on a split, every picture exactly once, and writes eval/<split>.json.

    Args:
      workdir: the run folder.
      split: train, val or test; None: test, of converted weights the first there is of test, val and train.
      checkpoint: best or last; None: the best where there is one, else the last.
      data_dir: where data are kept.
      overrides: {"evaluate.views": "ten_crop"}: keys that leave what was trained as it is.

    Returns:
      split, count, top1, top5 (None with 5 classes or fewer), log_loss, checkpoint, step, params_digest, views.
    """
    _keep_compiled(data_dir)
    mesh = make_mesh()
    run = open_run(workdir, checkpoint=checkpoint, overrides=overrides)
    if run.config.data.source == converted.SOURCE:
        raise UserError(
            f"{workdir} was converted and has no pictures of its own; give config.data.source=folder:PATH with them"
        )
    dataset = _data_of(run, data_dir)
    if split is None:
        wanted = ("test",) if run.dataset.prepared else ("test", "val", "train")
        split = next((name for name in wanted if name in dataset.counts), "test")
    pictures = dataset.split(split)
    source = loader(run.config, dataset, mesh)(pictures, None)
    step = jax.jit(functools.partial(eval_step, parts=run.parts), out_shardings=replicated(mesh))
    variables = jax.device_put(run.variables, replicated(mesh))
    report = {
        "split": split,
        **_measure(step, variables, source, len(pictures), _evaluation_size(run.config, mesh), lines=True),
    }
    report |= {"checkpoint": run.checkpoint, "step": run.step, "params_digest": trees.digest(run.variables)}
    report |= {"views": run.config.evaluate.views}
    files.write_json(RunDir(workdir).evaluation(split), report)
    return report


def predict(
    workdir: str | Path,
    paths: Iterable[str | Path],
    *,
    checkpoint: Which | None = None,
    top: int = 5,
    overrides: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Classifies picture files and all files of folders.

    Returns:
      A list of {"file", "classes": [{"name", "probability"}, ...]}, the likeliest `top` classes first.
    """
    run = open_run(workdir, checkpoint=checkpoint, overrides=overrides)
    found = data.picture_files(paths)
    results = []
    for path, row in zip(found, run.predict(found), strict=True):
        order = (-row).argsort(kind="stable")[:top]
        likeliest = [{"name": run.classes[index], "probability": float(row[index])} for index in order]
        results.append({"file": str(path), "classes": likeliest})
    return results


def summarise(
    config: Experiment | None = None,
    *,
    workdir: str | Path | None = None,
    model: str | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int, int] | None = None,
) -> tuple[summary.Summary, str | None]:
    """Layers, shapes, parameters and multiply-adds of a recipe's, a run's or a named model; never touches the data.

    Returns:
      The summary, and the digest of the run's parameters (None without a run).
    """
    if workdir is not None:
        run = open_run(workdir)
        return summary.summarise(run.parts.model), trees.digest(run.variables)
    if config is None:
        return summary.summarise(create_model(model or "", num_classes, input_size=input_size)), None
    if config.model.input_size is None or config.model.num_classes is None:
        raise UserError(
            "this recipe takes its input size and number of classes from the data; set config.model.input_size=H,W,C "
            "and config.model.num_classes=K"
        )
    return summary.summarise(build_model(config)), None


def convert(name: str, path: str | Path, workdir: str | Path, **options: Any) -> RunDir:
    """Makes a run folder of a file of published weights; see `training.converted.convert`."""
    return converted.convert(name, path, workdir, **options)


def export(workdir: str | Path, path: str | Path, *, source: Any = None) -> None:
    """Writes a run's weights for another library; see `training.converted.export`."""
    converted.export(workdir, path, source=source)


def loader(config: Experiment, dataset: Dataset, mesh: Any) -> Callable[[Split, Any], Any]:
    """How splits reach the devices: resident or streamed, by size or as the recipe says; both give the same batches."""
    threads = config.data.threads or os.cpu_count() or 1
    if config.data.loader == "resident" or (config.data.loader == "auto" and data.fits(dataset)):
        return lambda split, indices: data.Resident(split, mesh, indices, threads=threads)
    prefetch = config.data.prefetch
    return lambda split, indices: data.Streamed(split, mesh, indices, threads=threads, prefetch=prefetch)


def _nearest_neighbours(config: Experiment, run: RunDir, data_dir: str | Path | None) -> dict[str, Any]:
    """The baseline that learns nothing: its run folder holds what was asked and what came out."""
    claim.check_workdir(run, config)
    dataset = data.prepare(config.data, data_dir)
    split = next(name for name in ("test", "val") if name in dataset.counts)
    claim.describe_run(run, config, dataset)
    found = neighbours.evaluate(dataset, config.model.neighbours, config.model.metric, split=split)
    report = {"split": split, **found, "neighbours": config.model.neighbours, "metric": config.model.metric}
    files.write_json(run.evaluation(split), report)
    logs.say(f"{split}: top-1 {report['top1']:.2%} on {report['count']:,} pictures, {config.model.neighbours} nearest")
    return report


# ---------------------------------------------------------------- the pieces of train, in the order of their use


def _keep_compiled(data_dir: str | Path | None) -> None:
    """Compiled steps are kept beside the prepared data, and found again by later runs."""
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(Path(data_dir or data.default_data_dir()) / "compiled"))


def _check_early(config: Experiment, run: RunDir, mesh: Any) -> None:
    """What is wrong without a look at the data is told before they are prepared, which can take hours."""
    check_batch(config.data.batch_size, mesh, config.train.accumulate)
    _ = OPTIMIZERS[config.optimizer.name]
    if config.model.input_size and config.model.num_classes:
        build_model(config)
    elif ":" not in config.model.name:
        _ = find(config.model.name)
    claim.check_workdir(run, config)


def _evaluation_size(config: Experiment, mesh: Any) -> int:
    """Evaluation pads its batches anyway, so any number is rounded up to what the devices can share."""
    size = config.evaluate.batch_size or config.data.batch_size
    return -(-size // mesh.size) * mesh.size


def _data_of(run: Run, data_dir: str | Path | None) -> Dataset:
    """The prepared data that a run was trained on, at their old place or prepared again; never others."""
    if not run.dataset.prepared:  # a converted run is held against any pictures of as many classes
        dataset = data.prepare(run.config.data, data_dir)
        have, wanted = dataset.class_names, run.classes
        if len(have) != len(wanted):
            raise UserError(
                f"{run.config.data.source} has {len(have)} classes, the run has {len(wanted)}; "
                "give pictures of as many, in the order of the run's outputs"
            )
        if set(have) == set(wanted) and have != wanted:
            raise UserError(f"{run.config.data.source} has the run's classes in another order; rename its folders")
        return dataset
    if (run.dataset.folder / "dataset.json").is_file():
        dataset = Dataset.read(run.dataset.folder)
    else:
        dataset = data.prepare(run.config.data, data_dir)
    if dataset.digest != run.dataset.digest:
        raise UserError(
            f"{run.config.data.source} no longer holds the pictures that the run was trained on; bring them back"
        )
    return dataset


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
    logs.say(f"data: {config.data.source}, {counts} pictures of {len(dataset.class_names)} classes")
    logs.say(f"model: {config.model.name}, {params:,} parameters, input {'x'.join(map(str, parts.model.input_size))}")
    what = f"going on, steps {start + 1:,} to {length.steps:,}" if start else f"{length.steps:,} steps"
    kind = jax.devices()[0].device_kind
    logs.say(f"training: {what} of {length.batch_size} pictures on {mesh.size} x {kind}")


def _dispatches(config: Experiment, source: Any, rows: Any, length: Length) -> tuple[Any, Any, int]:
    """The step to compile, what it takes, and how many steps that is at most.

    On a CPU one, unless it is asked for: XLA makes plain loops there of convolutions inside of one.
    """
    usual = 1 if jax.default_backend() == "cpu" else 32
    most = (config.train.steps_per_dispatch or usual) if isinstance(source, data.Resident) else 1
    if most == 1:
        return train_step, source.batches(rows), most
    spans = length.dispatches(length.steps - len(rows), most, config.train.log_every)
    return train_steps, source.dispatches(rows, (last - first + 1 for first, last in spans), most), most


def _compile(function: Any, parts: Parts, state: TrainState, batches: Any, mesh: Any) -> tuple[Any, Any]:
    """Compiles the step ahead of the loop: one trace, by construction, and the first step is as fast as the rest."""
    options: dict[str, str | bool] = {"xla_gpu_deterministic_ops": True} if parts.config.train.deterministic else {}
    first = next(batches)
    with meters.Stopwatch() as watch:
        jitted = jax.jit(functools.partial(function, parts=parts), donate_argnums=0, out_shardings=replicated(mesh))
        step = jitted.lower(state, first).compile(compiler_options=options)
    logs.say(f"compiled in {meters.duration(watch.seconds)}")
    return step, itertools.chain([first], batches)


def _validator(parts: Parts, dataset: Dataset, load: Any, mesh: Any) -> Callable[[TrainState], dict[str, float]]:
    pictures = dataset.split("val")
    source = load(pictures, None)
    size = _evaluation_size(parts.config, mesh)
    step = jax.jit(functools.partial(eval_step, parts=parts), out_shardings=replicated(mesh))

    def validate(state: TrainState) -> dict[str, float]:
        measured = _measure(step, state.variables, source, len(pictures), size)
        return {"val/loss": measured["log_loss"], "val/top1": measured["top1"]}

    return validate


def _measure(step: Any, variables: Tree, source: Any, count: int, size: int, lines: bool = False) -> Any:
    """The metrics of one split, its last batch padded and masked, never dropped."""
    rows = [{"index": index, "mask": mask} for index, mask in evaluation.batches(count, size)]
    with logs.progress("evaluating", len(rows), lines=lines) as tick:

        def measured(batch: Batch) -> Any:
            tick()
            return step(variables, batch)

        return evaluation.evaluate_split(measured, source.batches(rows), count)


def _decide(config: Experiment, progress: Progress, validation: dict[str, float], step: int) -> str:
    """What a validation decides: best so far, patience, plateau. Returns why the run ends here, or ""."""
    if not validation:
        return ""
    progress.stale += 1
    if validation["val/top1"] > progress.best:
        progress.best, progress.best_step, progress.stale = validation["val/top1"], step, 0
    if config.optimizer.schedule == "plateau":
        progress.plateau = schedules.plateau_update(progress.plateau, 1 - validation["val/top1"], config.optimizer)
        if progress.plateau["finished"]:
            return "validation error no longer falls at the lowest rate"
    if config.train.early_stopping and progress.stale >= config.train.early_stopping:
        return f"no better validation top-1 in {progress.stale} validations"
    return ""


def _finish(
    run: RunDir, config: Experiment, data_dir: str | Path | None, progress: Progress, last: int
) -> dict[str, Any]:
    """Evaluates the best checkpoint (unless that was done), draws the curves, and says what came out."""
    counts = files.read_json(run.dataset)["counts"]
    split = "train" if config.train.overfit else next(name for name in ("test", "val", "train") if name in counts)
    best = progress.best_step >= 0
    expected = {
        "checkpoint": "best" if best else "last",
        "step": progress.best_step if best else last,
        "views": config.evaluate.views,
    }
    report = files.read_json(run.evaluation(split)) if run.evaluation(split).is_file() else {}
    if any(report.get(key) != value for key, value in expected.items()):
        overrides = {"evaluate.views": config.evaluate.views}
        report = evaluate(run.root, split=split, data_dir=data_dir, overrides=overrides)
    if logs.read_metrics(run.metrics):
        try:
            charts.curves(run.metrics, run.figures / "curves.png", test=report if split == "test" else None)
        except ModuleNotFoundError:
            logs.say("the curves were not drawn: matplotlib is not installed")
    top5 = f", top-5 {report['top5']:.2%}" if report["top5"] is not None else ""
    logs.say(
        f"{split}: top-1 {report['top1']:.2%}{top5}, log loss {report['log_loss']:.4f} on {report['count']:,} pictures "
        f"({report['checkpoint']} checkpoint, step {report['step']:,})"
    )
    logs.say(f"curves, config, metrics, evaluation and checkpoints are in {run.root}")
    return report


__all__ = ["Run", "evaluate", "open_run", "predict", "repeat", "summarise", "train"]
