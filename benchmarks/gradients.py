"""The gradient of the compiled training step, for every family of models: python benchmarks/gradients.py [--nets ...]

The program is the one that `cnnjax train` runs: fast forms of convolutions, pooling by place, the batch shared over the
devices, several steps a dispatch where the library takes them, XLA's full optimization. SGD at a rate of 2^20 makes the
gradient its change of the parameters, to the last bit. Held against it, from the same parameters and images:

  float64  the model with every number in double precision; each convolution a matrix product of its patches
  plain    the model in float32 with XLA's own convolutions and max-pooling, on one device

Parameters are as after some training: scales of norms 0.7-1.3, biases of deviation 0.1, nothing all zero. Dropout and
stochastic depth are off. The distance of a leaf is its largest difference from float64 over its largest value there.

A rounding that falls on the other side of zero, or of a window's second-largest value, switches a whole gradient on or
off: deep models of ReLU differ from float64 far more than they round. How much is seen from `plain`, computed five
times, four of them with parameters moved by some roundings (2^-20). See `wrong` for the rule.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

from ab import RESULTS, machine, write
from step_gradients import Case, Distance, compiled_gradient, distance, farthest, largest, reference, setting

CASES = (  # cheapest first; a batch of two images on each device is the smallest that BatchNorm can tell from one
    Case("cnn4_bn", 16),
    Case("lenet5", 16),
    Case("airbench94", 16),
    Case("nin_cifar", 8),
    Case("capsnet", 4, loss="margin"),
    Case("euronet", 8),
    Case("resnet20_cifar", 8),
    Case("alexnet_two_tower"),
    Case("vgg16_cifar_bn", 8),
    Case("squeezenet1_1"),
    Case("wrn_16_8"),
    Case("mobilenet_v1_025"),
    Case("vit_b_32"),
    Case("resnet18"),
    Case("googlenet_paper"),
    Case("mnasnet0_5"),
    Case("shufflenet_v2_x0_5"),
    Case("densenet_40_12_cifar", 8),
    Case("vgg11_bn"),
    Case("resnet50_v2"),
    Case("resnext50_32x4d"),
    Case("seresnet50"),
    Case("convnext_tiny"),
    Case("regnet_y_400mf"),
    Case("efficientnet_b0"),
    Case("efficientnet_v2_b0"),
    Case("inception_v3"),
    Case("xception"),
    Case("resnetv2_50x1_bit", side=224),  # 448 as published: 65,000 million MACs
    Case("densenet121"),
    Case("nasnet_a_mobile"),
    Case("pnasnet5_mobile"),
    Case("amoebanet_c_mobile_44"),
    Case("polynet", side=235),  # 331 as published: 140,000 million MACs
)
"""The members of every family that are tried; `tests/models/test_gradients.py` sees that no family is left out."""

FLOOR, FACTOR, SHAKEN = 1e-4, 3.0, 4


@dataclass(frozen=True)
class Result:
    """The outcome of a case: distances from float64 of the step on one and two devices and of the plain model's runs.

    Attributes:
      from_plain: largest distance of a leaf of the step from the plain model's, on one and two devices.
      steps: that a dispatch takes at most.
    """

    case: Case
    family: str
    size: tuple[int, ...]
    steps: int
    one: Distance
    two: Distance
    plain: Distance
    from_plain: tuple[float, float]
    seconds: float


def measure(case: Case) -> Result:
    """Computes all gradients of a model and compares them; takes a minute or several."""
    from cnnjax.training.build import steps_per_dispatch

    start, made = time.monotonic(), setting(case)
    (exact,), plain = reference(made, "float64"), reference(made, "float32", SHAKEN)
    found = [compiled_gradient(made, devices) for devices in (1, 2)]
    one, two = (distance(gradient, exact) for gradient in found)
    simple = farthest([distance(gradient, exact) for gradient in plain])
    beside = [max(largest(gradient[path], plain[0][path]) for path in simple.largest) for gradient in found]
    return Result(
        case=case,
        family=made.parts.model.card.family,
        size=made.parts.model.input_size,
        steps=steps_per_dispatch(made.parts, made.dataset),
        one=one,
        two=two,
        plain=simple,
        from_plain=(beside[0], beside[1]),
        seconds=time.monotonic() - start,
    )


def wrong(result: Result) -> list[str]:
    """What is farther from float64 than float32 explains, a sentence each; empty where the gradient is right.

    1e-4 is always allowed, else three times what the plain model has in its farthest run: of the whole gradient's
    distance, of the middle leaf's, and for every leaf that of the plain model's worst, since chance decides which leaf
    a switched value meets. Leaves that are zero by construction may hold 1e-4 of the largest value of all. So small
    models, in which nothing is switched, are held to 1e-4 leaf by leaf; large ones as a whole.
    """
    found = []
    for devices, ours in (("one device", result.one), ("two devices", result.two)):
        figures = [("the whole gradient", ours.whole, result.plain.whole)]
        figures.append(("the middle leaf", ours.median, result.plain.median))
        figures += [(path, away, result.plain.largest[result.plain.worst]) for path, away in ours.largest.items()]
        for what, away, plain in figures:
            allowed = max(FLOOR, FACTOR * plain)
            if not away <= allowed:  # nor where it is no number
                found.append(f"{what} on {devices} is {away:.1e} away, more than {allowed:.1e}")
        if not ours.nothing <= FLOOR:
            found.append(f"what should be nothing on {devices} is {ours.nothing:.1e} of the largest value")
    return found


# ---------------------------------------------------------------- the table

LEGEND = [
    "distance of the gradient from float64's; largest: the worst leaf's largest difference over its largest value",
    "cosine: the smallest of a leaf; whole: Euclidean length of all differences over that of the gradient",
    "plain operations: the farthest of so many runs, all but the first with parameters moved by some roundings",
    "from plain: largest distance of a leaf from the same model with XLA's plain operations in float32, on one device",
    "steps: of a dispatch; full optimization, train mode, norms and biases as after some training, no dropout",
]


def line(result: Result) -> dict[str, Any]:
    """What the table and results/gradients.jsonl keep of a result."""
    row: dict[str, Any] = {"family": result.family, "net": result.case.name, "steps": result.steps}
    row |= {"images": f"{result.case.batch} x {'x'.join(map(str, result.size))}"}
    for name, one in (("one", result.one), ("two", result.two), ("plain", result.plain)):
        row[name] = {"leaf": one.worst, "largest": one.largest[one.worst]}
        row[name] |= {"cosine": min(one.cosine.values()), "whole": one.whole, "median": one.median}
    row |= {
        "runs": 1 + SHAKEN,
        "from_plain": result.from_plain,
        "wrong": wrong(result),
        "seconds": round(result.seconds),
    }
    return row


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each model: its worst leaf on one device, on two and in the plain form."""
    head = f"{'family':16}{'net':24}{'images':22}{'steps':>5}"
    lines = [
        f"{'':67}{'one device':>28}{'two devices':>28}{'plain operations':>28}{'runs':>6}{'from plain':>18}",
        head
        + f"{'largest':>10}{'cosine':>10}{'whole':>8}" * 3
        + f"{'':6}{'one':>10}{'two':>8}  worst leaf on two devices",
    ]
    for row in rows:
        text = f"{row['family']:16}{row['net']:24}{row['images']:22}{row['steps']:>5}"
        for name in ("one", "two", "plain"):
            text += f"{row[name]['largest']:>10.1e}{row[name]['cosine']:>10.6f}{row[name]['whole']:>8.0e}"
        text += f"{row['runs']:>6}{row['from_plain'][0]:>10.0e}{row['from_plain'][1]:>8.0e}  {row['two']['leaf']}"
        lines.append(text)
        lines += [f"    WRONG: {row['wrong'][0]}; {len(row['wrong'])} such figures"] if row["wrong"] else []
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = {case.name: case for case in CASES}
    parser.add_argument("--nets", nargs="*", choices=tuple(known), default=tuple(known), help="none: the table alone")
    options = parser.parse_args()
    os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import jax

    from cnnjax.core import startup

    startup.set_flags()  # as the programs that users run
    about, kept = machine("jax", "jaxlib", "flax", "numpy"), RESULTS / "gradients.jsonl"
    for name in options.nets:
        row = {"versions": about[-1], **line(measure(known[name]))}
        print("\n".join(table([row])), flush=True)
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")
        jax.clear_caches()
    found = {row["net"]: row for row in map(json.loads, kept.read_text().splitlines()) if row["versions"] == about[-1]}
    rows = [found[name] for name in known if name in found]
    missing = [f"not run: {', '.join(name for name in known if name not in found)}"] if len(rows) < len(known) else []
    write("gradients", [*about, "", *LEGEND, "", *table(rows), *missing])
    if any(row["wrong"] for row in rows):
        sys.exit("some gradients are wrong")


if __name__ == "__main__":
    main()
