"""Stage 4, optim: logits and targets -> loss -> gradient -> update of the parameters.

Before it: models, which gives the logits; after it: training, which runs the step. All of it is pure functions; the
only importer of optax.
"""

from cnnjax.optim.adversary import ATTACKS, adversaries
from cnnjax.optim.average import averaging_decay, ema
from cnnjax.optim.losses import LOSSES, penalties, probabilities, smooth
from cnnjax.optim.optimizers import OPTIMIZERS, optimizer, sam_gradient
from cnnjax.optim.schedules import extends, plateau_start, plateau_update, schedule

__all__ = [
    "ATTACKS",
    "LOSSES",
    "OPTIMIZERS",
    "adversaries",
    "averaging_decay",
    "ema",
    "extends",
    "optimizer",
    "penalties",
    "plateau_start",
    "plateau_update",
    "probabilities",
    "sam_gradient",
    "schedule",
    "smooth",
]
