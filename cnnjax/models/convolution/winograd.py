"""Winograd's 3x3 convolution of stride 1: four multiplications per output where the plain one has nine.

Lavin and Gray 2015 (1509.09308), F(2x2, 3x3): each 4x4 tile d of the image gives 2x2 outputs,
Y = A' [(G g G') * (B' d B)] A with the kernel g.
In float32 it is as exact as the plain sum, since its constants are 0, 1/2 and 1 (F(4x4, 3x3) loses a digit).
The products of one place of all tiles are one matrix product, so there are 16.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax.numpy as jnp
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.convolution.forms import Case

Grid: TypeAlias = list[list[Array]]
"""Rows of places in a tile; each holds that place of all tiles, or of all kernels."""


def outputs(inputs: Array, kernel: Array, case: Case) -> Array:
    """The convolution."""
    products = _each(jnp.matmul, _of_inputs(inputs, case), _of_kernel(kernel))
    places = _both_ways(lambda m: [m[0] + m[1] + m[2], m[1] - m[2] - m[3]], products)
    (down, across), (rows, columns) = _tiles(case), case.map
    tiles = [[place.reshape(len(inputs), down, across, -1) for place in row] for row in places]
    whole = jnp.stack([jnp.stack(row, axis=3) for row in tiles], axis=2)
    return whole.reshape(len(inputs), 2 * down, 2 * across, -1)[:, :rows, :columns]


def to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
    """The gradient by the kernel: the same, transposed, summed over the tiles."""
    tiles, (rows, columns), width = _tiles(case), case.map, case.kernel[-1]
    ends = [(0, 2 * count - side) for count, side in zip(tiles, (rows, columns), strict=True)]
    padded = jnp.pad(gradient, ((0, 0), *ends, (0, 0)))
    places = [[padded[:, i::2, j::2].reshape(-1, width) for j in range(2)] for i in range(2)]
    spread = _both_ways(lambda y: [y[0], y[0] + y[1], y[0] - y[1], -y[1]], places)
    # Contracted as they lie: to transpose either side first takes longer than the product.
    products = _each(lambda a, b: lax.dot_general(a, b, (((0,), (0,)), ((), ()))), _of_inputs(inputs, case), spread)

    def kernel(u: Sequence[Array]) -> list[Array]:
        half = (u[1] + u[2]) / 2
        return [u[0] + half, (u[1] - u[2]) / 2, half + u[3]]

    return jnp.stack([jnp.stack(row) for row in _both_ways(kernel, products)])


def _tiles(case: Case) -> tuple[int, int]:
    rows, columns = case.map
    return -(-rows // 2), -(-columns // 2)


def _of_inputs(inputs: Array, case: Case) -> Grid:
    """B' d B, each place [tiles of all images, C]."""
    sides = []
    for count, side, (before, _) in zip(_tiles(case), inputs.shape[1:3], case.around, strict=True):
        sides.append((before, 2 * count + 2 - side - before, 0))
    padded = lax.pad(inputs, jnp.zeros((), inputs.dtype), ((0, 0, 0), *sides, (0, 0, 0)))
    down, across = (2 * count - 1 for count in _tiles(case))
    places = [[padded[:, i : i + down : 2, j : j + across : 2] for j in range(4)] for i in range(4)]
    mixed = _both_ways(lambda d: [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]], places)
    return [[place.reshape(-1, inputs.shape[-1]) for place in row] for row in mixed]


def _of_kernel(kernel: Array) -> Grid:
    """G g G', each place [C, K]."""

    def spread(g: Sequence[Array]) -> list[Array]:
        ends, middle = (g[0] + g[2]) / 2, g[1] / 2
        return [g[0], ends + middle, ends - middle, g[2]]

    return _both_ways(spread, [[kernel[i, j] for j in range(3)] for i in range(3)])


def _both_ways(function: Callable[[Sequence[Array]], list[Array]], grid: Grid) -> Grid:
    """Applies a function of one column to all columns, then to all rows."""
    columns = [function(column) for column in zip(*grid, strict=True)]
    return [function(row) for row in zip(*columns, strict=True)]


def _each(product: Callable[[Array, Array], Array], left: Grid, right: Grid) -> Grid:
    return [[product(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]
