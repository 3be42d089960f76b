"""What a training run is at one step: arrays on the devices, and the few numbers that the loop decides by."""

import sys
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array, Tree


@jax.tree_util.register_dataclass
@dataclass
class TrainState:
    """The arrays of a run, replicated on every device and donated from step to step.

    Attributes:
      step: int32, steps done.
      params, batch_stats: nested dicts, float32.
      opt_state: of the optimizer chain.
      rate_scale: float32, what reduce-on-plateau has left of the learning rate.
      average: the running average of {"params", "batch_stats"}, or None where the recipe has none.
    """

    step: Array
    params: Tree
    batch_stats: Tree
    opt_state: Any
    rate_scale: Array
    average: Tree | None

    @property
    def variables(self) -> Tree:
        """What evaluation uses: the average where there is one."""
        return self.average if self.average is not None else {"params": self.params, "batch_stats": self.batch_stats}


def create_state(variables: Tree, optimizer: Any, *, average: bool) -> TrainState:
    """Returns the state of step 0; traceable, so that its shapes cost nothing."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=optimizer.init(variables["params"]),
        rate_scale=jnp.ones((), jnp.float32),
        average=jax.tree.map(jnp.copy, dict(variables)) if average else None,
    )


@dataclass
class Progress:
    """The host's side of the state: plain numbers, saved as JSON with every checkpoint.

    Attributes:
      best: the best val/top1 so far, `best_loss` the val/loss with it and `best_step` the step it was reached at; of
        equal ones the lower loss, then the earlier. -1 before the first.
      stale: validations since then.
      plateau: the state of reduce-on-plateau.
      window: sums of the steps since the last log line, so that a resumed run writes the same line.
      seconds: spent training, over all starts.
      finished: why the run is over, or "" while it is not.
    """

    best: float = -1.0
    best_step: int = -1
    best_loss: float = sys.float_info.max
    stale: int = 0
    plateau: dict[str, Any] = field(default_factory=dict)
    window: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    finished: str = ""
