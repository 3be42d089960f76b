"""The study of a run folder: accuracy on the same images under changes and attacks of rising strength."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from cnnjax.core import files, keys, logs
from cnnjax.core.arrays import Array, Batch
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import make_mesh, replicated, rounded_up
from cnnjax.core.registry import nearest
from cnnjax.core.rundir import RunDir
from cnnjax.data import Chosen
from cnnjax.evaluation import metrics
from cnnjax.evaluation.split import batches
from cnnjax.optim import ATTACKS
from cnnjax.robustness import figures
from cnnjax.robustness.changes import CHANGES
from cnnjax.robustness.corruptions import CORRUPTIONS, SMALL
from cnnjax.robustness.subject import SEED, Subject
from cnnjax.runs.evaluator import check_one_view, data_of, evaluation_size, network, split_of
from cnnjax.runs.run import Which, open_run
from cnnjax.training.build import loader

CORRUPTED = "corruptions"
"""What `tests` calls all of CORRUPTIONS together."""
LEAST_LIKELY = "least_likely"
EPSILONS = {"linf": (0.005, 0.01, 0.025, 0.05, 0.1, 0.25), "l2": (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)}
"""Radii that are tried, pixels of 0-1: a level is 1 / 255 = 0.004, and MNIST's images are about 9 long."""
SHOWN = 6  # adversaries in a figure


@dataclass(frozen=True)
class Trial:
    """One row of the study.

    Attributes:
      strengths: those that are measured.
      apply: f(batch with levels, strength) -> levels.
      goals: of a targeted attack, f(batch) -> the labels int [N] that it leads to.
    """

    strengths: tuple[float, ...]
    apply: Callable[[Batch, float], Array]
    goals: Callable[[Batch], Array] | None = None


