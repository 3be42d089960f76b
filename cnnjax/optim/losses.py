"""What training makes small, losses per image and penalties on the weights; and what logits say as probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, caller
from cnnjax.core.trees import flatten

Function = TypeVar("Function", bound=Callable[[Array, Array], Array])


@dataclass(frozen=True)
class Loss:
    """What training makes small, and what the outputs of a model that was trained so say of each class.

    Attributes:
      function: f(logits, targets), float32 [N, K] each -> one loss an image, [N].
      probabilities: f(logits [N, K]) -> [N, K].
      independent: each output is a class by itself: an image may have several labels, and two classes share one output.
      has_logits: the outputs are logits, which a temperature divides and label smoothing suits.
    """

    function: Callable[[Array, Array], Array]
    probabilities: Callable[[Array], Array]
    independent: bool = False
    has_logits: bool = True

    def __call__(self, logits: Array, targets: Array) -> Array:
        """Returns one loss an image, [N]."""
        return self.function(logits, targets)


def _adopt(name: str, found: Any) -> Loss:
    if not callable(found):
        raise UserError(f"{name} is no function of (logits, targets) that returns a loss for each image")
    return found if isinstance(found, Loss) else Loss(found, jax.nn.softmax)


LOSSES: Registry[Loss] = Registry("loss", _adopt)


def register_loss(
    name: str,
    *,
    probabilities: Callable[[Array], Array] = jax.nn.softmax,
    independent: bool = False,
    has_logits: bool = True,
) -> Callable[[Function], Function]:
    """Registers f(logits, targets) -> [N] as a loss that config.train.loss can name.

    Args:
      probabilities, independent, has_logits: see `Loss`.
    """
    return LOSSES.add(name, lambda function: Loss(function, probabilities, independent, has_logits), home=caller())


# ---------------------------------------------------------------- probabilities


def _of_independent(logits: Array) -> Array:
    """Returns K independent probabilities; one output is two classes, [N, 2] = [1 - p, p]."""
    # sigmoid(-x) keeps the digits that 1 - sigmoid(x) loses.
    both = jnp.concatenate([-logits, logits], axis=-1) if logits.shape[-1] == 1 else logits
    return jax.nn.sigmoid(both)


def _of_least_squares(outputs: Array) -> Array:
    """Returns the outputs cut at zero and normalized, as least squares on one-hot targets estimates probabilities.

    A millionth of a softmax keeps every class above zero and in its rank.
    """
    positive = jnp.maximum(outputs, 0) + 1e-6 * jax.nn.softmax(outputs)
    return positive / jnp.sum(positive, axis=-1, keepdims=True)


def _of_lengths(lengths: Array) -> Array:
    """Returns the share of each class given that exactly one is there: by its odds, v / (1 - v).

    A length is the probability that its class is there, whatever the others are. Outputs that are no lengths, below 0
    and above 1, keep their rank.
    """
    inside = jnp.clip(lengths, 1e-20, 1 - 2.0**-24)
    return jax.nn.softmax(jnp.log(inside) - jnp.log1p(-inside) + (lengths - inside))


def probabilities(logits: Array, loss_name: str) -> Array:
    """Returns what a model trained with the loss `loss_name` says of each class, [N, K]."""
    return LOSSES[loss_name].probabilities(logits)


# ---------------------------------------------------------------- losses


@register_loss("softmax")
def softmax_cross_entropy(logits: Array, targets: Array) -> Array:
    """Cross-entropy of the softmax: -sum t log softmax(x), for targets that sum to one."""
    return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)


@register_loss("sigmoid", probabilities=_of_independent, independent=True)
def sigmoid_cross_entropy(logits: Array, targets: Array) -> Array:
    """Binary cross-entropy of K independent outputs, as the mean over the outputs.

    The mean (as in PyTorch and Keras; the sum is K times as large) keeps one learning rate right for any number of
    labels, and equals the log loss that evaluation reports.
    """
    return -jnp.mean(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits), axis=-1)


@register_loss("mse", probabilities=_of_least_squares, has_logits=False)
def squared_error(logits: Array, targets: Array) -> Array:
    """Squared error of the outputs as they are, without an activation: sum (t - x)^2 / 2."""
    return jnp.sum(jnp.square(targets - logits), axis=-1) / 2


@register_loss("margin", probabilities=_of_lengths, has_logits=False)
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


def penalties(params: Any, *, l1: float, l2: float) -> Array:
    """Returns l1 * sum |w| + l2 * sum w^2 / 2 over the weights: the leaves named kernel, no biases and no norms."""
    total = jnp.float32(0)
    for path, leaf in flatten(params).items():
        if path.rpartition("/")[2] == "kernel":
            # A penalty that is off leaves no trace in the compiled step.
            total += l1 * jnp.sum(jnp.abs(leaf)) if l1 else 0
            total += l2 * jnp.sum(jnp.square(leaf)) / 2 if l2 else 0
    return total
