"""What is done with a finished run: evaluate, calibrate, predict, report, summarize."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from cnnjax import data
from cnnjax.config import Experiment
from cnnjax.core import files, logs
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import make_mesh
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import gallery
from cnnjax.models import create_model, summary
from cnnjax.models.base import find
from cnnjax.models.catalogue import published as published_rows
from cnnjax.report import write_comparison, write_page
from cnnjax.runs import ensemble
from cnnjax.runs.evaluator import Evaluator, data_of, identity, reported
from cnnjax.runs.run import Which, open_run, saved_config, saved_dataset
from cnnjax.training.build import keep_compiled
from cnnjax.training.inference import build_model, stated_shapes


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
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Evaluates a run on a split, every image exactly once, and writes eval/<split>.json.

    Args:
      workdir: the run folder.
      split: train, val or test; None: test, of converted weights the first there is of test, val and train.
      checkpoint: best or last; None: the best where there is one, else the last.
      data_dir: where data are kept.
      overrides: {"evaluate.views": "ten_crop"}: keys that leave what was trained as it is.
      report: with the scores of every class, calibration and intervals, predictions/<split>.csv, and report.html.
      most_searched: training images up to which the nearest of mistakes are looked for; None: however many.
      calibrated: with the temperature that `calibrate` has fitted.
      mesh: the devices that share each batch, of one axis "data"; None: all.

    Returns:
      split, count, top1, top5 (None with 5 classes or fewer), log_loss, checkpoint, step, params_digest, views, scales,
      input_size, calibrated; of a report, this one or an earlier one of the same network, also what
      `evaluation.report.report` returns, and temperature: None, or {value, log_loss, ece} with the one that was fitted.
    """
    keep_compiled(data_dir)
    mesh = mesh or make_mesh()
    run, folder = open_run(workdir, checkpoint=checkpoint, overrides=overrides, calibrated=calibrated), RunDir(workdir)
    evaluator = Evaluator(run, data_of(run, data_dir), mesh, split)
    split = evaluator.images.name
    if not report:
        found = reported(run, split) | {"split": split, **evaluator.figures(), **identity(run)}
        files.write_json(folder.evaluation(split), found)
        return found
    scores, figures, more = evaluator.report(folder.predictions(split))
    found = {"split": split, **figures, **identity(run), **more}
    files.write_json(folder.evaluation(split), found)
    learned = evaluator.learned
    train = learned if most_searched is None or len(learned) <= most_searched else None
    gallery.write(
        folder, evaluator.images, scores, params_digest=found["params_digest"], train=train, embed=evaluator.embed
    )
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
      published: with the models of the published table in the chart of accuracy against operations.

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
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Fits a temperature to the validation split, with the views that are asked for, and writes calibration.json.

    Returns:
      split, count, temperature, before and after (each {log_loss, ece}), checkpoint, step, params_digest, views, ...
    """
    keep_compiled(data_dir)
    run = open_run(workdir, checkpoint=checkpoint, overrides=overrides)
    found = Evaluator(run, data_of(run, data_dir, needs="val"), mesh or make_mesh(), "val").calibration() | identity(
        run
    )
    files.write_json(run.folder.calibration, found)
    changes = ", ".join(
        f"{what} {found['before'][name]:.4f} to {found['after'][name]:.4f}"
        for name, what in (("log_loss", "log loss"), ("ece", "calibration error"))
    )
    logs.say(f"temperature {found['temperature']:.4f}: on {found['count']:,} validation images {changes}")
    return found


def evaluate_ensemble(
    workdirs: Sequence[str | Path],
    *,
    split: str | None = None,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    calibrated: bool = False,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Measures runs one by one and averaged, as `evaluate` would each; see `runs.ensemble.evaluate`."""
    keep_compiled(data_dir)
    return ensemble.evaluate(
        workdirs,
        mesh or make_mesh(),
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
    """Classifies image files and all files of folders; a bad file is told among the results and keeps no other back.

    Args:
      workdir: a run folder, or several, whose probabilities are averaged.
      paths: of files and folders.
      checkpoint: best or last; None: the best where there is one, else the last.
      top: how many classes an image.
      overrides: see `evaluate`.
      calibrated: with the temperature that `calibrate` has fitted.

    Returns:
      A list of {"file", "classes": [{"name", "probability"}, ...]}, the likeliest `top` classes first, or {"file",
      "error"}.
    """
    workdirs = [workdir] if isinstance(workdir, (str, Path)) else workdir
    runs = ensemble.open_runs(workdirs, checkpoint=checkpoint, overrides=overrides, calibrated=calibrated)
    found = data.image_files(paths)
    results: list[dict[str, Any]] = []
    for path, row in zip(found, ensemble.predict_each(runs, found), strict=True):
        if isinstance(row, UserError):
            results.append({"file": str(path), "error": str(row)})
            continue
        order = (-row).argsort(kind="stable")[:top]
        likeliest = [{"name": runs[0].classes[index], "probability": float(row[index])} for index in order]
        results.append({"file": str(path), "classes": likeliest})
    return results


def summarize(
    config: Experiment | None = None,
    *,
    workdir: str | Path | None = None,
    model: str | None = None,
    num_classes: int | None = None,
    input_size: tuple[int, int, int] | None = None,
) -> tuple[summary.Summary, str | None]:
    """Layers, shapes, parameters and MACs of a recipe's, a run's or a named model; never touches the data.

    Returns:
      The summary, and the digest of the run's parameters (None without a run).
    """
    if workdir is not None:
        run = open_run(workdir)
        return summary.summarize(run.model), run.params_digest
    if config is None:
        return summary.summarize(create_model(model or "", num_classes, input_size=input_size)), None
    _ = find(config.model.name)
    stated_shapes(config)
    return summary.summarize(build_model(config)), None


def _network(run: RunDir) -> dict[str, Any] | None:
    """Parameters, operations and layers of a run's model, by shapes alone; None where it has none that can be made."""
    try:
        several = saved_dataset(run).multi_label
        return summary.summarize(build_model(saved_config(run), multi_label=several)).to_json()
    except (UserError, OSError):  # baselines, and models of one's own that are no longer there
        return None
