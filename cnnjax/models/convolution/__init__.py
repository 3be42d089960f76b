"""The convolution of every net, behind one function: on a CPU each shape is computed in the form that is fastest there.

`forms` and `winograd` are the ways to compute it and its gradients, `plan` says which is taken where. What reads the
traced operations of a net (an exporter, say) wants `plain()`.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from cnnjax.core.arrays import Array
from cnnjax.models.convolution import forms, plan
from cnnjax.models.convolution.forms import Case
from cnnjax.models.convolution.sums import channel_sums, image_sums
from cnnjax.models.padding import Padding, Pair, pair, sides

# Up to so many groups are convolved one by one: on a CPU XLA's gradient of a grouped convolution is 8 times as slow
# (AlexNet's second layer). Many thin groups (ResNeXt's 32, depthwise) would be as many kernels to launch and compile.
SPLIT_GROUPS = 4


def convolve(inputs: Array, kernel: Array, *, stride: Pair = 1, padding: Padding = 0, groups: int = 1) -> Array:
    """Cross-correlates [N, H, W, C] with [h, w, C / groups, K]; each side becomes floor((i + 2p - k) / s) + 1.

    On a CPU it can be differentiated any number of times in reverse mode, and forward over reverse, but jax.jvp alone
    is refused: `plain()` has that too.
    """
    size = (kernel.shape[0], kernel.shape[1])
    case = Case(inputs.shape, kernel.shape, pair(stride), sides(padding, inputs, size, stride), groups)
    if groups == 1 or groups > SPLIT_GROUPS:
        return _one(inputs, kernel, case)
    parts = zip(jnp.split(inputs, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
    return jnp.concatenate([_one(part, weights, case.of_one_group()) for part, weights in parts], axis=-1)


_ALL_PLAIN = contextvars.ContextVar("_ALL_PLAIN", default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Whatever is traced inside has XLA's own convolutions and sums, one operation each.

    jax keeps what it has traced: of a function that was traced before, give it another (lambda *args: f(*args)).
    """
    token = _ALL_PLAIN.set(True)
    try:
        yield
    finally:
        _ALL_PLAIN.reset(token)


def takes_forms() -> bool:
    """Whether what is traced now may be computed in the forms that are fast on a CPU."""
    return jax.default_backend() == "cpu" and not _ALL_PLAIN.get()


MANY = 32  # channels: of fewer XLA's own sum is as fast, and LeNet-5 trains a fifth faster with it


def _sums_are_fast(shape: tuple[int, ...]) -> bool:
    return len(shape) > 2 and shape[-1] >= MANY and takes_forms()


def spread(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Broadcasts a number for each channel, [C], or for each channel of each image, [N, C], to all positions.

    Biases, scales and gates are such numbers; on a CPU their gradient is a fast sum.
    """
    return _spread(numbers, shape) if _sums_are_fast(shape) else _broadcast(numbers, shape)


def _broadcast(numbers: Array, shape: tuple[int, ...]) -> Array:
    ones = (1,) * (len(shape) - 2)
    return jnp.broadcast_to(numbers.reshape(*numbers.shape[:-1], *ones, numbers.shape[-1]), shape)


_spread = jax.custom_vjp(_broadcast, nondiff_argnums=(1,))
_spread.defvjp(
    lambda numbers, shape: (_spread(numbers, shape), numbers.ndim),
    lambda shape, axes, gradient: (channel_sums(gradient) if axes == 1 else image_sums(gradient),),
)


def image_means(values: Array) -> Array:
    """Returns the mean of each channel of each image over its positions: [N, H, W, C] -> [N, C], on a CPU fast."""
    positions = tuple(range(1, values.ndim - 1))
    return _means(values) if _sums_are_fast(values.shape) else values.mean(positions)


@jax.custom_vjp
def _means(values: Array) -> Array:
    means = image_sums(values.astype(jnp.float32)) / math.prod(values.shape[1:-1])
    return means.astype(values.dtype)


_means.defvjp(
    lambda values: (_means(values), values.shape),
    lambda shape, gradient: (spread(gradient / math.prod(shape[1:-1]), shape),),
)


def _one(inputs: Array, kernel: Array, case: Case) -> Array:
    planned = inputs.dtype == kernel.dtype == jnp.float32 and takes_forms()
    return _planned(inputs, kernel, case) if planned else forms.plain(inputs, kernel, case)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _planned(inputs: Array, kernel: Array, case: Case) -> Array:
    return plan.forward(case)(inputs, kernel, case)


def _forward(inputs: Any, kernel: Any, case: Case) -> tuple[Array, tuple[Array | None, Array | None]]:
    outputs = plan.forward(case)(inputs.value, kernel.value, case)
    # Nobody needs the gradient by the pictures, and an attack on them needs no other.
    return outputs, (inputs.value if kernel.perturbed else None, kernel.value if inputs.perturbed else None)


def _backward(case: Case, saved: tuple[Array | None, Array | None], gradient: Any) -> tuple[Array | None, Array | None]:
    if isinstance(gradient, SymbolicZero):
        return None, None
    inputs, kernel = saved
    return (
        None if kernel is None else plan.to_inputs(case)(gradient, kernel, case),
        None if inputs is None else plan.to_kernel(case)(inputs, gradient, case),
    )


_planned.defvjp(_forward, _backward, symbolic_zeros=True)
