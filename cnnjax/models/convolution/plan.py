"""Which form a convolution takes on a CPU, and which its gradients take: a few rules, each with what it was made from.

Times are milliseconds on one core of an AMD EPYC 9004 (jax 0.10.2, float32), XLA's own form first; benchmarks/
convolutions.py prints the table that they are from.
"""

from cnnjax.core.arrays import Array
from cnnjax.models.convolution import forms, winograd
from cnnjax.models.convolution.forms import Case, Form


def forward(case: Case) -> Form:
    """The form of the outputs."""
    if case.groups > 1:
        return forms.depthwise if _depthwise(case) else forms.plain
    if _thin(case):
        return forms.banded
    if _winograd(case):
        return winograd.outputs
    if _pointwise(case) or _large(case):
        return forms.patches
    return forms.plain


def to_inputs(case: Case) -> Form:
    """The form of the gradient by the inputs."""
    if case.groups > 1:
        return forms.depthwise_to_inputs if _depthwise(case) else forms.by_inputs(forms.plain)
    if _thin(case):
        return forms.by_inputs(forms.banded)
    if _pointwise(case) or _large(case):
        return forms.by_inputs(forms.patches)
    if case.stride == (1, 1):
        return turned
    return forms.by_inputs(forms.plain)


def to_kernel(case: Case) -> Form:
    """The form of the gradient by the kernel."""
    _, _, inputs, outputs = case.kernel
    if case.groups > 1:
        # 32 groups, 4 x 28 x 28 x 256: 3800, 9.
        return forms.depthwise_to_kernel if _depthwise(case) else forms.shifts_to_kernel
    if _thin(case):
        return forms.by_kernel(forms.banded)
    if inputs <= 3:  # 64 x 28 x 28, 1 > 32: 0.39, 0.21; the 7x7 stem of a ResNet: 35, 30
        return forms.patches_to_kernel
    if _winograd(case) and min(inputs, outputs) > 64:  # 8 x 28 x 28, 128 > 128: 23, 15; 64 > 64 at 56 x 56: 21, 24
        return winograd.to_kernel
    if _pointwise(case) and outputs > inputs:  # 8 x 28 x 28, 128 > 512: 36, 8
        return forms.by_kernel(forms.patches)
    if _pointwise(case) or case.stride != (1, 1):  # 1x1, 256 > 64: 33, 13; 3x3, stride 2, 64 > 128 at 56 x 56: 16, 13
        return forms.shifts_to_kernel
    return forms.canonical_to_kernel


def turned(gradient: Array, kernel: Array, case: Case) -> Array:
    """Stride 1: the convolution of the gradient with the turned kernel, by whatever form suits that one."""
    back = case.turned()
    return forward(back)(gradient, forms.turn(kernel), back)


def _depthwise(case: Case) -> bool:
    """One kernel a channel; 8 x 56 x 56 x 64, 3x3: 42, 1.7, stride 2: 145, 0.6 (inputs)."""
    return case.kernel[2] == 1 and case.kernel[3] == case.groups


def _thin(case: Case) -> bool:
    """XLA's convolutions of up to 16 channels are a plain loop; LeNet's first layer: 2.7, 0.7."""
    few = max(case.kernel[2:]) <= 16
    return few and case.stride == (1, 1) and case.map[1] <= 8 * case.kernel[1]  # else the band is mostly zeros


def _pointwise(case: Case) -> bool:
    """1x1: a product without copies; 8 x 56 x 56, 256 > 64: 12.8, 9.5."""
    return case.kernel[:2] == (1, 1)


def _winograd(case: Case) -> bool:
    """3x3 of stride 1; 8 x 28 x 28, 128 > 128: 19.5, 12.4; 8 x 7 x 7, 512 > 512: 23, 16. Few tiles do not pay."""
    square = case.kernel[:2] == (3, 3) and case.stride == (1, 1)
    return square and min(case.kernel[2:]) >= 64 and case.positions >= 384 and min(case.map) > 3


def _large(case: Case) -> bool:
    """Large kernels with a stride; CapsNet's second layer, 16 x 20 x 20, 256 > 256, 9x9: 176, 77, inputs 6940, 125."""
    return min(case.kernel[:2]) >= 5 and case.stride != (1, 1) and case.kernel[2] >= 16
