"""The spine: one function per verb; in `train` the data's whole way, each stage one visible call.

source -> prepared records -> loader -> device feed -> augment -> model -> loss -> optimiser -> checkpoint
       -> evaluation -> report
"""

import dataclasses
import functools
import itertools
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from cnnjax import data, recipes
from cnnjax.config import Experiment
from cnnjax.core import files, logs, meters, trees
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import check_batch, make_mesh, replicated
from cnnjax.core.rundir import RunDir
from cnnjax.data import Dataset
from cnnjax.evaluation import gallery, neighbours
from cnnjax.models import create_model, summary
from cnnjax.models.base import find, lasting_name
from cnnjax.models.catalogue import published as published_rows
from cnnjax.optim import OPTIMIZERS, schedules
from cnnjax.report import charts, write_comparison, write_page
from cnnjax.training import claim, ensemble, loop, transfer
from cnnjax.training.assemble import (
    assemble,
    build_model,
    check_pictures,
    compiled,
    dispatches,
    first_state,
    loader,
    mesh_of,
    resolve,
    state_shapes,
    stated_shapes,
    steps_per_dispatch,
    to_learn,
)
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.converted import convert, export
from cnnjax.training.ensemble import soup
from cnnjax.training.loop import Length, Loop, Record
from cnnjax.training.measure import Judge, data_of, evaluation_size, identity, look, measure, reported, watch_input
from cnnjax.training.state import Progress, TrainState, create_state
from cnnjax.training.step import Parts, eval_step
from cnnjax.training.trained import Run, Which, open_run, saved_config, saved_dataset

SEARCHED_AT_END = 10_000
"""Training pictures that the report at a training's end looks through for likenesses; more take evaluate --report."""


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
      The report of the test split (without one, of validation; without that, of training): top1, top5, log_loss, ...;
      of nearest neighbours, which give no probabilities, top1 and count alone.

    Raises:
      UserError: bad input; nothing was written. RunError: a loss is not finite. Stopped: a signal came; all is saved.
    """
    if not isinstance(config, Experiment):
        raise UserError(f"train takes a config, not {config!r}; read one by cnnjax.load_config(FILE)")
    config, run = _lasting(recipes.validate(config)), RunDir(workdir)
    with claim.alone(run):
        _keep_compiled(data_dir)
        if config.model.name == "knn":
            return _nearest_neighbours(config, run, data_dir)
        config = transfer.inherit(config, run)
        _check_early(config, run)
        dataset = data.prepare(config, data_dir)
        config = resolve(config, dataset)
        training = to_learn(config, dataset.split("train"))
        length = Length.of(config.train, pictures=len(training), batch_size=config.data.batch_size)
        parts = assemble(config, dataset, length)
        validates = "val" in dataset.counts and not config.train.overfit
        _check_validation(config, validates)
        check_pictures(parts, dataset)
        most = steps_per_dispatch(parts, dataset)
        claim.check_same_run(run, config, dataset, most)

        checkpoints, mesh = Checkpoints(run.checkpoints), mesh_of(parts)
        state, progress = _begin_or_go_on(parts, dataset.class_names, checkpoints, length, mesh)
        claim.describe_run(run, config, dataset, most)
        if progress.finished:
            logs.say(f"{run.root} is finished ({progress.finished} at step {int(state.step)})")
            return _finish(run, config, data_dir, progress, int(state.step))

        start = int(state.step)
        _announce(config, parts, dataset, length, mesh, start)
        load = loader(config, dataset, mesh)
        function, batches = dispatches(config, load(training), length, most, start)
        step, batches = _compile(function, parts, state, batches, mesh)
        validate = _validator(parts, dataset, load, mesh) if validates else None
        metrics = logs.MetricsLog(run.metrics, keep_to=start)
        board = logs.TensorBoard(run.root, start + 1) if config.train.tensorboard else None
        told = [metrics.write, lambda record: logs.say(loop.line(record)), board.write if board else None, on_log]
        sinks = [*filter(None, told), watch_input(config, dataset)]
        decide = functools.partial(loop.decide, config)
        trace = meters.Trace(config.train.profile, run.profile)
        work = Loop(config.train, length, step, validate, decide, checkpoints, sinks, trace, most)
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
    report: bool = False,
    most_searched: int | None = None,
    calibrated: bool = False,
) -> dict[str, Any]:
    """Evaluates a run on a split, every picture exactly once, and writes eval/<split>.json.

    Args:
      workdir: the run folder.
      split: train, val or test; None: test, of converted weights the first there is of test, val and train.
      checkpoint: best or last; None: the best where there is one, else the last.
      data_dir: where data are kept.
      overrides: {"evaluate.views": "ten_crop"}: keys that leave what was trained as it is.
      report: with the scores of every class, calibration and intervals, predictions/<split>.csv, and report.html.
      most_searched: training pictures up to which the nearest of mistakes are looked for; None: however many.
      calibrated: with the temperature that `calibrate` has fitted.

    Returns:
      split, count, top1, top5 (None with 5 classes or fewer), log_loss, checkpoint, step, params_digest, views, scales,
      input_size, calibrated; of a report, this one or an earlier one of the same network, also what
      `evaluation.report.report` returns, and temperature: None, or {value, log_loss, ece} with the one that was fitted.
    """
    _keep_compiled(data_dir)
    mesh = make_mesh()
    run, folder = open_run(workdir, checkpoint=checkpoint, overrides=overrides, calibrated=calibrated), RunDir(workdir)
    judge = Judge(run, data_of(run, data_dir), mesh, split)
    split = judge.pictures.name
    if not report:
        found = reported(run, split) | {"split": split, **judge.figures(), **identity(run)}
        files.write_json(folder.evaluation(split), found)
        return found
    scores, figures, more = judge.report(folder.predictions(split))
    found = {"split": split, **figures, **identity(run), **more}
    files.write_json(folder.evaluation(split), found)
    learned = judge.learned
    train = learned if most_searched is None or len(learned) <= most_searched else None
    gallery.write(folder, judge.pictures, scores, params_digest=found["params_digest"], train=train, embed=judge.embed)
    try:
        logs.say(f"the report is in {write_page(folder.root, network=_network(folder), split=split)}")
    except ModuleNotFoundError as error:
        logs.say(f"{folder.report} was not written: {error.name} is not installed")
    return found


def report(workdirs: Sequence[str | Path], *, to: str | Path | None = None, published: bool = False) -> Path:
    """Writes a run's page again, from its folder alone; of several runs one page that compares them.

    Args:
      workdirs: the run folders.
      to: the file; None: report.html in the run folder, of several comparison.html here.
      published: with the nets of the published table in the chart of accuracy against operations.

    Returns:
      The file.
    """
    networks = [_network(RunDir.existing(workdir)) for workdir in workdirs]
    if len(workdirs) == 1 and not published:
        return write_page(workdirs[0], network=networks[0], to=to)
    rows = published_rows() if published else []
    return write_comparison(workdirs, to or "comparison.html", networks=networks, published=rows)


def calibrate(
    workdir: str | Path,
    *,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fits a temperature to the validation split, with the views that are asked for, and writes calibration.json.

    Returns:
      split, count, temperature, before and after (each {log_loss, ece}), checkpoint, step, params_digest, views, ...
    """
    _keep_compiled(data_dir)
    run = open_run(workdir, checkpoint=checkpoint, overrides=overrides)
    found = Judge(run, data_of(run, data_dir, needs="val"), make_mesh(), "val").calibration() | identity(run)
    files.write_json(run.folder.calibration, found)
    changes = ", ".join(
        f"{what} {found['before'][name]:.4f} to {found['after'][name]:.4f}"
        for name, what in (("log_loss", "log loss"), ("ece", "calibration error"))
    )
    logs.say(f"temperature {found['temperature']:.4f}: on {found['count']:,} validation pictures {changes}")
    return found


