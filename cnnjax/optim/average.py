"""The running average of a network's weights and statistics, which evaluation uses instead of the last ones."""

from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array


def averaging_decay(decay: float, step: int | Array) -> Array:
    """Returns min(decay, (1 + step) / (10 + step)), TensorFlow's warm-up of a moving average.

    Without it the random weights of step 0 keep a share of decay^step: 37 % after 1,000 steps at 0.999.

    Args:
      decay: `train.ema`.
      step: updates averaged before, 0 at the first.
    """
    return jnp.minimum(decay, (1 + step) / (10 + step)).astype(jnp.float32)


def ema(average: Any, new: Any, decay: float | Array) -> Any:
    """Returns decay * average + (1 - decay) * new, leaf by leaf.

    Batch statistics are averaged with the parameters ({"params": ..., "batch_stats": ...}): averaged weights with the
    statistics of others do not fit together.
    """
    return jax.tree.map(lambda old, leaf: decay * old + (1 - decay) * leaf, average, new)
