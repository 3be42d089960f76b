"""What training makes small, losses per picture and penalties on the weights; and what logits say as probabilities."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry
from cnnjax.core.trees import flatten

Loss = Callable[[Array, Array], Array]

LOSSES: Registry[Loss] = Registry("loss")
"""Each takes logits and targets, float32 [N, K], and returns one loss a picture, [N]."""


@LOSSES.add("softmax")
def softmax_cross_entropy(logits: Array, targets: Array) -> Array:
    """Cross-entropy of the soft-max: -sum t log softmax(x), for targets that sum to one."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


@LOSSES.add("sigmoid")
def sigmoid_cross_entropy(logits: Array, targets: Array) -> Array:
    """Binary cross-entropy of K independent outputs, as the mean over the outputs.

    The mean (as in PyTorch and Keras; the sum is K times as large) keeps one learning rate right for any number of
    labels, and equals the log loss that evaluation reports.
    """
    return -jnp.mean(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits), axis=-1)


@LOSSES.add("mse")
def squared_error(logits: Array, targets: Array) -> Array:
    """Squared error of the outputs as they are, without an activation: sum (t - x)^2 / 2."""
    return jnp.sum(jnp.square(targets - logits), axis=-1) / 2


@LOSSES.add("margin")
def margin(lengths: Array, targets: Array) -> Array:
    """Margin loss of capsules (Sabour et al. 2017, arXiv:1710.09829, equation 4), summed over the classes.

    sum t max(0, 0.9 - v)^2 + 0.5 (1 - t) max(0, v - 0.1)^2: each class is asked for by itself, so that several can be
    there at once; the half keeps the many absent ones from shrinking all lengths at the start.

    Args:
      lengths: of the class capsules, 0 .. 1.
    """
    # ReLU and not jnp.maximum, whose gradient asks which operand equals the result: XLA may round the two differently.
    present = targets * jnp.square(jax.nn.relu(0.9 - lengths))
    absent = (1 - targets) * jnp.square(jax.nn.relu(lengths - 0.1))
    return jnp.sum(present + 0.5 * absent, axis=-1)


def smooth(targets: Array, share: float) -> Array:
    """Label smoothing (Szegedy et al., 2015, arXiv:1512.00567, section 7): (1 - share) t + share / K.

    The true class keeps its own part of the share: it gets 1 - share + share / K.

    Args:
      targets: [N, K].
      share: of the target that is spread over all K classes, in [0, 1).
    """
    return (1 - share) * targets + share / targets.shape[-1]


def probabilities(logits: Array, loss_name: str) -> Array:
    """Returns what a network trained with the loss `loss_name` says of each class, [N, K].

    softmax: the soft-max. sigmoid: K independent probabilities; one output is two classes, [N, 2] = [1 - p, p].
    mse: least squares on one-hot targets estimates the probabilities themselves, so the outputs are cut at zero and
    normalised; a millionth of a soft-max keeps every class above zero and in its rank.
    margin: a length is the probability that its class is there, whatever the others are; given that exactly one is, the
    classes share by their odds, v / (1 - v). Outputs that are no lengths, below 0 and above 1, keep their rank.

    Args:
      logits: float32 [N, K].
      loss_name: a name of LOSSES.
    """
    if loss_name == "softmax":
        return jax.nn.softmax(logits)
    if loss_name == "sigmoid":
        # sigmoid(-x) keeps the digits that 1 - sigmoid(x) loses.
        both = jnp.concatenate([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits
        return jax.nn.sigmoid(both)
    if loss_name == "mse":
        positive = jnp.maximum(logits, 0) + 1e-6 * jax.nn.softmax(logits)
        return positive / jnp.sum(positive, axis=-1, keepdims=True)
    if loss_name == "margin":
        inside = jnp.clip(logits, 1e-20, 1 - 2.0**-24)
        return jax.nn.softmax(jnp.log(inside) - jnp.log1p(-inside) + (logits - inside))
    raise ValueError(f"no probabilities are defined for the loss {loss_name}")


def penalties(params: Any, *, l1: float, l2: float) -> Array:
    """Returns l1 * sum |w| + l2 * sum w^2 / 2 over the weights: the leaves named kernel, no biases and no norms."""
    total = jnp.float32(0)
    for path, leaf in flatten(params).items():
        if path.rpartition("/")[2] == "kernel":
            # A penalty that is off leaves no trace in the compiled step.
            total += l1 * jnp.sum(jnp.abs(leaf)) if l1 else 0
            total += l2 * jnp.sum(jnp.square(leaf)) / 2 if l2 else 0
    return total
