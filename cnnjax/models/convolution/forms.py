"""Ways to compute a convolution and its two gradients that give the same numbers and take different times.

All take `case`, which holds the shapes. A form of the outputs is f(inputs, kernel, case), of the gradient by the inputs
f(gradient, kernel, case), of that by the kernel f(inputs, gradient, case).
"""

import math
from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.models.sums import channel_sums

Form = Callable[[Array, Array, "Case"], Array]


class Case(NamedTuple):
    """What a form is chosen by.

    Attributes:
      inputs: [N, H, W, C].
      kernel: [h, w, C / groups, K].
      stride: (vertical, horizontal).
      around: padding ((top, bottom), (left, right)), which may be negative.
    """

    inputs: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, int]
    around: tuple[tuple[int, int], tuple[int, int]]
    groups: int = 1

    @property
    def map(self) -> tuple[int, int]:
        """(height, width) of the outputs."""
        axes = zip(self.inputs[1:3], self.kernel[:2], self.stride, self.around, strict=True)
        rows, columns = ((side + sum(around) - window) // step + 1 for side, window, step, around in axes)
        return rows, columns

    @property
    def positions(self) -> int:
        """How often the kernel is laid over the batch."""
        return self.inputs[0] * math.prod(self.map)

    def of_one_group(self) -> "Case":
        height, width, inputs, outputs = self.kernel
        kernel = (height, width, inputs, outputs // self.groups)
        return self._replace(inputs=(*self.inputs[:3], inputs), kernel=kernel, groups=1)

    def turned(self) -> "Case":
        """The convolution with the turned kernel that leads from outputs back to inputs at stride 1."""
        height, width, inputs, outputs = self.kernel
        (top, bottom), (left, right) = self.around
        around = (height - 1 - top, height - 1 - bottom), (width - 1 - left, width - 1 - right)
        shape = (height, width, outputs // self.groups, inputs * self.groups)
        return Case((self.inputs[0], *self.map, outputs), shape, self.stride, around, self.groups)


def turn(kernel: Array) -> Array:
    """Turns a kernel by 180 degrees and swaps its inputs and outputs."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def by_inputs(form: Form) -> Form:
    """The gradient by the inputs as autodiff makes it of a form of the outputs."""

    def to_inputs(gradient: Array, kernel: Array, case: Case) -> Array:
        spec = jax.ShapeDtypeStruct(case.inputs, kernel.dtype)
        return cast(Array, jax.linear_transpose(lambda inputs: form(inputs, kernel, case), spec)(gradient)[0])

    return to_inputs


def by_kernel(form: Form) -> Form:
    """The gradient by the kernel as autodiff makes it of a form of the outputs."""

    def to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
        spec = jax.ShapeDtypeStruct(case.kernel, inputs.dtype)
        return cast(Array, jax.linear_transpose(lambda kernel: form(inputs, kernel, case), spec)(gradient)[0])

    return to_kernel


# ---------------------------------------------------------------- XLA's own


def plain(inputs: Array, kernel: Array, case: Case) -> Array:
    """The operation that XLA compiles as it likes; on GPU and TPU the only form."""
    return lax.conv_general_dilated(
        inputs,
        kernel,
        case.stride,
        case.around,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=case.groups,
    )


def canonical_to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
    """Stride 1: a convolution whose images are the channels, whose channels are the batch.

    As autodiff has it, but with the axes in the order that XLA:CPU's fast convolutions ask for: XLA brings them into it
    itself, though not in the body of a loop, where a convolution in another order runs 17 times as long.
    """
    turned = lax.conv_general_dilated(
        inputs.transpose(3, 1, 2, 0),
        gradient.transpose(1, 2, 0, 3),
        (1, 1),
        case.around,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return turned.transpose(1, 2, 0, 3)


# ---------------------------------------------------------------- as matrix products over copies of the inputs


def shifted(values: Array, case: Case, axis: int = 1) -> list[Array]:
    """What each weight of the kernel sees, row by row: h w arrays of the outputs' size along `axis` and the next."""
    padded = pad(values, case, axis)
    (down, across), (rows, columns), lead = case.stride, case.map, (slice(None),) * axis
    return [
        padded[*lead, i : i + down * (rows - 1) + 1 : down, j : j + across * (columns - 1) + 1 : across]
        for i in range(case.kernel[0])
        for j in range(case.kernel[1])
    ]


def pad(values: Array, case: Case, axis: int = 1) -> Array:
    """Puts the padding around the map, whose height lies along `axis`."""
    widths = [(0, 0, 0)] * values.ndim
    widths[axis : axis + 2] = [(before, behind, 0) for before, behind in case.around]
    return lax.pad(values, jnp.zeros((), values.dtype), widths)


def patches(inputs: Array, kernel: Array, case: Case) -> Array:
    """One product with all weights ("im2col"); nothing is copied for 1x1 kernels."""
    outputs = case.kernel[-1]
    copies = jnp.concatenate(shifted(inputs, case), axis=-1).reshape(case.positions, -1)
    return (copies @ kernel.reshape(-1, outputs)).reshape(len(inputs), *case.map, outputs)


def patches_to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
    """One product with the copies below each other; for few input channels, whose planes are copied in long runs."""
    copies = jnp.stack(shifted(inputs.transpose(3, 0, 1, 2), case, 2)).reshape(-1, case.positions)
    return (copies @ gradient.reshape(case.positions, -1)).reshape(case.kernel)


def shifts_to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
    """One product for each weight (and group); only the gradient is transposed, once."""
    height, width, each, outputs = case.kernel
    below = gradient.reshape(case.positions, case.groups, -1).transpose(1, 2, 0)
    below = lax.optimization_barrier(below)  # or XLA would transpose it anew for each product
    parts = [part.reshape(case.positions, case.groups, each).swapaxes(0, 1) for part in shifted(inputs, case)]
    products = jnp.stack([below @ part for part in parts])  # [h w, groups, outputs of a group, inputs of a group]
    return products.transpose(0, 3, 1, 2).reshape(height, width, each, outputs)


# ---------------------------------------------------------------- few channels


BAND = 8  # columns: fewer are too small a product, more multiply by too many zeros (LeNet-5: 28 take 1.7 times as long)


def banded(inputs: Array, kernel: Array, case: Case) -> Array:
    """Stride 1, few channels: pieces of h rows beside each other, times a matrix with the kernel along a band.

    It multiplies by zeros, and still takes a seventh of the time of XLA's loop over so thin a convolution.
    """
    height, width, channels, outputs = case.kernel
    rows, columns = case.map
    pieces = -(-columns // BAND)
    band = -(-columns // pieces)
    (left, right), spare = case.around[1], pieces * band - columns
    padded = pad(inputs, case._replace(around=(case.around[0], (left, right + spare))))
    parts = [padded[:, :, i : i + band + width - 1] for i in range(0, pieces * band, band)]
    lines = jnp.stack(parts, axis=2).reshape(*padded.shape[:2], pieces, -1)
    copies = jnp.concatenate([lines[:, i : i + rows] for i in range(height)], axis=-1)
    places = [jnp.pad(kernel, ((0, 0), (i, band - 1 - i), (0, 0), (0, 0))) for i in range(band)]
    matrix = jnp.stack(places, axis=3).reshape(height * (band + width - 1) * channels, band * outputs)
    product = copies.reshape(-1, len(matrix)) @ matrix
    return product.reshape(len(inputs), rows, pieces * band, outputs)[:, :, :columns]


# ---------------------------------------------------------------- depthwise


def depthwise(inputs: Array, kernel: Array, case: Case) -> Array:
    """A kernel for each channel: h w products of shifted maps, summed."""
    parts = zip(shifted(inputs, case), kernel.reshape(-1, case.kernel[-1]), strict=True)
    return sum((part * weights for part, weights in parts), start=jnp.zeros((), inputs.dtype))


def depthwise_to_inputs(gradient: Array, kernel: Array, case: Case) -> Array:
    """At stride 1 the same with turned kernels, else its transpose."""
    if case.stride == (1, 1):
        return depthwise(gradient, jnp.flip(kernel, (0, 1)), case.turned())
    return by_inputs(depthwise)(gradient, kernel, case)


def depthwise_to_kernel(inputs: Array, gradient: Array, case: Case) -> Array:
    """A sum over all positions for each weight."""
    return jnp.stack([channel_sums(part * gradient) for part in shifted(inputs, case)]).reshape(case.kernel)
