"""The learning rate as a pure function of the step, and the one schedule that looks at validation: reduce on plateau.

Any schedule may begin with a linear warm-up of W = warmup_epochs * steps_per_epoch steps. Schedules over the whole run
count their progress from its end, p = (step - W) / (steps - W), and reach `final_lr` at p = 1, one step after the
last: with a final rate of 0 no step is spent without moving.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from cnnjax.config import OptimizerConfig
from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry, caller

Rate = Callable[[int | Array], Array]

# One-cycle's share of the run spent rising, and its first rate as a share of the highest: the values of fastai and
# PyTorch, which made the schedule popular.
CYCLE_RISE, CYCLE_START = 0.3, 1 / 25

Shape = Callable[[OptimizerConfig, Array], Array]
SCHEDULES: Registry[Shape | None] = Registry("schedule")
"""Each takes the config and the progress p in [0, 1] and returns the share of `lr`; None: the rate at a step does not
depend on the length of the run."""

for _name in ("constant", "step", "plateau"):
    SCHEDULES.register(_name, None)


def register_schedule(name: str) -> Callable[[Shape], Shape]:
    """Registers f(OptimizerConfig, progress) -> share of `lr` as a schedule that config.optimizer.schedule can name.

    The progress, behind the warm-up, runs from 0 to 1 over the run and may be traced.
    """
    return SCHEDULES.add(name, home=caller())


@register_schedule("cosine")
def _cosine(config: OptimizerConfig, progress: Array) -> Array:
    """Half a cosine from 1 to final_lr (Loshchilov and Hutter, 2016, arXiv:1608.03983, equation 5, one period)."""
    return config.final_lr + (1 - config.final_lr) * (1 + jnp.cos(jnp.pi * progress)) / 2


@register_schedule("polynomial")
def _polynomial(config: OptimizerConfig, progress: Array) -> Array:
    return config.final_lr + (1 - config.final_lr) * (1 - progress) ** config.power


@register_schedule("linear")
def _linear(config: OptimizerConfig, progress: Array) -> Array:
    return config.final_lr + (1 - config.final_lr) * (1 - progress)


@register_schedule("one_cycle")
def _one_cycle(config: OptimizerConfig, progress: Array) -> Array:
    """Up and down once along half cosines (Smith and Topin, 2017, arXiv:1708.07120); `lr` is the highest rate."""
    up = (1 - jnp.cos(jnp.pi * progress / CYCLE_RISE)) / 2
    down = (1 + jnp.cos(jnp.pi * (progress - CYCLE_RISE) / (1 - CYCLE_RISE))) / 2
    rising = CYCLE_START + (1 - CYCLE_START) * up
    falling = config.final_lr + (1 - config.final_lr) * down
    return jnp.where(progress < CYCLE_RISE, rising, falling)


def schedule(config: OptimizerConfig, *, steps: int, steps_per_epoch: float) -> Rate:
    """Returns rate(step), float32, which may be traced.

    The warm-up multiplies the rate of step s by (s + 1) / W, so that step 0 already moves and step W - 1 has the full
    rate. The plateau schedule is constant here: the run multiplies it by the scale of `plateau_update`.

    Args:
      config: the optimizer section of an experiment.
      steps: of the whole run.
      steps_per_epoch: training images / batch size, not rounded.
    """
    warmup = config.warmup_epochs * steps_per_epoch

    def rate(step: int | Array) -> Array:
        rise = jnp.minimum((step + 1) / max(warmup, 1), 1)
        return jnp.asarray(base(step) * rise, jnp.float32)

    shape = SCHEDULES[config.schedule]
    if shape is not None:

        def base(step: int | Array) -> Array:
            return config.lr * shape(config, jnp.clip((step - warmup) / max(steps - warmup, 1), 0, 1))

    else:
        # Rates from a table of Python floats: each is the float32 nearest to lr * drop_factor^n.
        epochs = config.drop_epochs if config.schedule == "step" else ()
        # Rounded first: 0.07 epochs of 100 steps are 7.000000000000001 steps, but the drop belongs to step 7.
        drops = jnp.asarray([math.ceil(round(epoch * steps_per_epoch, 6)) for epoch in epochs], jnp.int32)
        rates = jnp.asarray([config.lr * config.drop_factor**n for n in range(len(epochs) + 1)], jnp.float32)

        def base(step: int | Array) -> Array:
            return rates[jnp.sum(step >= drops)]

    return rate


def extends(config: OptimizerConfig) -> bool:
    """Whether a longer run has the same rate at every earlier step, so that a finished run can go on."""
    return SCHEDULES[config.schedule] is None


def plateau_start() -> dict[str, Any]:
    """The state of reduce-on-plateau before any validation: plain numbers, kept in the checkpoint."""
    # The largest finite number instead of infinity, which JSON does not have.
    return {"scale": 1.0, "best": sys.float_info.max, "wait": 0, "drops": 0, "finished": False}


def plateau_update(state: dict[str, Any], error: float, config: OptimizerConfig) -> dict[str, Any]:
    """Returns the state after one more validation.

    AlexNet's manual rule made automatic (Krizhevsky, Sutskever and Hinton, 2012, section 5): the rate is divided by 10
    when the validation error stops improving, three times before the end. An error that is only equal, or NaN, is no
    improvement.

    Args:
      state: of `plateau_start` or of the last call.
      error: of the validation; lower is better.
      config: plateau_patience, plateau_drops and drop_factor.

    Returns:
      `scale` (multiplies the rate), `best` (lowest error so far), `wait` (validations since then or since the last
      drop), `drops` (so far) and `finished` (one more than plateau_drops is due: the run ends).
    """
    if error < state["best"]:
        return {**state, "best": float(error), "wait": 0}
    if state["wait"] + 1 < config.plateau_patience:
        return {**state, "wait": state["wait"] + 1}
    if state["drops"] == config.plateau_drops:
        return {**state, "wait": 0, "finished": True}
    drops = state["drops"] + 1
    return {**state, "wait": 0, "drops": drops, "scale": config.drop_factor**drops}
