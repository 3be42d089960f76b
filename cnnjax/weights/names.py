"""What the layers of each family are called in other libraries' files, one table a family and source.

A leaf's name here, params/layer1_0/conv1/kernel, is first written in the source's own grammar (layer1_0.conv1.weight in
PyTorch's, layer1_0/conv1/kernel in Keras'); then the table's rules, (pattern, replacement), are applied in order. A
family whose modules are named as the source names them needs no more than INDEX, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Rule: TypeAlias = tuple[str, str]
"""A regular expression and what takes its place, as in re.sub."""

INDEX: Rule = (r"_(\d+)(?=\.)", r".\1")
"""layer1_0.conv1 -> layer1.0.conv1: the members of a list."""


@dataclass(frozen=True)
class Names:
    """How one family's leaves are found in one source's files.

    Attributes:
      rules: applied in order to the whole name.
      flattened: by module path here, the (height, width) of the map that was flattened before a dense layer: PyTorch's
        rows run over channels first, ours last.
      bgr: module path of the first convolution where the source's pictures are blue, green, red.
      shapes: by pattern of a name in the file, its shape there, -1 for the free axis, where it has axes of length one
        that the leaf here lacks: {"layer_scale$": (-1, 1, 1)}.
    """

    rules: tuple[Rule, ...] = ()
    flattened: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    bgr: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


# fmt: off
NAMES: dict[tuple[str, str], Names] = {
    # ---------------------------------------------------------------- torchvision
    ("alexnet", "torchvision"): Names(
        rules=(
            (r"^conv1\.", "features.0."), (r"^conv2\.", "features.3."), (r"^conv3\.", "features.6."),
            (r"^conv4\.", "features.8."), (r"^conv5\.", "features.10."),
            (r"^fc6\.", "classifier.1."), (r"^fc7\.", "classifier.4."), (r"^fc8\.", "classifier.6."),
        ),
        flattened={"fc6": (6, 6)},
    ),
    ("resnet", "torchvision"): Names((INDEX,)),
    ("resnext", "torchvision"): Names((INDEX,)),
    ("wide_resnet", "torchvision"): Names((INDEX,)),
    # ---------------------------------------------------------------- timm
    ("resnet", "timm"): Names((INDEX,)),
    ("resnext", "timm"): Names((INDEX,)),
    ("wide_resnet", "timm"): Names((INDEX,)),
    ("senet", "timm"): Names((INDEX,)),
}
# fmt: on
"""By (family, source)."""