def evaluate_ensemble(
    workdirs: Sequence[str | Path],
    *,
    split: str | None = None,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    calibrated: bool = False,
) -> dict[str, Any]:
    """Measures runs one by one and averaged, as `evaluate` would each; see `training.ensemble.evaluate`."""
    _keep_compiled(data_dir)
    return ensemble.evaluate(
        workdirs,
        make_mesh(),
        split=split,
        checkpoint=checkpoint,
        data_dir=data_dir,
        overrides=overrides,
        calibrated=calibrated,
    )


def predict(
    workdir: str | Path | Sequence[str | Path],
    paths: Iterable[str | Path],
    *,
    checkpoint: Which | None = None,
    top: int = 5,
    overrides: Mapping[str, Any] | None = None,
    calibrated: bool = False,
) -> list[dict[str, Any]]:
    """Classifies picture files and all files of folders; a bad file is told among the results and keeps no other back.

    Args:
      workdir: a run folder, or several, whose probabilities are averaged.
      paths: of files and folders.
      checkpoint: best or last; None: the best where there is one, else the last.
      top: how many classes a picture.
      overrides: see `evaluate`.
      calibrated: with the temperature that `calibrate` has fitted.

    Returns:
      A list of {"file", "classes": [{"name", "probability"}, ...]}, the likeliest `top` classes first, or {"file",
      "error"}.
    """
    workdirs = [workdir] if isinstance(workdir, (str, Path)) else workdir
    runs = ensemble.open_runs(workdirs, checkpoint=checkpoint, overrides=overrides, calibrated=calibrated)
    found = data.picture_files(paths)
    results: list[dict[str, Any]] = []
    for path, row in zip(found, ensemble.predict_each(runs, found), strict=True):
        if isinstance(row, UserError):
            results.append({"file": str(path), "error": str(row)})
            continue
        order = (-row).argsort(kind="stable")[:top]
        likeliest = [{"name": runs[0].classes[index], "probability": float(row[index])} for index in order]
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
        return summary.summarise(run.parts.model), run.params_digest
    if "knn" in (model, config and config.model.name):
        raise UserError("knn has no layers, so there is nothing to sum up; give a recipe with another model")
    if config is None:
        return summary.summarise(create_model(model or "", num_classes, input_size=input_size)), None
    stated_shapes(config)
    return summary.summarise(build_model(config)), None


