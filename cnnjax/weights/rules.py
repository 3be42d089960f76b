"""How one family's layers are found in one library's files: rules that rename, and what the layouts differ in.

A leaf's name here, params/layer1_0/conv1/kernel, is first written in the source's own grammar (layer1_0.conv1.weight in
PyTorch's, layer1_0/conv1/kernel in Keras'); then a table's rules, (pattern, replacement), are applied in order. A
family whose modules are named as the source names them needs no more than INDEX, or nothing.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Rule: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]
"""A regular expression and what takes its place, as in re.sub."""


def numbers(form: str, *steps: int) -> Callable[[re.Match[str]], str]:
    """Makes the right side of a rule that counts from another number: "conv{}_block{}_", 1, 1 adds 1 to both."""
    return lambda found: form.format(*(int(number) + step for number, step in zip(found.groups(), steps, strict=True)))


INDEX: Rule = (r"_(\d+)(?=\.)", r".\1")
"""layer1_0.conv1 -> layer1.0.conv1: the members of a list."""


def rows(*depths: int) -> list[tuple[int, int, int]]:
    """(number in the model from 1, stage from 1, number in the stage from 0) of each block, by the stages' depths."""
    blocks = [(stage, number) for stage, depth in enumerate(depths, 1) for number in range(depth)]
    return [(row, stage, number) for row, (stage, number) in enumerate(blocks, 1)]


@dataclass(frozen=True)
class Names:
    """How one family's leaves are found in one source's files.

    Attributes:
      rules: applied in order to the whole name.
      flattened: by module path here, the (height, width) of the map that was flattened before a dense layer: PyTorch's
        rows run over channels first, ours last.
      convolved: by module path here, the (height, width) of a dense layer's map that the source does not flatten, but
        convolves with kernels of that size.
      bgr: module path of the first convolution where the source's images are blue, green, red.
      trailing: by pattern of a name in the file, how many axes of length one it has there behind those of the leaf
        here: {"layer_scale$": 2}.
      unscaled: the source's norms have no scale: it is one.
      former: rules for the names in the file, from what earlier versions of the source called them.
    """

    rules: tuple[Rule, ...] = ()
    flattened: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    convolved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bgr: str = ""
    trailing: Mapping[str, int] = field(default_factory=dict)
    unscaled: bool = False
    former: tuple[Rule, ...] = ()


DENSENET = Names(
    rules=((r"^norm\.", "norm5."), (r"_denselayer", ".denselayer"), (r"^(?!classifier)", "features.")),
    former=((r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)", r"\1"),),
)
"""PyTorch's DenseNets, torchvision's and timm's; torchvision's published files still say norm.1 for norm1."""
