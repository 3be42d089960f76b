"""What a training calls while it runs: its own logs, and whatever a user adds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cnnjax.config import Experiment
from cnnjax.core import logs
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, caller
from cnnjax.core.rundir import RunDir

Record = dict[str, Any]


class Callback:
    """Is called by `train` at its events; a subclass overrides those that it needs.

    An exception ends the training; the last checkpoint is kept.
    """

    def on_start(self, run: RunDir, config: Experiment, step: int) -> None:
        """Called before the first step.

        Args:
          step: steps done; above 0 where the run resumes, which repeats what was logged behind its checkpoint.
        """

    def on_log(self, record: Record) -> None:
        """Called with every line of metrics.jsonl: step, epoch, train/loss, train/top1, lr, images_per_s, ..."""

    def on_validate(self, record: Record) -> None:
        """Called behind `on_log` with a line that has val/loss and val/top1 too."""

    def on_checkpoint(self, step: int) -> None:
        """Called when a checkpoint of this step has begun to be written."""

    def on_end(self, report: Mapping[str, Any] | None) -> None:
        """Called at the end with the report that `train` returns; None: the training was stopped or failed."""


def _adopt(name: str, found: Any) -> type[Callback]:
    if not (isinstance(found, type) and issubclass(found, Callback)):
        raise UserError(f"{name} is no subclass of cnnjax.Callback")
    return found


CALLBACKS: Registry[type[Callback]] = Registry("callback", _adopt)

Kind = TypeVar("Kind", bound=type[Callback])


def register_callback(name: str) -> Callable[[Kind], Kind]:
    """Registers a subclass of Callback, made without arguments, as one that config.train.callbacks can name."""
    return CALLBACKS.add(name, lambda kind: _adopt(name, kind), home=caller())


class Callbacks(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Sequence[Callback]):
        self._callbacks = callbacks

    def on_start(self, run: RunDir, config: Experiment, step: int) -> None:
        for callback in self._callbacks:
            callback.on_start(run, config, step)

    def on_log(self, record: Record) -> None:
        for callback in self._callbacks:
            callback.on_log(record)

    def on_validate(self, record: Record) -> None:
        for callback in self._callbacks:
            callback.on_validate(record)

    def on_checkpoint(self, step: int) -> None:
        for callback in self._callbacks:
            callback.on_checkpoint(step)

    def on_end(self, report: Mapping[str, Any] | None) -> None:
        for callback in self._callbacks:
            callback.on_end(report)


class OnLog(Callback):
    """Calls a function with every line of metrics.jsonl."""

    def __init__(self, function: Callable[[Record], None]):
        self._function = function

    def on_log(self, record: Record) -> None:
        self._function(record)


class MetricsFile(Callback):
    """Writes metrics.jsonl."""

    _log: logs.MetricsLog | None = None

    def on_start(self, run: RunDir, config: Experiment, step: int) -> None:
        self._log = logs.MetricsLog(run.metrics, keep_to=step)

    def on_log(self, record: Record) -> None:
        if self._log:
            self._log.write(record)

    def on_end(self, report: Mapping[str, Any] | None) -> None:
        if self._log:
            self._log.close()


class Console(Callback):
    """Prints a line for people on stderr."""

    def on_log(self, record: Record) -> None:
        logs.say(line(record))


@register_callback("tensorboard")
class TensorBoard(Callback):
    """Writes TensorBoard events into the run folder."""

    _board: logs.TensorBoard | None = None

    def on_start(self, run: RunDir, config: Experiment, step: int) -> None:
        self._board = logs.TensorBoard(run.root, step + 1)

    def on_log(self, record: Record) -> None:
        if self._board:
            self._board.write(record)

    def on_end(self, report: Mapping[str, Any] | None) -> None:
        if self._board:
            self._board.close()


def line(record: Record) -> str:
    """Returns a record as the line that people read while they wait."""
    parts = [
        f"step {record['step']:,}",
        f"epoch {record['epoch']:.2f}",
        f"loss {record['train/loss']:.4f}",
        f"top-1 {record['train/top1']:.2%}",
    ]
    if "val/top1" in record:
        parts += [f"| validation loss {record['val/loss']:.4f}", f"top-1 {record['val/top1']:.2%} |"]
    parts += [f"lr {record['lr']:.3g}", f"{record['images_per_s']:,.0f} images/s"]
    if "dead_relu" in record:
        parts.append(f"dead ReLU {record['dead_relu']:.1%}")
    return "  ".join(parts)
