"""Checkpoints: asynchronous, atomic, checked leaf by leaf, and restored onto whatever devices are at hand.

The best one (by val/top1, of equal ones the lower val/loss) and the last are kept. orbax restores a flipped bit
without a word, so every checkpoint carries the CRC-32 of its leaves. This file is the only importer of orbax.
"""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp

from cnnjax.core import trees
from cnnjax.core.arrays import Tree
from cnnjax.core.errors import UserError
from cnnjax.training.state import Progress, TrainState

# orbax tells of each phase of each save at level INFO and warns of options that it chose itself.
logging.getLogger("absl").setLevel(logging.ERROR)


class Checkpoints:
    """The checkpoints of one run.

    Args:
      folder: `RunDir.checkpoints`; made at the first save.
      read_only: leaves alone what a training run beside this process may be writing.
    """

    def __init__(self, folder: Path, *, read_only: bool = False):
        self._keep = _Keep()
        self._read_only = read_only
        self._folder = folder
        self._manager: ocp.CheckpointManager | None = None
        if folder.is_dir():
            self._open()

    def _open(self) -> ocp.CheckpointManager:
        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                preservation_policy=self._keep,
                cleanup_tmp_directories=not self._read_only,
                enable_async_checkpointing=not self._read_only,
                read_only=self._read_only,
            )
            self._manager = ocp.CheckpointManager(self._folder.absolute(), options=options)
        return self._manager

    def last(self) -> int | None:
        """Returns the step of the newest checkpoint, None without one."""
        return self._manager.latest_step() if self._manager else None

    def save(self, state: TrainState, progress: Progress) -> None:
        """Begins to save; values are those of this moment, whatever is donated afterwards."""
        manager, host = self._open(), jax.device_get(state)
        step = int(host.step)
        if step in manager.all_steps():
            return
        leaves = trees.flatten(host)
        meta = {"progress": dataclasses.asdict(progress), "checksums": trees.checksums(host)}
        self._keep.best_step = progress.best_step
        manager.save(
            step,
            args=ocp.args.Composite(state=ocp.args.StandardSave(trees.unflatten(leaves)), meta=ocp.args.JsonSave(meta)),
        )

    def wait(self) -> None:
        """Returns when what was begun is on disk."""
        if self._manager:
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, then releases orbax's threads."""
        if self._manager:
            self._manager.close()
            self._manager = None

    def progress(self, step: int) -> Progress:
        """Returns the numbers saved with a checkpoint."""
        return self._meta(step)[0]

    def _meta(self, step: int) -> tuple[Progress, dict[str, int]]:
        """The numbers saved with a checkpoint, and the checksums of its leaves."""
        try:
            meta = self._open().restore(step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())).meta
            return Progress(**meta["progress"]), dict(meta["checksums"])
        except Exception as error:
            raise _unreadable(self._folder, step, error) from error

    def choose(self, which: Literal["best", "last"] | None) -> int:
        """Returns the step of the best or the last checkpoint; None: the best where there is one, else the last.

        Raises:
          UserError: there is no such checkpoint.
        """
        if which not in (None, "best", "last"):
            raise UserError(f"checkpoint={which} is neither best nor last")
        last = self.last()
        if last is None:
            raise UserError(f"{self._folder.parent} has no checkpoint yet; train it first")
        best = self.progress(last).best_step
        if which == "best" and best < 0:
            raise UserError(f"{self._folder.parent} has no best checkpoint, since it was never validated; use last")
        if which == "last" or best < 0:
            return last
        if best not in self._open().all_steps():
            raise UserError(f"{self._folder} has lost the best checkpoint, of step {best}; use --checkpoint last")
        return best

    def restore(self, step: int, like: TrainState, sharding: jax.sharding.Sharding) -> tuple[TrainState, Progress]:
        """Returns the state and the progress of a checkpoint, on the devices of `sharding`.

        Args:
          like: a state of the right shapes (ShapeDtypeStruct leaves will do).

        Raises:
          UserError: the files are damaged, or belong to another model.
        """
        progress, checksums = self._meta(step)
        shapes = trees.flatten(like)
        self._check_paths(step, shapes, checksums)
        leaves = self._leaves(step, shapes, checksums, ocp.args.StandardRestore)
        paths, structure = jax.tree_util.tree_flatten_with_path(like)
        ordered = [leaves[path] for path in (trees.path_name(entry) for entry, _ in paths)]
        return jax.device_put(jax.tree.unflatten(structure, ordered), sharding), progress

    def restore_variables(self, step: int, like: Tree) -> tuple[Tree, Progress]:
        """Returns what evaluation uses of a checkpoint, in host memory: the running average where there is one.

        The state of the optimizer, often twice as large, is not read.

        Args:
          like: {"params", "batch_stats"} of the right shapes.

        Raises:
          UserError: as `restore`.
        """
        progress, checksums = self._meta(step)
        prefix = "average/" if any(path.startswith("average/") for path in checksums) else ""
        shapes = {f"{prefix}{path}": leaf for path, leaf in trees.flatten(like).items()}
        kept = {path for path in checksums if path.startswith(prefix or ("params/", "batch_stats/"))}
        self._check_paths(step, shapes, kept)
        leaves = self._leaves(step, shapes, checksums, functools.partial(ocp.args.PyTreeRestore, partial_restore=True))
        found = trees.unflatten({path.removeprefix(prefix): leaf for path, leaf in leaves.items()})
        return {"params": found.get("params", {}), "batch_stats": found.get("batch_stats", {})}, progress

    def _check_paths(self, step: int, shapes: Iterable[str], saved: Iterable[str]) -> None:
        if sorted(shapes) != sorted(saved):
            raise UserError(
                f"checkpoint {step} in {self._folder} holds another model or optimizer than config.json says"
            )

    def _leaves(
        self, step: int, shapes: dict[str, Any], checksums: dict[str, int], restore: Callable[..., Any]
    ) -> dict[str, Any]:
        """Reads the leaves of these paths and holds each against its checksum."""
        empty = {path: np.empty(leaf.shape, leaf.dtype) for path, leaf in shapes.items()}
        try:
            saved = self._open().restore(step, args=ocp.args.Composite(state=restore(trees.unflatten(empty)))).state
        except Exception as error:
            raise _unreadable(self._folder, step, error) from error
        for path, checksum in trees.checksums(saved).items():
            if checksum != checksums[path]:
                raise _unreadable(self._folder, step, ValueError(f"{path} has changed on disk"))
        return trees.flatten(saved)


def _unreadable(folder: Path, step: int, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    return UserError(
        f"checkpoint {step} in {folder} cannot be read ({reason}); delete the folder {folder / str(step)} "
        "to go on from an earlier one, or restore it from a copy"
    )


class _Keep:
    """Keeps the newest checkpoint and the best one, whose step the loop knows."""

    def __init__(self) -> None:
        self.best_step = -1

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        last = len(checkpoints) - 1
        return [number == last or saved.step == self.best_step for number, saved in enumerate(checkpoints)]
