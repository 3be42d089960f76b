"""The update rules by name, each a chain of small transforms that gradients pass from left to right.

Their order is what tells the rules apart. Decay before the moments is an L2 penalty in the gradient, behind them it is
decoupled. A rate before the velocity is remembered by it, behind it a change of rate acts at once.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

from cnnjax.config import OptimizerConfig
from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry, caller
from cnnjax.optim import muon

Transform: TypeAlias = optax.GradientTransformation
Rule: TypeAlias = Callable[[OptimizerConfig], tuple[Transform, ...]]

OPTIMIZERS: Registry[Rule] = Registry("optimizer")


def register_optimizer(name: str) -> Callable[[Rule], Rule]:
    """Registers f(OptimizerConfig) -> tuple of optax transforms as a rule that config.optimizer.name can name.

    The transforms are chained behind the clipping. The rate reaches `update` as the argument `lr`; `scale_by_rate()`
    multiplies by -lr and stands where the rule has its rate.
    """
    return OPTIMIZERS.add(name, home=caller())


def optimizer(config: OptimizerConfig, *, decay: bool = True) -> optax.GradientTransformationExtraArgs:
    """Builds the update rule `config.name`.

    `update(grads, state, params, lr=rate)` returns the updates to be added to the parameters. The rate is an argument,
    so that schedule and plateau stay outside and the log shows the rate that was used. Clipping comes first.

    Args:
      config: the optimizer section of an experiment.
      decay: False switches weight decay off.

    Raises:
      UserError: an unknown name; the nearest one is offered.
    """
    rule = OPTIMIZERS[config.name]
    clip = optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity()
    return optax.chain(clip, *rule(config if decay else dataclasses.replace(config, weight_decay=0.0)))


# ---------------------------------------------------------------- gradient and velocity


@OPTIMIZERS.add("alexnet_sgd")
def _alexnet_sgd(config: OptimizerConfig) -> tuple[Transform, ...]:
    """AlexNet's, v <- m v - lr (g + wd w); w <- w + v (Krizhevsky, Sutskever and Hinton, 2012, section 5).

    The velocity keeps the steps of the old rate: after a drop they fade out over some 1 / (1 - m) steps.
    """
    return _decay(config), scale_by_rate(), _velocity(config)


@OPTIMIZERS.add("sam")  # its ascent, before the gradient, is `sam_gradient`
@OPTIMIZERS.add("sgd")
def _sgd(config: OptimizerConfig) -> tuple[Transform, ...]:
    """PyTorch's form of momentum, v <- m v + g + wd w; w <- w - lr v."""
    return _decay(config), _velocity(config), scale_by_rate()


@OPTIMIZERS.add("nesterov")
def _nesterov(config: OptimizerConfig) -> tuple[Transform, ...]:
    """Sutskever et al. (2013) in PyTorch's form, d = g + wd w; v <- m v + d; w <- w - lr (d + m v)."""
    return _decay(config), optax.trace(config.momentum, nesterov=True), scale_by_rate()


@OPTIMIZERS.add("lars")
def _lars(config: OptimizerConfig) -> tuple[Transform, ...]:
    """SGD with a rate of its own for each layer (You, Gitman and Ginsburg, 2017, arXiv:1708.03888, algorithm 1)."""
    return _where_decayed(config, _trust(config.weight_decay)), scale_by_rate(), _velocity(config)


# ---------------------------------------------------------------- adaptive


@OPTIMIZERS.add("adam")
def _adam(config: OptimizerConfig) -> tuple[Transform, ...]:
    """Kingma and Ba (2014, arXiv:1412.6980, algorithm 1); a weight decay is added to the gradient."""
    return _decay(config), _moments(config), scale_by_rate()


@OPTIMIZERS.add("adamw")
def _adamw(config: OptimizerConfig) -> tuple[Transform, ...]:
    """Adam with decoupled decay, w <- w - lr (adam + wd w) (Loshchilov and Hutter, 2017, arXiv:1711.05101)."""
    return _moments(config), _decay(config), scale_by_rate()


@OPTIMIZERS.add("lamb")
def _lamb(config: OptimizerConfig) -> tuple[Transform, ...]:
    """AdamW whose step is scaled to each layer's norm (You et al., 2019, arXiv:1904.00962, algorithm 2)."""
    return _moments(config), _decay(config), _where_decayed(config, optax.scale_by_trust_ratio()), scale_by_rate()


@OPTIMIZERS.add("lion")
def _lion(config: OptimizerConfig) -> tuple[Transform, ...]:
    """The sign of a momentum, with decoupled decay (Chen et al., 2023, arXiv:2302.06675, algorithm 2)."""
    return optax.scale_by_lion(config.b1, config.b2), _decay(config), scale_by_rate()


@OPTIMIZERS.add("rmsprop")
def _rmsprop(config: OptimizerConfig) -> tuple[Transform, ...]:
    """PyTorch's form, g / (sqrt(s) + eps), s from 0; b2 is its decay of s (PyTorch's default: 0.99)."""
    scale = optax.scale_by_rms(config.b2, config.eps, initial_scale=0.0, eps_in_sqrt=False)
    return _decay(config), scale, _velocity(config), scale_by_rate()


