"""What the layers of each family are called in other libraries' files, a file of tables a library."""

from collections.abc import Mapping
from typing import Literal

from cnnjax.weights.names_keras import KERAS
from cnnjax.weights.names_timm import CADENE, TIMM
from cnnjax.weights.names_torchvision import TORCHVISION
from cnnjax.weights.rules import Names

Source = Literal["torchvision", "timm", "cadene", "keras"]
"""Whose files are known."""

TABLES: Mapping[Source, Mapping[str, Names]] = {
    "torchvision": TORCHVISION,
    "timm": TIMM,
    "cadene": CADENE,
    "keras": KERAS,
}
"""By source, and there by family or variant."""
