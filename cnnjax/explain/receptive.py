"""Receptive fields: which pixels a unit of an inner layer can see, calculated and measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core import trees
from cnnjax.core.arrays import Array, Tree
from cnnjax.explain.cams import as_map
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
      picture: (height, width) of the model's input.
    """

    shape: tuple[int, int]
    picture: tuple[int, int]
    spans: tuple[Span, Span]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) that a unit sees, in pixels, as if the picture had no end."""
        return self.spans[0].high - self.spans[0].low + 1, self.spans[1].high - self.spans[1].low + 1

    @property
    def stride(self) -> tuple[int, int]:
        """Pixels from the field of one unit to that of the next; 0: all see the same."""
        return self.spans[0].jump, self.spans[1].jump

    def box(self, row: int | None = None, column: int | None = None) -> Box:
        """The pixels that a unit sees of the picture; None: of the middle one."""
        unit = [side // 2 if i is None else i for side, i in zip(self.shape, (row, column), strict=True)]
        low = [max(span.jump * i + span.low, 0) for span, i in zip(self.spans, unit, strict=True)]
        high = [
            min(span.jump * i + span.high + 1, side)
            for span, i, side in zip(self.spans, unit, self.picture, strict=True)
        ]
        return low[0], low[1], high[0], high[1]


def receptive_fields(model: Model) -> dict[str, Field]:
    """Returns the field of every layer, calculated.

    Never too small; too large only where an operation looks at the picture in no fixed grid, such as the rows of
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


def measured_field(model: Model, layer: str, *, draws: int = 16) -> Box:
    """Returns the pixels by which the middle unit of a layer has a gradient, in any of some random pictures.

    The weights are positive and keep the mean, so that no ReLU is off and nothing cancels; levels are small enough for
    activations that saturate. Only a max-pool hides pixels, other ones in each picture, whose few bright pixels win
    at the edge too, where a padding has darkened the means.
    """
    shape = layers(model)[layer]
    rng = np.random.default_rng(0)
    flat = {path: _passing(rng, path, leaf.shape) for path, leaf in trees.flatten(model.shapes()).items()}
    variables: Tree = {"params": {}, "batch_stats": {}} | trees.unflatten(flat)
    images = jnp.asarray(1e-3 * rng.lognormal(sigma=2.0, size=(draws, *model.input_size)), jnp.float32)
    weights = jnp.asarray(rng.uniform(0.5, 1.5, shape[-1]), jnp.float32)

    @jax.jit
    def gradient(variables: Tree, images: Array) -> Array:
        def middle(images: Array) -> Array:
            values = look_inside(model, variables, images, [layer])[1][layer]
            if values.ndim > 2:
                values = as_map(values)
                values = values[:, values.shape[1] // 2, values.shape[2] // 2]
            return (values * weights).sum()

        return jax.grad(middle)(images)

    hit = np.asarray((gradient(variables, images) != 0).any((0, 3)))
    rows, columns = np.flatnonzero(hit.any(1)), np.flatnonzero(hit.any(0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


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


def _passing(rng: Any, path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights that let everything through: kernels that average, unit scales, no bias."""
    if path.endswith("/kernel"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32) / np.float32(max(prod(shape[:-1]), 1))
    return np.full(shape, 0.0 if path.endswith(("bias", "mean")) else 1.0, np.float32)