@OPTIMIZERS.add("rmsprop_tf")
def _rmsprop_tf(config: OptimizerConfig) -> tuple[Transform, ...]:
    """TensorFlow's form, g / sqrt(s + eps), s from 1, the rate inside the velocity; so the Inceptions were trained."""
    scale = optax.scale_by_rms(config.b2, config.eps, initial_scale=1.0, eps_in_sqrt=True)
    return _decay(config), scale, scale_by_rate(), _velocity(config)


# ---------------------------------------------------------------- orthogonalized


@OPTIMIZERS.add("muon")
def _muon(config: OptimizerConfig) -> tuple[Transform, ...]:
    """Nesterov's velocity of a convolution, orthogonalized: w <- w - lr (NS5(g + m v) + wd w) (Jordan et al. 2024).

    Biases, norms and dense layers go by `nesterov` at the rate `other_lr`.
    """
    steps = muon.orthogonal_steps(rounds=5, scaled=True, rest=_share(config))
    before = optax.masked(_decay(config), muon.others)
    behind = optax.masked(_decay(config), muon.kernels)
    return before, optax.trace(config.momentum, nesterov=True), steps, behind, scale_by_rate()


@OPTIMIZERS.add("airbench_muon")
def _airbench_muon(config: OptimizerConfig) -> tuple[Transform, ...]:
    """airbench94's form: three rounds, and kernels kept at the norm sqrt(outputs) instead of decayed."""
    steps = muon.orthogonal_steps(rounds=3, scaled=False, rest=_share(config))
    decay = optax.masked(_decay(config), muon.others)
    return decay, optax.trace(config.momentum, nesterov=True), steps, scale_by_rate(), muon.unit_kernels()


def _share(config: OptimizerConfig) -> float:
    """The rate of other leaves as a share of the kernels', which the schedule moves."""
    return 1.0 if config.other_lr is None else config.other_lr / config.lr


# ---------------------------------------------------------------- what the rules are made of


def scale_by_rate() -> Transform:
    """Multiplies updates by -lr, the rate given to `update`."""

    def update(updates: Any, state: Any, params: Any = None, *, lr: float | Array, **_: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda leaf: -lr * leaf, updates), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def _velocity(config: OptimizerConfig) -> Transform:
    return optax.trace(config.momentum) if config.momentum else optax.identity()


def _moments(config: OptimizerConfig) -> Transform:
    return optax.scale_by_adam(config.b1, config.b2, config.eps)


def _decay(config: OptimizerConfig) -> Transform:
    return _where_decayed(config, optax.add_decayed_weights(config.weight_decay))


def _where_decayed(config: OptimizerConfig, transform: Transform) -> Transform:
    """Keeps `transform` to the leaves that `decay_on` names.

    Layer-wise rates follow it as well: the authors' code of LAMB leaves out of both the same biases and norms.
    """
    if config.decay_on == "all":
        return transform

    def weights(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)

    return optax.masked(transform, weights)


def _trust(weight_decay: float, coefficient: float = 0.001) -> Transform:
    """LARS' decayed gradient times its local rate, coefficient |w| / (|g| + wd |w|), the paper's 0.001.

    optax.scale_by_trust_ratio has |g + wd w| below. A leaf that is all zeros, as biases begin, could never move: like
    optax, it gets the factor 1.
    """

    def scaled(grad: Array, weight: Array) -> Array:
        norm, below = jnp.linalg.norm(weight), jnp.linalg.norm(grad) + weight_decay * jnp.linalg.norm(weight)
        zero = (norm == 0) | (below == 0)
        ratio = jnp.where(zero, 1.0, coefficient * norm / jnp.where(zero, 1.0, below))
        return ratio * (grad + weight_decay * weight)

    return optax.stateless(lambda updates, params: jax.tree.map(scaled, updates, params))


# ---------------------------------------------------------------- sharpness-aware minimization


def sam_gradient(
    gradient_fn: Callable[[Any], tuple[Any, Any]], params: Any, rho: float, eps: float = 1e-12
) -> tuple[Any, Any]:
    """Returns the gradient at params + rho g / |g|, the worst point nearby to first order.

    Sharpness-aware minimization (Foret et al., 2020, arXiv:2010.01412, equations 2 and 3); two passes a step.

    Args:
      gradient_fn: params -> (gradients, anything else).
      params: the parameters.
      rho: radius of the ascent.
      eps: keeps a gradient of zero from dividing by it.

    Returns:
      The gradients of the second pass and the rest of the first, whose loss and statistics are those of `params`.
    """
    grads, rest = gradient_fn(params)
    scale = rho / (optax.tree.norm(grads) + eps)
    ascended = jax.tree.map(lambda weight, grad: weight + scale * grad, params, grads)
    return gradient_fn(ascended)[0], rest
