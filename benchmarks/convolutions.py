"""Every form of a convolution and of its gradients by shape: python benchmarks/convolutions.py [--nets ...] [--cores N]

The table from which the rules of cnnjax/models/convolution/plan.py were made: milliseconds of processor time of a whole
batch, the least of a few turns; what the plan takes is marked *. Shapes are those of the models of benchmarks/cpu.py
and a few more. glibc keeps its memory meanwhile, as it does in training.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ab import machine, write
from cpu import MALLOC

SHAPES = {  # batch, side, inputs, outputs, kernel, stride, padding, groups
    "lenet5": [(128, 28, 1, 6, 5, 1, 2, 1), (128, 14, 6, 16, 5, 1, 0, 1)],
    "vgg_small": [
        *((64, 28, 1, 32, 3, 1, 1, 1), (64, 28, 32, 32, 3, 1, 1, 1), (64, 14, 32, 64, 3, 1, 1, 1)),
        *((64, 14, 64, 64, 3, 1, 1, 1), (64, 7, 64, 128, 3, 1, 1, 1), (64, 7, 128, 128, 3, 1, 1, 1)),
        *((64, 3, 128, 256, 3, 1, 1, 1), (64, 3, 256, 256, 3, 1, 1, 1)),
    ],
    "alexnet": [
        *((16, 224, 3, 64, 11, 4, 2, 1), (16, 27, 64, 192, 5, 1, 2, 1), (16, 13, 192, 384, 3, 1, 1, 1)),
        *((16, 13, 384, 256, 3, 1, 1, 1), (16, 13, 256, 256, 3, 1, 1, 1)),
    ],
    "resnet18": [
        *((8, 224, 3, 64, 7, 2, 3, 1), (8, 56, 64, 64, 3, 1, 1, 1), (8, 56, 64, 128, 3, 2, 1, 1)),
        *((8, 56, 64, 128, 1, 2, 0, 1), (8, 28, 128, 128, 3, 1, 1, 1), (8, 28, 128, 256, 3, 2, 1, 1)),
        *((8, 14, 256, 256, 3, 1, 1, 1), (8, 14, 256, 512, 3, 2, 1, 1), (8, 7, 512, 512, 3, 1, 1, 1)),
    ],
    "others": [
        *((8, 56, 256, 64, 1, 1, 0, 1), (8, 28, 128, 512, 1, 1, 0, 1), (8, 56, 64, 64, 3, 1, 1, 64)),
        *((8, 56, 64, 64, 3, 2, 1, 64), (8, 14, 256, 256, 5, 1, 2, 256), (4, 28, 256, 256, 3, 1, 1, 32)),
        *((32, 32, 3, 16, 3, 1, 1, 1), (32, 32, 16, 16, 3, 1, 1, 1), (16, 20, 256, 256, 9, 2, 0, 1)),
    ],
}
SLOWEST = 1.0  # a form that takes more seconds is measured once


def candidates(case: Any) -> dict[str, dict[str, Callable[..., Any]]]:
    """Name to form, for the outputs and for both gradients, of all forms that can compute the case."""
    from cnnjax.models.convolution import forms, plan, winograd

    by_inputs, by_kernel = forms.by_inputs, forms.by_kernel
    outputs = {"plain": forms.plain}
    inputs = {"plain": by_inputs(forms.plain)}
    kernel = {"plain": by_kernel(forms.plain)}
    depthwise = case.kernel[2] == 1 and case.kernel[3] == case.groups > 1
    if depthwise:
        outputs["depthwise"] = forms.depthwise
        inputs["depthwise"] = forms.depthwise_to_inputs
        kernel["depthwise"] = forms.depthwise_to_kernel
    else:
        kernel["shifts"] = forms.shifts_to_kernel
    if case.groups == 1:
        outputs["patches"] = forms.patches
        inputs["patches"] = by_inputs(forms.patches)
        kernel |= {"patches": by_kernel(forms.patches), "planes": forms.patches_to_kernel}
    if case.groups == 1 and case.stride == (1, 1):
        inputs["turned"] = plan.turned
        kernel["canonical"] = forms.canonical_to_kernel
        if max(case.kernel[2:]) <= 32:
            outputs["banded"] = forms.banded
            inputs["banded"] = by_inputs(forms.banded)
            kernel["banded"] = by_kernel(forms.banded)
        if case.kernel[:2] == (3, 3):
            outputs["winograd"] = winograd.outputs
            kernel["winograd"] = winograd.to_kernel
    return {"outputs": outputs, "inputs": inputs, "kernel": kernel}


def milliseconds(function: Callable[..., Any], arguments: tuple[Any, ...]) -> float:
    """The least processor time of a call, over turns of a tenth of a second."""
    import jax

    jax.block_until_ready(function(*arguments))
    best = float("inf")
    for _ in range(5):
        start, calls = time.process_time(), 0
        while (spent := time.process_time() - start) < 0.1:
            jax.block_until_ready(function(*arguments))
            calls += 1
        best = min(best, spent / calls)
        if best > SLOWEST:
            break
    return best * 1000


def measure(shape: tuple[int, ...]) -> list[str]:
    """The lines of one shape."""
    import jax
    import numpy as np

    from cnnjax.models.convolution import plan
    from cnnjax.models.convolution.forms import Case

    batch, side, inputs, outputs, size, step, padding, groups = shape
    around = ((padding, padding), (padding, padding))
    case = Case((batch, side, side, inputs), (size, size, inputs // groups, outputs), (step, step), around, groups)
    rng = np.random.default_rng(0)
    values, kernel, gradient = (
        jax.device_put(rng.normal(size=size).astype(np.float32))
        for size in (case.inputs, case.kernel, (batch, *case.map, outputs))
    )
    arguments = {"outputs": (values, kernel), "inputs": (gradient, kernel), "kernel": (values, gradient)}
    planned = {"outputs": plan.forward(case), "inputs": plan.to_inputs(case), "kernel": plan.to_kernel(case)}
    strided, grouped = f" stride {step}" if step > 1 else "", f" groups {groups}" if groups > 1 else ""
    lines = ["", f"{batch} x {side} x {side}, {inputs} > {outputs}, {size}x{size}{strided}{grouped}"]
    for what, forms in candidates(case).items():
        cells = []
        for name, form in forms.items():
            taken = "*" if _same(form, planned[what]) else ""
            function = jax.jit(lambda *values, form=form: form(*values, case))
            cells.append(f"{name}{taken} {milliseconds(function, arguments[what]):.2f}")
        lines.append(f"  {what:8} {'   '.join(cells)}")
    return lines


def _same(one: Any, other: Any) -> bool:
    """Forms that autodiff makes are made anew each time: they are told apart by what they were made of."""

    def made_of(form: Any) -> list[Any]:
        return [cell.cell_contents for cell in form.__closure__ or ()]

    return one.__qualname__ == other.__qualname__ and made_of(one) == made_of(other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=tuple(SHAPES), default=tuple(SHAPES))
    parser.add_argument("--cores", type=int, default=1)
    options = parser.parse_args()
    if any(os.environ.get(name) != value for name, value in MALLOC.items()):  # glibc reads them when a process begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | MALLOC | {"JAX_PLATFORMS": "cpu"})
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.cores :])
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lines = [f"milliseconds of processor time on {options.cores} core(s); * is what the plan takes"]
    for net in options.nets:
        lines += ["", f"-- {net}"]
        for shape in SHAPES[net]:
            lines += measure(shape)
            print("\n".join(lines[-4:]), flush=True)
    write("convolutions", [*machine("jax", "jaxlib"), "", *lines])


if __name__ == "__main__":
    main()
