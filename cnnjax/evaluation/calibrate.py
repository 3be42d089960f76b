"""Temperature scaling: one number, fitted on the validation split, that makes a network as sure as it is right."""

import math
from collections.abc import Callable

LOWEST, HIGHEST = 0.01, 100.0
"""Where a temperature is looked for; a network that is never wrong would have 0."""


def fit(log_loss: Callable[[float], float]) -> float:
    """Finds the temperature of least log loss (Guo et al. 2017, arXiv:1706.04599, section 4.2), by golden sections.

    The loss falls and then rises: of one view it is convex in the temperature's inverse. Where the mean over several
    views should break that, the result is still no worse than 1, which is no scaling at all.

    Args:
      log_loss: of the validation split when logits are divided by a temperature.
    """
    ratio = (math.sqrt(5) - 1) / 2
    left, right = math.log(LOWEST), math.log(HIGHEST)
    inner = [right - ratio * (right - left), left + ratio * (right - left)]
    losses = [log_loss(math.exp(place)) for place in inner]
    while right - left > 1e-5:
        if losses[0] <= losses[1]:
            right, place = inner[1], inner[1] - ratio * (inner[1] - left)
            inner, losses = [place, inner[0]], [log_loss(math.exp(place)), losses[0]]
        else:
            left, place = inner[0], inner[0] + ratio * (right - inner[0])
            inner, losses = [inner[1], place], [losses[1], log_loss(math.exp(place))]
    return min(math.exp((left + right) / 2), 1.0, key=log_loss)
