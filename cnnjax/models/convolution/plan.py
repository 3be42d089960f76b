"""Which form a convolution takes on a CPU, and which its gradients take: a few rules, each with what it was made from.

A rule's numbers are milliseconds, XLA's own form first, on one core of an AMD EPYC 9004 with jax 0.10.2 under
benchmarks/convolutions.py, which measures every form of a shape. At stride 1 no form is in an order of axes that
XLA:CPU leaves to a plain loop in the body of a loop.
"""

import math

from cnnjax.core.arrays import Array
from cnnjax.models.convolution import forms, winograd
from cnnjax.models.convolution.forms import Case, Form


def forward(case: Case) -> Form:
    """The form of the outputs."""
    if case.groups > 1:
        return forms.depthwise if _is_depthwise(case) else forms.plain
    if _is_thin(case):
        return forms.banded
    if _is_square(case) and _tiles(case) >= 96:  # 8 x 28 x 28, 128 > 128: 19.5, 12.4; 8 x 7 x 7, 512 > 512: 23, 16
        return winograd.outputs
    if _is_pointwise(case) or _is_large(case):
        return forms.patches
    return forms.plain


def to_inputs(case: Case) -> Form:
    """The form of the gradient by the inputs."""
    if case.groups > 1:
        return forms.depthwise_to_inputs if _is_depthwise(case) else forms.by_inputs(forms.plain)
    if _is_thin(case):
        return forms.by_inputs(forms.banded)
    if _is_pointwise(case) or _is_large(case):
        return forms.by_inputs(forms.patches)
    return turned if case.stride == (1, 1) else forms.by_inputs(forms.plain)


def to_kernel(case: Case) -> Form:
    """The form of the gradient by the kernel."""
    _, _, inputs, outputs = case.kernel
    if case.groups > 1:  # 32 groups, 4 x 28 x 28 x 256: 3800, 9
        return forms.depthwise_to_kernel if _is_depthwise(case) else forms.shifts_to_kernel
    if inputs == 1 and _is_thin(case):  # LeNet-5's first: 1.9, 1.5
        return forms.by_kernel(forms.banded)
    if inputs <= 3 and outputs >= 32:  # 64 x 28 x 28, 1 > 32: 1.7, 0.5; a ResNet's stem: 35, 30
        return forms.patches_to_kernel
    if _is_square(case) and min(inputs, outputs) > 64 and _tiles(case) >= 96:  # as above: 23, 15; 64 > 64: 21, 24
        return winograd.to_kernel
    if _is_pointwise(case) and outputs > inputs:  # 8 x 28 x 28, 128 > 512: 36, 8
        return forms.by_kernel(forms.patches)
    if _is_pointwise(case) or case.stride != (1, 1):  # 1x1, 256 > 64: 33, 13; 3x3, stride 2, 64 > 128: 16, 13
        return forms.shifts_to_kernel
    return forms.canonical_to_kernel


def turned(gradient: Array, kernel: Array, case: Case) -> Array:
    """The gradient by the inputs at stride 1: a convolution with the turned kernel, in whatever form suits that one."""
    back = case.turned()
    return forward(back)(gradient, forms.turn(kernel), back)


def _is_depthwise(case: Case) -> bool:
    """One kernel a channel; 8 x 56 x 56 x 64, 3x3: 42, 1.7; by the inputs at stride 2: 145, 0.6."""
    return case.kernel[2] == 1 and case.kernel[3] == case.groups


def _is_thin(case: Case) -> bool:
    """So few channels that XLA has a plain loop for them; LeNet-5's first layer: 9.9, 1.5; 8 > 8: 2.1, 2.3."""
    return min(case.kernel[2:]) <= 6 and max(case.kernel[2:]) <= 16 and case.stride == (1, 1)


def _is_square(case: Case) -> bool:
    """3x3 at stride 1, and enough channels for Winograd's additions to be small beside its products."""
    channels = case.kernel[2:]
    return case.kernel[:2] == (3, 3) and case.stride == (1, 1) and min(channels) >= 32 and max(channels) >= 64


def _tiles(case: Case) -> int:
    """Winograd's tiles of 2x2 outputs, which must be many for its kernels' change to pay; a 3 x 3 map wastes half."""
    return case.inputs[0] * math.prod(side // 2 if side > 3 else 0 for side in case.map)


def _is_pointwise(case: Case) -> bool:
    """1x1: a product without copies; 8 x 56 x 56, 256 > 64: 12.8, 9.5."""
    return case.kernel[:2] == (1, 1)


def _is_large(case: Case) -> bool:
    """Large kernels with a stride; CapsNet's 16 x 20 x 20, 256 > 256, 9x9: 176, 77, by the inputs 6940, 125."""
    return min(case.kernel[:2]) >= 5 and case.stride != (1, 1) and case.kernel[2] >= 16