def study(
    workdir: str | Path,
    *,
    split: str | None = None,
    count: int = 1000,
    tests: Sequence[str] | None = None,
    attacks: Sequence[str] | None = None,
    epsilons: Sequence[float] | None = None,
    steps: int | None = None,
    target: str | Literal["least_likely"] | None = None,
    checkpoint: Which | None = None,
    data_dir: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Measures a run, and writes eval/<split>_robustness.json, figures/robustness.png and figures/adversaries_*.png.

    Args:
      workdir: the run folder.
      split: as of `actions.evaluate`.
      count: how many images of the split, drawn once and for all.
      tests: names of CHANGES, and "corruptions" for those of ImageNet-C; None: all, or none if attacks are named.
      attacks: names of ATTACKS; None: fgsm and pgd, or none if tests are named.
      epsilons: radii of the attacks, pixels of 0-1; None: EPSILONS.
      steps: of pgd and pgd_l2; None: 10.
      target: class that the attacks lead to, or least_likely: each image's least likely one; None: away from the
        right one.
      checkpoint, data_dir, overrides, mesh: as of `actions.evaluate`.

    Returns:
      split, count, checkpoint, step, params_digest, clean {top1, log_loss}, changes {name: {unit, strengths, top1,
      log_loss}}, corruptions {figures, top1 {name: [5]}, mean_top1}, attacks {name: {norm, steps, epsilons, top1,
      log_loss, with a target also target and success}}.
    """
    if tests is None and attacks is None:
        tests, attacks = [*CHANGES, CORRUPTED], ["fgsm", "pgd"]
    tests, attacks = list(tests or ()), list(attacks or ())
    _check(tests, attacks, epsilons, steps, target)
    check_one_view(overrides)
    mesh = mesh or make_mesh()
    run = open_run(workdir, checkpoint=checkpoint, overrides=overrides)
    if target not in (None, LEAST_LIKELY):
        run.index(target)
    dataset = data_of(run, data_dir)
    images = split_of(run, dataset, split)
    if target and images.labels.ndim == 2:
        raise UserError("an attack has a target only where an image has one label; leave out --target")
    subject = Subject(dataclasses.replace(run, variables=jax.device_put(run.variables, replicated(mesh))))
    steps = steps or 10
    trials = _trials(subject, tests, attacks, epsilons, steps, target)

    chosen = np.sort(keys.generator(SEED, "robustness").permutation(len(images))[:count])
    source = loader(run.config, dataset, mesh)(Chosen(images, chosen))
    size = min(evaluation_size(run.config, mesh), rounded_up(len(chosen), mesh))
    rows = [{"index": i, "mask": mask, "position": i.astype(np.uint32)} for i, mask in batches(len(chosen), size)]
    means = _measure(subject, source, rows, trials)
    report: dict[str, Any] = {"split": images.name, "count": len(chosen), **network(run)}
    report |= _arranged(means, trials, tests, attacks, steps, target, run.model.input_size)
    folder = RunDir(workdir)
    files.write_json(folder.evaluation(f"{images.name}_robustness"), report)
    try:
        figures.curves(report, folder.figures / "robustness.png")
        for name in attacks:
            batch, row = next(iter(source.batches(rows[:1]))), report["attacks"][name]
            shown = _pairs(subject, batch, trials[name], row, report["clean"]["top1"])
            figures.pairs(*shown, classes=run.classes, path=folder.figures / f"adversaries_{name}.png")
    except ModuleNotFoundError:
        logs.say("no figures were drawn: matplotlib is not installed")
    return report


def table(report: Mapping[str, Any]) -> str:
    """Returns the accuracies of a report as lines of text."""
    lines = [f"{report['split']}: top-1 {report['clean']['top1']:.2%} on {report['count']:,} images as they are"]

    def line(name: str, strengths: Sequence[float], values: Sequence[float]) -> None:
        pairs = (f"{strength:g}: {value:.1%}" for strength, value in zip(strengths, values, strict=True))
        lines.append(f"{name:16} {'  '.join(pairs)}")

    for name, row in report.get("changes", {}).items():
        line(name, row["strengths"], row["top1"])
    if found := report.get(CORRUPTED):
        lines.append(f"corruptions of {found['figures']}, mean of the benchmark's {found['mean_top1']:.2%}")
        for name, top1 in found["top1"].items():
            line(name, range(1, 6), top1)
    for name, row in report.get("attacks", {}).items():
        line(name, row["epsilons"], row["top1"])
        if "success" in row:
            line(f"to {row['target']}", row["epsilons"], row["success"])
    return "\n".join(lines)


def _check(
    tests: Sequence[str],
    attacks: Sequence[str],
    epsilons: Sequence[float] | None,
    steps: int | None,
    target: str | None,
) -> None:
    known = [*CHANGES, CORRUPTED]
    if unknown := [name for name in tests if name not in known]:
        raise UserError(f"unknown test {unknown[0]}{nearest(unknown[0], known)}")
    for name in attacks:
        _ = ATTACKS[name]
    if not tests and not attacks:
        raise UserError(f"there is nothing to try; name tests ({', '.join(known)}) or attacks ({', '.join(ATTACKS)})")
    if not attacks and (epsilons is not None or target):
        raise UserError("an epsilon and a target belong to attacks; name some with --attack, such as fgsm,pgd")
    if steps and not any(ATTACKS[name].iterated for name in attacks):
        raise UserError(f"steps={steps} belong to an iterated attack; name one with --attack, such as pgd")
    if epsilons is not None and not (epsilons and all(0 < epsilon < math.inf for epsilon in epsilons)):
        raise UserError("an attack's epsilons are numbers above 0, in pixels of 0-1")
    for what, given in (("test", tests), ("attack", attacks), ("epsilon", epsilons or ())):
        if twice := [item for place, item in enumerate(given) if item in given[:place]]:
            raise UserError(f"{what} {twice[0]} is given twice; name each once")


def _trials(
    subject: Subject,
    tests: Sequence[str],
    attacks: Sequence[str],
    epsilons: Sequence[float] | None,
    steps: int,
    target: str | None,
) -> dict[str, Trial]:
    """Every row by name; those of corruptions are called corruptions/<name>."""
    run = subject.run

    def changed(name: str) -> Callable[[Batch, float], Array]:
        return lambda batch, strength: subject.change(batch["levels"], name, strength, indices=batch["position"])

    def corrupted(name: str) -> Callable[[Batch, float], Array]:
        return lambda batch, degree: subject.corrupt(batch["levels"], name, int(degree), indices=batch["position"])

    def goals(batch: Batch) -> Array:
        if target == LEAST_LIKELY:
            return subject.probabilities(batch["levels"]).argmin(1)
        return jnp.full_like(batch["labels"], run.index(str(target)))

    def attacked(name: str) -> Callable[[Batch, float], Array]:
        def apply(batch: Batch, epsilon: float) -> Array:
            labels, where = goals(batch) if target else batch["labels"], batch["position"]
            options: dict[str, Any] = {"epsilon": epsilon, "steps": steps, "target": bool(target), "indices": where}
            return subject.attack(batch["levels"], labels, name, **options)

        return apply

    trials = {"clean": Trial((0.0,), lambda batch, _: batch["levels"])}
    trials |= {name: Trial(CHANGES[name].strengths, changed(name)) for name in tests if name != CORRUPTED}
    if CORRUPTED in tests:
        channels = run.model.input_size[2]
        fitting = [name for name, item in CORRUPTIONS.items() if item.channels in (None, channels)]
        trials |= {f"{CORRUPTED}/{name}": Trial((1, 2, 3, 4, 5), corrupted(name)) for name in fitting}
    for name in attacks:
        radii = tuple(sorted(epsilons or EPSILONS[ATTACKS[name].norm]))
        trials[name] = Trial(radii, attacked(name), goals if target else None)
    return trials


def _measure(
    subject: Subject, source: Any, rows: Sequence[Any], trials: Mapping[str, Trial]
) -> dict[str, list[dict[str, Any]]]:
    """The means of every trial at each of its strengths; every batch passes through all of them before the next."""
    totals: dict[str, list[dict[str, float]]] = {name: [{} for _ in trial.strengths] for name, trial in trials.items()}
    with logs.progress("measuring", len(rows) * sum(len(trial.strengths) for trial in trials.values())) as tick:
        for batch in source.batches(rows):
            batch |= {"levels": subject.frame(batch["images"], batch.get("sizes"))}
            for name, trial in trials.items():
                for place, strength in enumerate(trial.strengths):
                    levels = trial.apply(batch, strength)
                    sums = subject.score(levels, batch["labels"], batch["mask"])
                    if trial.goals:
                        sums |= _reached(subject, levels, batch, trial.goals(batch))
                    for key, value in jax.device_get(sums).items():
                        totals[name][place][key] = totals[name][place].get(key, 0.0) + float(value)
                    tick(note=name)
    return {name: [_means(sums) for sums in row] for name, row in totals.items()}


def _reached(subject: Subject, levels: Array, batch: Batch, goals: Array) -> dict[str, Array]:
    """Of the images that were not of the target's class to begin with, how many are taken for it."""
    others = batch["mask"] * (batch["labels"] != goals)
    sums = subject.score(levels, goals, others)
    return {"aimed": sums["count"], "reached": sums["top1"]}


def _means(sums: dict[str, float]) -> dict[str, Any]:
    aimed, reached = sums.pop("aimed", 0.0), sums.pop("reached", 0.0)
    return metrics.summarize(sums) | ({"success": reached / aimed} if aimed else {})


def _arranged(
    means: Mapping[str, list[dict[str, Any]]],
    trials: Mapping[str, Trial],
    tests: Sequence[str],
    attacks: Sequence[str],
    steps: int,
    target: str | None,
    size: tuple[int, int, int],
) -> dict[str, Any]:
    """The part of the report that was measured."""

    def columns(name: str, *keys: str) -> dict[str, Any]:
        return {key: [row.get(key) for row in means[name]] for key in keys}

    report: dict[str, Any] = {"clean": {key: means["clean"][0][key] for key in ("top1", "log_loss")}}
    changes = {
        name: {"unit": CHANGES[name].unit, "strengths": trials[name].strengths, **columns(name, "top1", "log_loss")}
        for name in tests
        if name != CORRUPTED
    }
    if changes:
        report["changes"] = changes
    if CORRUPTED in tests:
        top1 = {
            name.partition("/")[2]: columns(name, "top1")["top1"] for name in trials if name.startswith(f"{CORRUPTED}/")
        }
        of_benchmark = [row for name, row in top1.items() if not CORRUPTIONS[name].extra]
        table = "CIFAR-10-C" if min(size[:2]) <= SMALL else "ImageNet-C"
        report[CORRUPTED] = {"figures": table, "top1": top1, "mean_top1": float(np.mean(of_benchmark))}
    if attacks:
        report["attacks"] = {}
    for name in attacks:
        attack, keys = ATTACKS[name], ("top1", "log_loss", *(("success",) if target else ()))
        row = {"norm": attack.norm, "steps": steps if attack.iterated else 1, "epsilons": trials[name].strengths}
        report["attacks"][name] = row | columns(name, *keys) | ({"target": target} if target else {})
    return report


def _pairs(subject: Subject, batch: Batch, trial: Trial, row: Mapping[str, Any], clean: float) -> tuple[Any, ...]:
    """(epsilon, levels before, after, probabilities before, after) of the images that a figure shows.

    At the least epsilon that leaves less than half of the accuracy `clean`, or the largest; first those that it turned.
    """
    below = (epsilon for epsilon, top1 in zip(row["epsilons"], row["top1"], strict=True) if top1 < clean / 2)
    epsilon = next(below, row["epsilons"][-1])
    batch = batch | {"levels": subject.frame(batch["images"], batch.get("sizes"))}
    moved = trial.apply(batch, epsilon)
    scores = [np.asarray(subject.probabilities(levels)) for levels in (batch["levels"], moved)]
    turned = scores[0].argmax(1) != scores[1].argmax(1)
    order = np.argsort(~turned, kind="stable")
    order = order[np.asarray(batch["mask"])[order] > 0][:SHOWN]
    return epsilon, *(np.asarray(array)[order] for array in (batch["levels"], moved, *scores))
