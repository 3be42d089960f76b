"""The training loop, read from top to bottom.

The order of operations is law; exact resume rests on it:

  1. take the batch of step n (it was put on the device while step n - 1 ran)
  2. dispatch step n
  3. read the metrics of step n - 1: the device is never idle while the host reads
  4. where step n is a boundary (validation, checkpoint, stop, end), read its metrics too; then validate, log, decide,
     and save, in this order: what is saved contains every decision made so far

One dispatch may be several steps (train.steps_per_dispatch); then n - 1 and n are dispatches, none of which goes past a
step at which something is logged, validated or saved.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import jax
import numpy as np

from cnnjax.config import Experiment, TrainConfig
from cnnjax.core.arrays import Array, Batch
from cnnjax.core.errors import RunError, Stopped
from cnnjax.core.logs import progress as progress_bar
from cnnjax.core.meters import Stopwatch, Trace, next_batch
from cnnjax.optim import schedules
from cnnjax.training.callbacks import Callback, Record
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.state import Progress, TrainState
from cnnjax.training.stop import StopRequest

ALL_DONE, BUDGET_SPENT = "all steps done", "time budget spent"
SHORTEST_PAUSE = 10  # seconds: epochs shorter than this share a checkpoint


def steps_in(epochs: float, images: int, batch_size: int) -> int:
    """Returns ceil(epochs * n / B): the last epoch's last batch is taken whole."""
    return math.ceil(epochs * images / batch_size - 1e-9)


@dataclass(frozen=True)
class Length:
    """How long a run is, in steps, for a training set of `images`."""

    images: int
    batch_size: int
    steps: int
    eval_every: float

    @classmethod
    def of(cls, config: TrainConfig, *, images: int, batch_size: int) -> "Length":
        """Of so many steps as the config says, else as its epochs are."""
        steps = config.steps or steps_in(config.epochs, images, batch_size)
        # The few images of train.overfit make epochs of a few steps, which nobody wants to validate and save.
        return cls(images, batch_size, max(steps, 1), math.inf if config.overfit else config.eval_every)

    @property
    def steps_per_epoch(self) -> float:
        return self.images / self.batch_size

    def epoch(self, step: int) -> float:
        """Passes over the training set after `step` steps."""
        return step / self.steps_per_epoch

    def ends_epoch(self, step: int) -> bool:
        """Whether an epoch ends with this step."""
        return self._ends(step, 1.0)

    def validates(self, step: int) -> bool:
        """Whether a multiple of `eval_every` epochs ends with this step, or the run does."""
        return step == self.steps or self._ends(step, self.eval_every)

    def dispatches(self, start: int, most: int, log_every: int) -> Iterator[tuple[int, int]]:
        """Yields the first and last step of every dispatch behind step `start`; each is `most` steps or fewer."""
        first = start + 1
        for step in range(first, self.steps + 1):
            told = step % log_every == 0 or self.validates(step) or self.ends_epoch(step)
            if told or step - first + 1 == most:
                yield first, step
                first = step + 1

    def _ends(self, step: int, epochs: float) -> bool:
        """Whether a multiple of `epochs` ends with this step; the margin is for rounding in the division."""
        done, before = (math.floor(self.epoch(number) / epochs + 1e-9) for number in (step, step - 1))
        return done > before


