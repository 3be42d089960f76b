"""What a model says about itself: the images it wants, where it was published and what it reached there.

Two tables lie beside this file. published.csv has each variant's exact counts, MACs and the reference that its
name means; weights.csv the published weights that the bridge loads, with the images that they need and their
accuracy on ImageNet's validation set.
"""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from cnnjax.core.statistics import IMAGENET_MEAN, IMAGENET_STD

Interpolation = Literal["bilinear", "bicubic"]
Resize = Literal["center", "squash"]
"""Words of config.data.resize: the shorter side resized and the rest cut, or both sides, whatever the aspect."""


@dataclass(frozen=True)
class Paper:
    """Where a model was published.

    Attributes:
      arxiv: the identifier, such as 1404.5997; None for what is not there.
    """

    authors: str
    year: int
    title: str
    arxiv: str | None = None


@dataclass(frozen=True)
class Weights:
    """One set of published weights.

    Attributes:
      source: whose file it is: torchvision, timm, keras or cadene.
      tag: what the source calls it, such as IMAGENET1K_V2.
      top1, top5: percent of ImageNet's validation set, one center crop.
      side: of the square input that this was measured at.
      crop: input side / resized side.
      resize: which sides are.
      mean, std: per channel, in levels of 0-255.
    """

    source: str
    tag: str
    top1: float
    top5: float
    side: int
    crop: float
    resize: Resize
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Published:
    """A variant's row of published.csv.

    Attributes:
      reference: the implementation that the name means ("torchvision resnet50"), or "paper".
      classes, side: for which the counts hold.
      params: trainable ones, auxiliary heads included where the reference has them.
      statistics: running means and variances.
      macs: MACs of convolutions and dense layers for one image.
    """

    family: str
    reference: str
    side: int
    classes: int
    params: int
    statistics: int
    macs: int

    @property
    def source(self) -> str:
        """Whose implementation the name means: torchvision, timm, keras, cadene or paper."""
        return self.reference.split()[0].lower()


@dataclass(frozen=True)
class Card:
    """One model's card; models never normalize, the pipeline reads here how to.

    Attributes:
      input_size: (height, width, channels) the model was published for.
      num_classes: what it tells apart when nobody says otherwise.
      family: the file that holds it, for lists and tables.
      mean, std: per channel, in levels of 0-255; None: those of the training set at hand.
      interpolation: how images are resized in evaluation.
      crop: input side / resized side in evaluation.
      resize: which sides are resized in evaluation.
      accuracy: the published result in words.
      published: counts and reference; None for one's own.
      weights: published ones, those that the name means by itself first.
    """

    input_size: tuple[int, int, int]
    num_classes: int = 10
    family: str = "own"
    paper: Paper | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: Interpolation = "bilinear"
    crop: float = 1.0
    resize: Resize = "center"
    accuracy: str = ""
    published: Published | None = None
    weights: tuple[Weights, ...] = ()


NORMALIZE = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "half": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "half128": ((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    "caffe": ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    "clip": ((122.7709383, 116.7460125, 104.09373615), (68.5005327, 66.6321579, 70.32316305)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
}
"""(mean, std) by a word of weights.csv: half maps 0-255 to -1..1, half128 to -1..0.99; caffe only subtracts (its order
blue, green, red is turned when the weights are read)."""


# fmt: off
ALSO = {
    "mobilenetv2_100": "mobilenet_v2",
    "mnasnet_050": "mnasnet0_5", "mnasnet_075": "mnasnet0_75", "mnasnet_100": "mnasnet1_0",
    "regnetx_008": "regnet_x_800mf", "regnetx_016": "regnet_x_1_6gf", "regnetx_032": "regnet_x_3_2gf",
    "regnetx_080": "regnet_x_8gf", "regnetx_160": "regnet_x_16gf", "regnetx_320": "regnet_x_32gf",
    "regnety_004": "regnet_y_400mf", "regnety_016": "regnet_y_1_6gf", "regnety_032": "regnet_y_3_2gf",
    "regnety_160": "regnet_y_16gf", "regnety_320": "regnet_y_32gf", "regnety_1280": "regnet_y_128gf",
    "vit_base_patch16_224": "vit_b_16", "vit_base_patch32_224": "vit_b_32", "vit_large_patch16_224": "vit_l_16",
    "vit_large_patch32_224": "vit_l_32", "vit_huge_patch14_224": "vit_h_14",
}
# fmt: on
"""What the library that is not their reference calls the same models."""


def card(name: str, *, paper: Paper | None = None, weights: tuple[Weights, ...] | None = None, **changes: Any) -> Card:
    """Makes the card of a variant that stands in published.csv.

    Args:
      name: the variant.
      paper: of the family.
      weights: those to describe, the first decides; None: all that weights.csv has for the name.
      **changes: fields of the Card that the tables do not tell.
    """
    row = published()[name]
    weights = published_weights().get(name, ()) if weights is None else weights
    channels = 1 if row.side == 28 else 3
    fields: dict[str, Any] = {
        "input_size": (row.side, row.side, channels),
        "num_classes": row.classes,
        "family": row.family,
        "paper": paper,
        "published": row,
        "weights": weights,
    }
    if row.classes == 1000:
        fields |= {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "crop": 0.875}
    if weights:
        first = weights[0]
        fields |= {
            "mean": first.mean,
            "std": first.std,
            "crop": first.crop,
            "resize": first.resize,
            "interpolation": first.interpolation,
            "accuracy": f"{first.source}'s weights {first.tag}: {first.top1:g} / {first.top5:g} % (top-1 / top-5)",
        }
    return Card(**(fields | changes))


@functools.cache
def published() -> Mapping[str, Published]:
    """The rows of published.csv by name."""
    rows = {}
    for row in _table("published.csv"):
        counts = {key: int(row[key]) for key in ("classes", "params", "statistics", "macs")}
        rows[row["name"]] = Published(row["family"], row["reference"], int(row["input"]), **counts)
    return rows


@functools.cache
def aliases() -> Mapping[str, str]:
    """What torchvision and timm call the models that have another name here: {"vit_base_patch16_224": "vit_b_16"}."""
    names = {row.reference.partition(" ")[2]: name for name, row in published().items()}
    return {alias: name for alias, name in (names | ALSO).items() if alias and alias not in published()}


@functools.cache
def published_weights() -> Mapping[str, tuple[Weights, ...]]:
    """The rows of weights.csv by name; first those of the reference, its default, and those for the published size."""
    found: dict[str, list[tuple[tuple[bool, ...], Weights]]] = {}
    for row in _table("weights.csv"):
        mean, std = NORMALIZE[row["normalize"]]
        weights = Weights(
            row["source"],
            row["tag"],
            float(row["top1"]),
            float(row["top5"]),
            int(row["input"]),
            float(row["crop"]),
            "squash" if row["resize"] == "squash" else "center",
            "bicubic" if row["interpolation"] == "bicubic" else "bilinear",
            mean,
            std,
        )
        variant = published()[row["name"]]
        rank = (weights.source != variant.source, row["default"] != "default", weights.side != variant.side)
        found.setdefault(row["name"], []).append((rank, weights))
    return {
        name: tuple(weights for _, weights in sorted(rows, key=lambda pair: pair[0])) for name, rows in found.items()
    }


def _table(name: str) -> list[dict[str, str]]:
    text = resources.files("cnnjax.models").joinpath(name).read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))
