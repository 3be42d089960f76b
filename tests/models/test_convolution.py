"""Every form of a convolution against XLA's own: values and both gradients, and what the plan makes of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.models.convolution import convolve, forms, plain, plan, winograd
from cnnjax.models.convolution.forms import Case

SAME, ASYMMETRIC = ((1, 1), (1, 1)), ((0, 1), (2, 3))


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def check(found, wanted, tolerance=5e-6):
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


def case_of(size, kernel, *, stride=(1, 1), around=SAME, groups=1):
    return Case((3, *size, kernel[2] * groups), kernel, stride, around, groups)


OUTPUTS = {
    "any": [forms.patches],
    "1": [forms.banded],
    "3x3": [winograd.outputs],
    "groups": [],
    "depthwise": [forms.depthwise],
}
TO_INPUTS = {
    "any": [forms.by_inputs(forms.plain), forms.by_inputs(forms.patches)],
    "1": [forms.by_inputs(forms.banded), plan.turned],
    "3x3": [],
    "groups": [forms.by_inputs(forms.plain)],
    "depthwise": [forms.depthwise_to_inputs],
}
TO_KERNEL = {
    "any": [forms.by_kernel(forms.patches), forms.patches_to_kernel, forms.shifts_to_kernel],
    "1": [forms.by_kernel(forms.banded), forms.canonical_to_kernel],
    "3x3": [winograd.to_kernel],
    "groups": [forms.shifts_to_kernel],
    "depthwise": [forms.depthwise_to_kernel],
}
"""What each form is for: any stride, stride 1, 3x3 kernels of stride 1, groups, one kernel a channel."""


@pytest.mark.parametrize(
    ("kinds", "case"),
    [
        ("any 1 3x3", case_of((5, 6), (3, 3, 1, 6), around=((0, 0), (0, 0)))),
        ("any 1 3x3", case_of((3, 9), (3, 3, 2, 3), around=ASYMMETRIC)),
        ("any 1", case_of((9, 7), (5, 4, 1, 3), around=ASYMMETRIC)),
        ("1", case_of((4, 19), (3, 2, 2, 3), around=ASYMMETRIC)),
        ("any 1", case_of((1, 6), (1, 3, 3, 2), around=((0, 0), (1, 0)))),
        ("any", case_of((9, 8), (3, 3, 4, 5), stride=(2, 2))),
        ("any", case_of((8, 11), (4, 5, 3, 2), stride=(3, 2), around=((3, 2), (3, 4)))),
        ("any", case_of((9, 8), (1, 1, 4, 5), stride=(2, 2), around=((0, 0), (0, 0)))),
        ("groups", case_of((7, 6), (3, 3, 2, 8), stride=(1, 2), around=ASYMMETRIC, groups=4)),
        ("depthwise", case_of((7, 8), (3, 3, 1, 6), groups=6)),
        ("depthwise", case_of((8, 7), (5, 5, 1, 6), stride=(2, 2), around=((2, 2), (1, 2)), groups=6)),
    ],
    ids=str,
)
def test_every_form_equals_xlas_own(kinds, case):
    def take(table, *arguments):
        return [form(*arguments, case) for kind in kinds.split() for form in table[kind]]

    @jax.jit
    def both(inputs, kernel, gradient):
        outputs, pull = jax.vjp(functools.partial(forms.plain, case=case), inputs, kernel)
        found = take(OUTPUTS, inputs, kernel), take(TO_INPUTS, gradient, kernel), take(TO_KERNEL, inputs, gradient)
        return found, (outputs, *pull(gradient))

    shape = (case.inputs[0], *case.map, case.kernel[-1])
    found, wanted = both(draw(*case.inputs), draw(*case.kernel, seed=1), draw(*shape, seed=2))
    for forms_, plain_ in zip(found, wanted, strict=True):
        for form in forms_:
            check(form, plain_)


PLANNED = [
    case_of((6, 6), (3, 3, 2, 4)),
    case_of((12, 11), (3, 3, 64, 65)),
    case_of((9, 9), (3, 3, 17, 9), stride=(2, 2)),
    case_of((7, 7), (1, 1, 20, 30), stride=(2, 2), around=((0, 0), (0, 0))),
    case_of((6, 7), (1, 1, 30, 20), around=((0, 0), (0, 0))),
    case_of((11, 11), (5, 5, 20, 17), stride=(2, 2)),
    case_of((11, 11), (5, 5, 3, 17), stride=(2, 2)),
    case_of((6, 6), (3, 3, 2, 18), groups=9),
    case_of((6, 6), (5, 5, 1, 9), groups=9),
    case_of((6, 6), (3, 3, 9, 8), groups=2),
]


def loss(inputs, kernel, case):
    outputs = convolve(inputs, kernel, stride=case.stride, padding=case.around, groups=case.groups)
    return (outputs * jnp.cos(outputs)).mean()


def steepness(inputs, kernel, case):
    return sum(jnp.square(slope).sum() for slope in jax.grad(loss, (0, 1))(inputs, kernel, case))


@pytest.mark.parametrize(
    ("function", "case"),
    [*((loss, case) for case in PLANNED), *((steepness, case) for case in (PLANNED[0], PLANNED[2]))],
)
def test_value_and_gradients_as_planned(function, case):
    """Also of a function of gradients, which penalties on them need."""
    inputs, kernel = draw(*case.inputs), draw(*case.kernel, seed=1) / 10

    def both(inputs, kernel):
        return jax.value_and_grad(function, (0, 1))(inputs, kernel, case)

    found = jax.jit(both)(inputs, kernel)
    with plain():
        wanted = jax.jit(lambda *values: both(*values))(inputs, kernel)
    jax.tree.map(lambda one, other: check(one, other, 1e-5), found, wanted)


def operations(function, *arguments):
    return str(jax.make_jaxpr(function)(*arguments))


def test_plain_leaves_one_operation():
    inputs, kernel = draw(2, 6, 6, 3), draw(3, 3, 3, 8)
    assert "conv_general_dilated" not in operations(lambda *values: convolve(*values), inputs, kernel)
    with plain():
        assert operations(lambda *values: convolve(*values), inputs, kernel).count("conv_general_dilated[") == 1
        assert jax.jvp(lambda x: convolve(x, kernel), (inputs,), (inputs,))[1].shape == (2, 4, 4, 8)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_other_types_take_xlas_own(dtype):
    inputs, kernel = draw(2, 6, 6, 3).astype(dtype), draw(3, 3, 3, 8).astype(dtype)
    assert operations(convolve, inputs, kernel).count("conv_general_dilated[") == 1
    assert jax.grad(lambda x: convolve(x, kernel).astype(jnp.float32).sum())(inputs).dtype == dtype


def test_only_the_gradients_that_are_asked_for_are_computed():
    inputs, kernel = draw(2, 9, 9, 3), draw(3, 3, 3, 32)

    def total(inputs, kernel):
        return convolve(inputs, kernel, stride=2).sum()

    both, one, other = (operations(jax.grad(total, which), inputs, kernel) for which in ((0, 1), 1, 0))
    products = [text.count("conv_general_dilated[") + text.count("dot_general[") for text in (both, one, other)]
    assert products == [3, 2, 2]


def test_curvature_by_forward_over_reverse_mode():
    inputs, kernel = draw(1, 4, 4, 2), draw(3, 3, 2, 2)

    def waves(kernel):
        return jnp.sin(convolve(inputs, kernel)).sum()

    with plain():
        wanted = jax.hessian(waves)(kernel)
    check(jax.jit(jax.hessian(waves))(kernel), wanted)
