"""Stage 4, optim: logits and targets -> loss -> gradient -> update of the parameters.

Before it: models, which gives the logits; after it: training, which runs the step. All of it is pure functions; the
only importer of optax.
"""

from cnnjax.optim.adversary import ATTACKS, adversaries
from cnnjax.optim.average import averaging_decay, ema
from cnnjax.optim.losses import LOSSES, penalties, probabilities, register_loss, smooth
from cnnjax.optim.optimizers import OPTIMIZERS, optimizer, register_optimizer, sam_gradient, scale_by_rate
from cnnjax.optim.schedules import SCHEDULES, extends, plateau_start, plateau_update, register_schedule, schedule

__all__ = [
    "ATTACKS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "adversaries",
    "averaging_decay",
    "ema",
    "extends",
    "optimizer",
    "penalties",
    "plateau_start",
    "plateau_update",
    "probabilities",
    "register_loss",
    "register_optimizer",
    "register_schedule",
    "sam_gradient",
    "scale_by_rate",
    "schedule",
    "smooth",
]