def _nearest_neighbours(config: Experiment, run: RunDir, data_dir: str | Path | None) -> dict[str, Any]:
    """The baseline that learns nothing: its run folder holds what was asked and what came out."""
    claim.check_workdir(run, config)
    dataset = data.prepare(config, data_dir)
    split = next((name for name in ("test", "val") if name in dataset.counts), None)
    if split is None:
        raise UserError(
            "config.model.name=knn classifies test or validation pictures, and there are neither; set "
            "config.data.test_fraction above 0"
        )
    found = neighbours.evaluate(dataset, config.model.neighbours, config.model.metric, split=split)
    claim.describe_run(run, config, dataset)
    report = {"split": split, **found, "neighbours": config.model.neighbours, "metric": config.model.metric}
    files.write_json(run.evaluation(split), report)
    logs.say(f"{split}: top-1 {report['top1']:.2%} on {report['count']:,} pictures, {config.model.neighbours} nearest")
    return report


# ---------------------------------------------------------------- the pieces of train, in the order of their use


def _lasting(config: Experiment) -> Experiment:
    """Names a net of one's own as later verbs find it, which have the run folder alone."""
    name = lasting_name(config.model.name)
    home = name.rpartition(":")[0]
    if name != config.model.name and (home == "__main__" or home not in sys.modules):  # a recipe is no module
        logs.say(
            f"{config.model.name} is registered in the recipe or program itself, where evaluate and predict will not "
            "find it; register it in a module that the recipe imports"
        )
    return dataclasses.replace(config, model=dataclasses.replace(config.model, name=name))


def _keep_compiled(data_dir: str | Path | None) -> None:
    """Compiled steps are kept beside the prepared data, and found again by later runs."""
    folder = Path(data_dir or data.default_data_dir()) / "compiled"
    if files.obstacle(folder):  # a sentence of `prepare` tells, where the folder is needed for data too
        return
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(folder))


def _check_early(config: Experiment, run: RunDir) -> None:
    """What is wrong without a look at the data is told before they are prepared, which can take hours."""
    check_batch(config.data.batch_size, make_mesh(), config.train.accumulate)
    _ = OPTIMIZERS[config.optimizer.name]
    if config.model.input_size and config.model.num_classes:
        build_model(config)
    else:
        _ = find(config.model.name)
    claim.check_workdir(run, config)


def _network(run: RunDir) -> dict[str, Any] | None:
    """Parameters, operations and layers of a run's model, by shapes alone; None where it has none that can be made."""
    try:
        several = saved_dataset(run).multi_label
        return summary.summarise(build_model(saved_config(run), multi_label=several)).to_json()
    except (UserError, OSError):  # nearest neighbours, and nets of one's own that are no longer there
        return None


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


def _compile(function: Any, parts: Parts, state: TrainState, batches: Any, mesh: Any) -> tuple[Any, Any]:
    first = next(batches)
    with meters.Stopwatch() as watch:
        step = compiled(function, parts, state, first, mesh)
    logs.say(f"compiled in {meters.duration(watch.seconds)}")
    return step, itertools.chain([first], batches)


def _validator(parts: Parts, dataset: Dataset, load: Any, mesh: Any) -> Callable[[TrainState], dict[str, float]]:
    pictures = dataset.split("val")
    source = load(pictures)
    size = evaluation_size(parts.config, mesh)
    step = jax.jit(functools.partial(eval_step, parts=parts), out_shardings=replicated(mesh))

    def validate(state: TrainState) -> dict[str, float]:
        measured = measure(step, state.variables, source, len(pictures), size)
        return {"val/loss": measured["log_loss"], "val/top1": measured["top1"]}

    return validate


def _finish(
    run: RunDir, config: Experiment, data_dir: str | Path | None, progress: Progress, last: int
) -> dict[str, Any]:
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
            data_dir=data_dir,
            overrides=overrides,
            report=config.evaluate.report,
            most_searched=SEARCHED_AT_END,
        )
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


__all__ = [
    "Run",
    "calibrate",
    "convert",
    "evaluate",
    "evaluate_ensemble",
    "export",
    "open_run",
    "predict",
    "repeat",
    "report",
    "soup",
    "summarise",
    "train",
]