@dataclass
class Loop:
    """What the loop is given.

    Attributes:
      step: compiled f(state, batch) -> (state, scalars), state donated; scalars [most] where it takes several steps.
      validate: f(state) -> {"val/loss", "val/top1"}, or None without a validation split.
      decide: f(progress, validation, step) -> reason to finish or ""; it updates progress (best, patience, plateau).
      callback: is called with every record and at every checkpoint.
      trace: of some of the steps.
      most: steps a dispatch.
    """

    config: TrainConfig
    length: Length
    step: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]
    validate: Callable[[TrainState], dict[str, float]] | None
    decide: Callable[[Progress, dict[str, float], int], str]
    checkpoints: Checkpoints
    callback: Callback
    trace: Trace
    most: int = 1

    def run(self, state: TrainState, progress: Progress, batches: Iterator[Batch]) -> tuple[TrainState, Progress]:
        """Trains until the last step, a decision, the time budget or a signal; returns what is saved by then.

        Raises:
          RunError: a loss is not finite. Stopped: a signal came; the state is saved.
        """
        start = int(state.step)
        window = _Window(self.length, progress, start)
        pending: tuple[range, dict[str, Array]] | None = None
        began, saved_at = time.monotonic() - progress.seconds, time.monotonic()
        bar = progress_bar("training", self.length.steps, start, lines=False)
        with StopRequest() as stop, bar as tick, self.trace as trace, jax.transfer_guard("disallow"):
            for first, step in self.length.dispatches(start, self.most, self.config.log_every):
                trace.begin(first, step)
                batch = next_batch(batches, pending and pending[1], window.waiting)
                state, scalars = self.step(state, batch)
                trace.end(step, scalars)
                if pending:
                    self._account(window, *pending)
                pending = (range(first, step + 1), scalars)
                tick(step - first + 1, note=window.note)

                now = time.monotonic()
                validates = self.length.validates(step)
                over_budget = bool(self.config.time_budget) and now - began >= self.config.time_budget
                unsaved = now - saved_at
                saves = unsaved >= self.config.checkpoint_every or (
                    self.length.ends_epoch(step) and unsaved >= SHORTEST_PAUSE
                )
                if not (validates or over_budget or saves or stop.signal):
                    continue

                self._account(window, *pending, final=validates)
                pending = None
                if validates:
                    with window.paused:
                        validation = self.validate(state) if self.validate else {}
                    if not math.isfinite(validation.get("val/loss", 0.0)):
                        self._not_finite("the validation loss", step)
                    self._emit(window.record(step) | validation)
                    progress.finished = self.decide(progress, validation, step)
                    state = _scaled(state, progress)
                if step == self.length.steps:
                    progress.finished = progress.finished or ALL_DONE
                if over_budget:
                    progress.finished = progress.finished or BUDGET_SPENT
                progress.seconds = time.monotonic() - began
                self.checkpoints.save(state, progress)
                self.callback.on_checkpoint(step)
                saved_at = time.monotonic()
                if stop.signal:
                    self.checkpoints.wait()
                    raise Stopped(
                        f"stopped and saved at step {step} of {self.length.steps}; the same command goes on from there",
                        stop.signal,
                    )
                if progress.finished:
                    break
        self.checkpoints.wait()
        return state, progress

    def _account(self, window: "_Window", steps: range, scalars: dict[str, Array], final: bool = False) -> None:
        arrays = {name: np.atleast_1d(array) for name, array in jax.device_get(scalars).items()}
        for number, step in enumerate(steps):
            values = {name: float(array[number]) for name, array in arrays.items()}
            if not (math.isfinite(values["loss"]) and math.isfinite(values["grad_norm"])):
                self._not_finite("the loss or its gradient", step)
            window.add(values)
        last = steps[-1]
        if last % self.config.log_every == 0 and not final and not self.length.validates(last):
            self._emit(window.record(last))

    def _not_finite(self, what: str, step: int) -> NoReturn:
        self.checkpoints.wait()
        last = self.checkpoints.last()
        kept = f"the checkpoint of step {last} is kept" if last is not None else "no checkpoint was due before"
        raise RunError(f"{what} is not finite at step {step} ({kept}); a lower config.optimizer.lr may help")

    def _emit(self, record: Record) -> None:
        self.callback.on_log(record)
        if "val/loss" in record:
            self.callback.on_validate(record)


class _Window:
    """Sums since the last log line; they live in Progress, so that a resumed run writes the same line."""

    def __init__(self, length: Length, progress: Progress, step: int):
        self.waiting, self.paused = Stopwatch(), Stopwatch()
        self.note = ""
        self._length, self._progress = length, progress
        self._last: dict[str, float] = {}
        self._began, self._from = time.perf_counter(), step

    def add(self, values: dict[str, float]) -> None:
        self._last = values
        sums = self._progress.window
        for name in ("loss", "top1", "count"):
            sums[name] = sums.get(name, 0.0) + values[name]

    def record(self, step: int) -> Record:
        """Returns the log line of `step` and starts the next window."""
        sums, self._progress.window = self._progress.window, {}
        seconds = max(time.perf_counter() - self._began - self.paused.take(), 1e-9)
        speed = (step - self._from) * self._length.batch_size / seconds
        record = {
            "step": step,
            "epoch": round(self._length.epoch(step), 6),
            "train/loss": sums["loss"] / sums["count"],
            "train/top1": sums["top1"] / sums["count"],
            "grad_norm": self._last["grad_norm"],
            "lr": self._last["lr"],
            "images_per_s": round(speed, 1),
            "data_wait": round(self.waiting.take() / seconds, 4),
        }
        if "dead_relu" in self._last:
            record["dead_relu"] = self._last["dead_relu"]
        self.note = f"{speed:,.0f} images/s, loss {record['train/loss']:.4f}"
        self._began, self._from = time.perf_counter(), step
        return record


def _scaled(state: TrainState, progress: Progress) -> TrainState:
    """Hands the plateau's share of the learning rate to the device."""
    scale = progress.plateau.get("scale", 1.0)
    state.rate_scale = jax.device_put(np.float32(scale), state.rate_scale.sharding)
    return state


def decide(config: Experiment, progress: Progress, validation: dict[str, float], step: int) -> str:
    """What a validation decides: best so far, patience, plateau. Returns why the run ends here, or ""."""
    if not validation:
        return ""
    progress.stale += 1
    top1, loss = validation["val/top1"], validation["val/loss"]
    if (top1, -loss) > (progress.best, -progress.best_loss):
        progress.stale = progress.stale if top1 == progress.best else 0
        progress.best, progress.best_loss, progress.best_step = top1, loss, step
    if config.optimizer.schedule == "plateau":
        progress.plateau = schedules.plateau_update(progress.plateau, 1 - validation["val/top1"], config.optimizer)
        if progress.plateau["finished"]:
            return "validation error no longer falls at the lowest rate"
    if config.train.early_stopping and progress.stale >= config.train.early_stopping:
        return f"no better validation top-1 in {progress.stale} validations"
    return ""
