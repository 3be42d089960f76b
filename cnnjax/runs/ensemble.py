"""Several runs as one: their probabilities averaged, or their weights."""

import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core import logs, trees
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import metrics
from cnnjax.optim import optimizers
from cnnjax.runs.evaluator import Evaluator, data_of, identity
from cnnjax.runs.run import Run, Which, open_run
from cnnjax.runs.workdir import describe_run
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.state import Progress, create_state


def open_runs(workdirs: Sequence[str | Path], **options: Any) -> list[Run]:
    """Opens different runs that tell the same classes apart; `options` are those of `open_run`."""
    folders = [Path(workdir).resolve() for workdir in workdirs]
    if twice := [str(workdirs[place]) for place, folder in enumerate(folders) if folder in folders[:place]]:
        raise UserError(f"{twice[0]} is given twice and would count twice in the mean; name each run once")
    runs = [open_run(workdir, **options) for workdir in workdirs]
    for run in runs[1:]:
        if run.classes != runs[0].classes:
            raise UserError(
                f"{run.folder.root} and {runs[0].folder.root} have other classes or another order of them; "
                "average runs of the same classes"
            )
    return runs


def predict_each(runs: Sequence[Run], images: Any) -> Iterator[HostArray | UserError]:
    """Yields for each image the mean of the runs' probabilities, float32 [K], or what is wrong with it."""
    for rows in zip(*(run.predict_each(images) for run in runs), strict=True):
        wrong = next((row for row in rows if isinstance(row, UserError)), None)
        yield wrong or mean(rows)


def mean(probabilities: Sequence[Any]) -> HostArray:
    """The mean of several models' probabilities, which float32 [..., K] holds as one model's."""
    return np.asarray(np.mean(probabilities, axis=0, dtype=np.float64), np.float32)


def evaluate(
    workdirs: Sequence[str | Path],
    mesh: Any,
    *,
    split: str | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Measures the mean of several runs' probabilities beside the runs themselves; nothing is written.

    Args:
      workdirs: the run folders; all must have been evaluated on the same images in the same order.
      mesh: the devices that share each batch.
      split, data_dir, overrides: see `run.evaluate`; with other views than single, both are measured.
      options: of `open_run`.

    Returns:
      split, count, members (workdir, top1, top5, log_loss, checkpoint, step, params_digest, ... of each), rows ({nets,
      views, top1, top5, log_loss}: one model, which is the mean of the members' figures, and all of them), and gain,
      the last row's top1 less the first's.
    """
    views = open_runs(workdirs, overrides=overrides, **options)[0].config.evaluate.views
    members: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for look in dict.fromkeys(("single", views)):
        runs = open_runs(workdirs, overrides={**(overrides or {}), "evaluate.views": look}, **options)
        judges = [Evaluator(run, data_of(run, data_dir), mesh, split) for run in runs]
        labels = judges[0].images.labels
        for judge in judges[1:]:
            if not _same_images(judges[0], judge):
                raise UserError(
                    f"{judge.run.folder.root} and {runs[0].folder.root} have other images for the split "
                    f"{judge.images.name}; average runs of the same data and config.data.split_seed"
                )
        scores = [judge.probabilities([judge.run.temperature])[0] for judge in judges]
        each = [metrics.means(row, labels) for row in scores]
        together = metrics.means(mean(scores), labels)
        if not members:
            members = [
                {"workdir": str(run.folder.root), **figures, **identity(run)}
                for run, figures in zip(runs, each, strict=True)
            ]
        alone = {
            name: None if value is None else statistics.mean(figures[name] for figures in each)
            for name, value in each[0].items()
        }
        for nets, figures in ((1, alone), (len(runs), together)):
            rows.append({"nets": nets, "views": look, **figures})
    gain = rows[-1]["top1"] - rows[0]["top1"]
    return {"split": judges[0].images.name, "count": len(labels), "members": members, "rows": rows, "gain": gain}


def _same_images(one: Evaluator, other: Evaluator) -> bool:
    """Whether two runs are held against the same images; labels do not tell, since splits are sorted by class.

    Nor do names alone: every file of arrays has a test/0. Other digests are of the same images at another size.
    """
    same = one.dataset.digest == other.dataset.digest or one.run.config.data.source == other.run.config.data.source
    labels = np.array_equal(one.images.labels, other.images.labels)
    return same and labels and one.images.names == other.images.names


def soup(workdirs: Sequence[str | Path], to: str | Path, *, checkpoint: Which | None = None) -> RunDir:
    """Makes a run folder whose weights are the mean of those of several runs of one model.

    Wortsman et al. 2022, arXiv:2203.05482, the uniform soup. It needs runs that began with the same weights, as
    fine-tuning from one model does: the mean of models that were drawn apart knows nothing. The running statistics of
    BatchNorm are averaged like the weights.

    Args:
      workdirs: the run folders.
      to: a new or empty folder.
      checkpoint: best or last of each; None: the best where there is one, else the last.

    Raises:
      UserError: the runs do not fit each other, or the folder is not empty; nothing is written.
    """
    folder = RunDir.new(to, flag="--to")
    if len(workdirs) < 2:
        raise UserError("a soup is made of two runs or more; give --workdir A,B,C")
    runs = open_runs(workdirs, checkpoint=checkpoint)
    first = runs[0]
    for run in runs[1:]:
        if different := _difference(first, run):
            raise UserError(
                f"{run.folder.root} and {first.folder.root} differ in {different}; average runs of one model"
            )
    averaged = jax.tree.map(lambda *leaves: jnp.mean(jnp.stack(leaves), 0), *(run.variables for run in runs))
    config = first.config
    state = create_state(averaged, optimizers.optimizer(config.optimizer), average=bool(config.train.ema))
    state.step = jnp.int32(max(run.step for run in runs))
    checkpoints = Checkpoints(folder.checkpoints)
    try:
        try:
            checkpoints.save(state, Progress(finished=f"averaged from {', '.join(map(str, workdirs))}"))
        finally:
            checkpoints.close()
        describe_run(folder, config, first.dataset)
    except BaseException:  # the folder was new or empty: nothing else is lost
        shutil.rmtree(folder.root, ignore_errors=True)
        raise
    also = " and statistics" if averaged["batch_stats"] else ""
    logs.say(f"{folder.root}: the weights{also} of {len(runs)} runs of {config.model.name}, averaged")
    return folder


def _difference(one: Run, other: Run) -> str:
    """What keeps the weights of two runs from being averaged, or ""."""
    aspects: dict[str, Callable[[Run], Any]] = {
        "config.model": lambda run: (run.config.model.name, run.config.model.input_size),
        "config.train.loss": lambda run: run.config.train.loss,
        "the normalization of images": _normalization,
        "the shapes of their weights": _shapes,
    }
    return next((name for name, of in aspects.items() if of(one) != of(other)), "")


def _normalization(run: Run) -> Any:
    augment, statistics = run.config.augment, run.dataset.statistics
    fixed = augment.normalize in ("fixed", "imagenet", "unit")
    return augment.normalize, augment.mean, augment.std, None if fixed else (statistics.mean, statistics.std)


def _shapes(run: Run) -> dict[str, tuple[int, ...]]:
    return {path: leaf.shape for path, leaf in trees.flatten(run.variables).items()}
