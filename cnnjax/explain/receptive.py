"""Receptive fields: which pixels a unit of an inner layer can see, calculated from the model's operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp

from cnnjax.core.arrays import Array, Tree
from cnnjax.explain.spans import Sight, Span, collapse, walk
from cnnjax.models import Model
from cnnjax.models.convolution import plain
from cnnjax.models.inside import layers, look_inside

Box: TypeAlias = tuple[int, int, int, int]
"""top, left, bottom, right in pixels, the last two exclusive."""


@dataclass(frozen=True)
class Field:
    """The receptive field of a layer.

    Attributes:
      shape: (height, width) of the layer's map; (1, 1) where it is none.
      image: (height, width) of the model's input.
    """

    shape: tuple[int, int]
    image: tuple[int, int]
    spans: tuple[Span, Span]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that a unit sees, in pixels, as if the image had no end."""
        return self.spans[0].high - self.spans[0].low + 1, self.spans[1].high - self.spans[1].low + 1

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from the field of one unit to that of the next; 0: all see the same."""
        return self.spans[0].jump, self.spans[1].jump

    def box(self, row: int | None = None, column: int | None = None) -> Box:
        """The pixels that a unit sees of the image; None: of the middle one."""
        unit = [side // 2 if i is None else i for side, i in zip(self.shape, (row, column), strict=True)]
        low = [max(span.jump * i + span.low, 0) for span, i in zip(self.spans, unit, strict=True)]
        high = [
            min(span.jump * i + span.high + 1, side) for span, i, side in zip(self.spans, unit, self.image, strict=True)
        ]
        return low[0], low[1], high[0], high[1]


def receptive_fields(model: Model) -> dict[str, Field]:
    """Returns the field of every layer, calculated.

    Never too small; too large only where an operation looks at the image in no fixed grid, such as the rows of
    tokens of a transformer, each of which counts as seeing everything.
    """
    shapes = layers(model)

    def run(variables: Tree, images: Array) -> dict[str, Array]:
        return look_inside(model, variables, images, shapes)[1]

    spec = jax.ShapeDtypeStruct((1, *model.input_size), jnp.float32)
    with plain():  # Winograd's tiles lie in no grid of pixels
        closed, found = jax.make_jaxpr(run, return_shape=True)(model.shapes(), spec)
    jaxpr = closed.jaxpr
    seen: list[Sight] = [None] * (len(jaxpr.invars) - 1) + [(Span(1, 1, 0, 0), Span(2, 1, 0, 0))]
    names = sorted(found)  # the order of the leaves of a dict
    fields = {}
    for name, sight in zip(names, walk(jaxpr, seen), strict=True):
        shape = shapes[name]
        is_map = len(shape) == 3
        sight = sight if is_map else collapse(sight, (1, *shape))
        if sight is not None:
            fields[name] = Field((shape[0], shape[1]) if is_map else (1, 1), model.input_size[:2], sight)
    return {name: fields[name] for name in shapes if name in fields}


def table(fields: Mapping[str, Field]) -> str:
    """The fields for a terminal."""
    lines: list[tuple[str, ...]] = [("layer", "map", "field", "stride", "middle unit sees")]
    for name, field in fields.items():
        top, left, bottom, right = field.box()
        seen = f"rows {top}-{bottom - 1}, columns {left}-{right - 1}"
        lines.append((name, *(" x ".join(map(str, pair)) for pair in (field.shape, field.size, field.stride)), seen))
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
