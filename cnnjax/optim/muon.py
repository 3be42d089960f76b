"""Muon's parts: the gradient of a convolution as a matrix, brought near the closest one whose singular values are 1."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnnjax.core.arrays import Array

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Jordan's a, b, c: the steepest at 0 of those that keep singular values within 0.7 .. 1.2; they never reach 1."""


def orthogonalized(matrix: Array, rounds: int) -> Array:
    """Returns about U V^T of a matrix U S V^T, by Newton-Schulz rounds X <- a X + (b X X^T + c (X X^T)^2) X.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; matrix products only, where an SVD would take a
    hundred times as long. Rows of the shorter side are multiplied with each other.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (jnp.linalg.norm(x) + 1e-7)  # no singular value above 1
    for _ in range(rounds):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def orthogonal_steps(*, rounds: int, scaled: bool, rest: float) -> optax.GradientTransformation:
    """Orthogonalizes the updates of convolution kernels and multiplies all others.

    Args:
      rounds: of Newton-Schulz.
      scaled: by sqrt(max(1, out / (in h w))), so that every output moves alike, whatever the kernel's shape.
      rest: what other leaves are multiplied by: their learning rate as a share of the kernels'.
    """

    def step(update: Array) -> Array:
        if update.ndim != 4:
            return rest * update
        matrix = update.reshape(-1, update.shape[-1])
        scale = max(1.0, matrix.shape[1] / matrix.shape[0]) ** 0.5 if scaled else 1.0
        return scale * orthogonalized(matrix, rounds).reshape(update.shape)

    return optax.stateless(lambda updates, params: jax.tree.map(step, updates))


def unit_kernels() -> optax.GradientTransformation:
    """Brings kernels to the norm sqrt(outputs) before the update is added: as the last transform, w <- w' + u.

    airbench94's instead of weight decay (Jordan 2024, https://github.com/KellerJordan/cifar10-airbench).
    """

    def step(update: Array, weight: Array) -> Array:
        if weight.ndim != 4:
            return update
        return update + weight * (weight.shape[-1] ** 0.5 / jnp.linalg.norm(weight) - 1)

    return optax.stateless(lambda updates, params: jax.tree.map(step, updates, params))


def kernels(params: Any) -> Any:
    """Which leaves are kernels of convolutions, as a mask."""
    return jax.tree.map(lambda leaf: leaf.ndim == 4, params)


def others(params: Any) -> Any:
    """The rest: biases, norms, dense layers."""
    return jax.tree.map(lambda leaf: leaf.ndim != 4, params)
