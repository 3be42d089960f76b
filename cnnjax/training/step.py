"""One training step, as a pure function that is traced once."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh

from cnnjax.config import Experiment
from cnnjax.core import keys
from cnnjax.core.arrays import Array, Batch, Tree
from cnnjax.core.mesh import by_batch, replicated
from cnnjax.data.resident import take
from cnnjax.models import Model
from cnnjax.optim import adversary, average, losses
from cnnjax.optim.optimizers import sam_gradient
from cnnjax.training.inference import Inference
from cnnjax.training.state import TrainState

EQUAL = 1e-5
"""Relative difference up to which two classes of a mixed target weigh the same."""


@dataclass(frozen=True)
class Parts:
    """What a training is made of, ready to be traced.

    Attributes:
      inference: the model and what validation does with images.
      schedule: f(step) -> learning rate.
      augment: f(images uint8, targets, positions, sizes) -> (float32 images, targets); the images are normalized, but
        levels of 0-255 where training attacks them first.
      apart: the devices that each take the gradient of their own images, by `_gradient_apart`; None: XLA decides.
    """

    config: Experiment
    inference: Inference
    optimizer: Any
    schedule: Callable[[Array], Array]
    augment: Callable[..., tuple[Array, Array]]
    apart: Mesh | None = None

    @property
    def model(self) -> Model:
        """Returns the model that is trained."""
        return self.inference.model


def as_targets(labels: Array, width: int) -> Array:
    """Returns labels as float32 [N, width]: one-hot, multi-hot as they are, or one column for two classes."""
    if labels.ndim == 2:
        return labels.astype(jnp.float32)
    if width == 1:
        return labels[:, None].astype(jnp.float32)
    return jax.nn.one_hot(labels, width, dtype=jnp.float32)


def train_step(state: TrainState, batch: Batch, parts: Parts) -> tuple[TrainState, dict[str, Array]]:
    """Takes one optimizer step.

    Args:
      state: donated by the caller.
      batch: see `data.feed`; "position" is the index in the sample stream, of which the augmentation keys are made.
      parts: static.

    Returns:
      The next state, and scalars: the sums loss and top1 over `count` images, grad_norm, lr and, where the recipe
      asks for it, dead_relu. Where it trains on adversaries, loss is theirs, but top1 that of the images themselves.
    """
    config, width = parts.config, parts.model.num_classes
    images, targets = parts.augment(
        batch["images"], as_targets(batch["labels"], width), batch["position"], batch.get("sizes"), batch.get("turned")
    )
    targets = losses.smooth(targets, 0.0 if config.train.overfit else config.train.label_smoothing)
    key = keys.key(config.train.seed, "dropout", state.step)
    clean: dict[str, Array] = {}
    if attacked(config):
        images, clean = _attack(state, images, targets, batch["position"], parts)

    def gradient(params: Tree) -> tuple[Tree, tuple[Tree, dict[str, Array]]]:
        find = _gradient if parts.apart is None else functools.partial(_gradient_apart, parts.apart)
        return find(params, state.batch_stats, images, targets, key, parts)

    if config.optimizer.name == "sam":
        grads, (batch_stats, sums) = sam_gradient(gradient, state.params, config.optimizer.sam_rho)
    else:
        grads, (batch_stats, sums) = gradient(state.params)
    lr = parts.schedule(state.step) * state.rate_scale
    updates, opt_state = parts.optimizer.update(grads, state.opt_state, state.params, lr=lr)
    params = jax.tree.map(jnp.add, state.params, updates)
    new = TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        rate_scale=state.rate_scale,
        average=state.average,
    )
    if state.average is not None:
        current = {"params": params, "batch_stats": batch_stats}
        new.average = average.ema(state.average, current, average.averaging_decay(config.train.ema, state.step))
    return new, sums | clean | {"grad_norm": global_norm(grads), "lr": lr}


def attacked(config: Experiment) -> bool:
    """Whether training is on adversaries; not where images are to be learnt by heart."""
    return config.train.adversary != "none" and not config.train.overfit


def _attack(
    state: TrainState, levels: Array, targets: Array, positions: Array, parts: Parts
) -> tuple[Array, dict[str, Array]]:
    """Returns the adversaries, normalized, and {"top1"} of the images themselves.

    They are all that the step then learns from (Madry et al. 2017, arXiv:1706.06083, equation 2.1). They are made
    against the running statistics of BatchNorm and without dropout: against the batch's own, as many do, clean accuracy
    is lower and robustness the same (Pang et al. 2020, arXiv:2010.00467), and one image's attack depends on others.
    """
    train = parts.config.train
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    def logits(pixels: Array) -> Array:
        return parts.model.apply(variables, parts.inference.normalize(255 * pixels))

    pixels = jnp.clip(levels / 255, 0, 1)  # AlexNet's PCA color alone leaves the range
    moved = adversary.adversaries(
        lambda moved: losses.LOSSES[train.loss](logits(moved), targets),
        pixels,
        attack=adversary.ATTACKS[train.adversary],
        epsilon=train.adversary_epsilon,
        steps=train.adversary_steps,
        keys=keys.per_image(train.seed, "adversary", positions),
    )
    return parts.inference.normalize(255 * moved), {"top1": _hits(logits(pixels), targets).sum()}


def train_steps(state: TrainState, work: dict[str, Any], parts: Parts) -> tuple[TrainState, dict[str, Array]]:
    """Takes several steps in one dispatch, so that the host does not hold up steps of a millisecond.

    How many is not known when it is compiled: the same program serves any number, so the bits of a run do not depend on
    where its dispatches begin and end.

    Args:
      state: donated by the caller.
      work: of `data.Resident.dispatches`: "images", the whole split; "rows", one a step, each leaf [most, B];
        "count", the number of steps, int32 up to `most`.
      parts: static.

    Returns:
      The state after the last step, and the scalars of `train_step`, each [most], zero from `count` on.
    """

    def batch(number: int | Array) -> Batch:
        row = {name: array[number] for name, array in work["rows"].items()}
        return take(work["images"], row.pop("index")) | row

    def body(number: Array, carry: tuple[TrainState, dict[str, Array]]) -> tuple[TrainState, dict[str, Array]]:
        state, scalars = carry
        state, new = train_step(state, batch(number), parts)
        return state, {name: array.at[number].set(new[name]) for name, array in scalars.items()}

    most = len(work["rows"]["index"])
    shapes = jax.eval_shape(lambda state: train_step(state, batch(0), parts)[1], state)
    scalars = {name: jnp.zeros(most, shape.dtype) for name, shape in shapes.items()}
    return jax.lax.fori_loop(0, work["count"], body, (state, scalars))


def _gradient(
    params: Tree, batch_stats: Tree, images: Array, targets: Array, key: Array, parts: Parts
) -> tuple[Tree, tuple[Tree, dict[str, Array]]]:
    """The mean gradient over the batch, by `train.accumulate` micro-batches.

    Each micro-batch is normalized by its own statistics; the running ones take each in turn. Micro-batch j is every
    k-th image from j, so that each device keeps its own images.
    """
    count = parts.config.train.accumulate
    value_and_grad = jax.value_and_grad(_loss, has_aux=True)
    if count == 1:
        (_, aux), grads = value_and_grad(params, batch_stats, images, targets, key, parts)
        return grads, aux
    images, targets = (x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1) for x in (images, targets))

    def micro(carry: tuple[Tree, Tree], inputs: tuple[Array, Array, Array]) -> tuple[tuple[Tree, Tree], Any]:
        total, stats = carry
        (_, (stats, sums)), grads = value_and_grad(params, stats, inputs[0], inputs[1], inputs[2], parts)
        return (jax.tree.map(jnp.add, total, grads), stats), sums

    start = (jax.tree.map(jnp.zeros_like, params), batch_stats)
    (total, batch_stats), sums = jax.lax.scan(micro, start, (images, targets, jax.random.split(key, count)))
    combined = {name: value.mean() if name == "dead_relu" else value.sum() for name, value in sums.items()}
    return jax.tree.map(lambda grad: grad / count, total), (batch_stats, combined)


def _gradient_apart(
    mesh: Mesh, params: Tree, batch_stats: Tree, images: Array, targets: Array, key: Array, parts: Parts
) -> tuple[Tree, tuple[Tree, dict[str, Array]]]:
    """`_gradient` where no image's forward pass knows of another: each device's own, summed as one array.

    Where XLA shares a batch out, it sums array by array, and CPU devices wait for each other at each: on two cores
    `mlp` trained 1.5 times as fast this way, LeNet-5 1.1 times.
    """

    def own(params: Tree, images: Array, targets: Array) -> tuple[Tree, dict[str, Array]]:
        grads, (_, sums) = _gradient(params, batch_stats, images, targets, key, parts)
        flat, unflatten = ravel_pytree((grads, sums))
        grads, sums = unflatten(jax.lax.psum(flat, mesh.axis_names))
        return jax.tree.map(lambda grad: grad / mesh.size, grads), sums

    whole, share = replicated(mesh).spec, by_batch(mesh).spec
    shared = jax.shard_map(own, mesh=mesh, in_specs=(whole, share, share), out_specs=whole, check_vma=False)
    grads, sums = shared(params, images, targets)
    return grads, (batch_stats, sums)


def _loss(
    params: Tree, batch_stats: Tree, images: Array, targets: Array, key: Array, parts: Parts
) -> tuple[Array, tuple[Tree, dict[str, Array]]]:
    config = parts.config
    observe = config.train.log_dead_relu
    forward = parts.model.apply_train(
        {"params": params, "batch_stats": batch_stats}, images, key, targets=targets, observe=observe
    )
    logits, function = forward.logits, losses.LOSSES[config.train.loss]
    each = function(logits, targets)
    loss = each.mean()
    for others in forward.auxiliary:
        loss += parts.model.auxiliary_weight * function(others, targets).mean()
    if forward.extra is not None:
        loss += forward.extra.mean()
    if not config.train.overfit:
        loss += losses.penalties(params, l1=config.optimizer.l1, l2=config.optimizer.l2)
    sums = {"loss": each.sum(), "top1": _hits(logits, targets).sum(), "count": jnp.float32(len(each))}
    return loss, (forward.batch_stats, sums | forward.observed)


def _hits(logits: Array, targets: Array) -> Array:
    """Whether the highest-scored class is (one of) the target's heaviest; with one output, whether its sign fits.

    An image without any label is never right, as in `evaluation.metrics`.
    """
    if logits.shape[1] == 1:
        return ((logits > 0) == (targets > 0.5))[:, 0].astype(jnp.float32)
    chosen = jnp.take_along_axis(targets, logits.argmax(1)[:, None], 1)[:, 0]
    heaviest = targets.max(1)
    # XLA may mix and smooth the targets once for each of the two and round differently, so equality would not do.
    return ((chosen >= heaviest * (1 - EQUAL)) & (heaviest > 0)).astype(jnp.float32)


def global_norm(tree: Tree) -> Array:
    """The Euclidean norm of all leaves together."""
    return jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(tree)))
