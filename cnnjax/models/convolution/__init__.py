"""The convolution of every model: on a CPU each shape is computed in the form that is fastest there.

`forms` and `winograd` are the ways to compute it and its gradients, `plan` says which is taken where. What reads the
traced operations of a model (an exporter, say) wants `plain()`.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from cnnjax.core.arrays import Array
from cnnjax.models.algorithms import plain as plain
from cnnjax.models.algorithms import uses_cpu_algorithms
from cnnjax.models.convolution import forms, plan
from cnnjax.models.convolution.forms import Case
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


def _one(inputs: Array, kernel: Array, case: Case) -> Array:
    planned = inputs.dtype == kernel.dtype == jnp.float32 and uses_cpu_algorithms()
    planned = planned and isinstance(inputs.shape[0], int)  # an export's free batch size says nothing about speed
    return _planned(inputs, kernel, case) if planned else forms.plain(inputs, kernel, case)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _planned(inputs: Array, kernel: Array, case: Case) -> Array:
    return plan.forward(case)(inputs, kernel, case)


def _forward(inputs: Any, kernel: Any, case: Case) -> tuple[Array, tuple[Array | None, Array | None]]:
    outputs = plan.forward(case)(inputs.value, kernel.value, case)
    # Nobody needs the gradient by the images, and an attack on them needs no other.
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
