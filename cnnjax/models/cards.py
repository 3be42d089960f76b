"""What a model says about itself: the pictures it wants, where it was published and what it reached there."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Paper:
    """Where a net was published.

    Attributes:
      arxiv: the identifier, such as 1404.5997; None for what is not there.
    """

    authors: str
    year: int
    title: str
    arxiv: str | None = None


@dataclass(frozen=True)
class Card:
    """One model's card; models never normalise, the pipeline reads here how to.

    Attributes:
      input_size: (height, width, channels) the model was published for.
      num_classes: what it tells apart when nobody says otherwise.
      family: the file that holds it, for lists and tables.
      mean, std: per channel, in levels of 0-255; None: those of the training set at hand.
      interpolation: how pictures are resized in evaluation.
      crop: input side / resized shorter side in evaluation.
      accuracy: the published result in words.
    """

    input_size: tuple[int, int, int]
    num_classes: int = 10
    family: str = "own"
    paper: Paper | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    crop: float = 1.0
    accuracy: str = ""


IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
