"""What each value of a traced model sees of the image, carried from operation to operation.

Along either side of the image, unit i of a map sees the pixels jump i + low ... jump i + high. These three numbers
pass through the model's operations, whatever its branches; no weight is needed and nothing computed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Span:
    """What the units along one side of a value see of one side of the image.

    Attributes:
      axis: of the value; None: all its units see the same, and `jump` is 0.
      low, high: the first and the last pixel that unit 0 sees, outside of the image too.
    """

    axis: int | None
    jump: int
    low: int
    high: int

    def over(self, size: int) -> "Span":
        """What all units together see, their axis being `size` long."""
        ends = (0, self.jump * (size - 1)) if self.axis is not None else (0, 0)
        return Span(None, 0, self.low + min(ends), self.high + max(ends))

    def on(self, axis: int | None) -> "Span":
        return Span(axis, self.jump, self.low, self.high)

    def windows(self, size: int, stride: int, padding: int, dilation: int = 1) -> "Span":
        """What the windows of a convolution or a pool over these units see."""
        low = self.low - self.jump * padding
        return Span(self.axis, self.jump * stride, low, self.high + self.jump * ((size - 1) * dilation - padding))


Sight: TypeAlias = tuple[Span, Span] | None
"""What a value sees of the image's height and width; None: it does not depend on the image."""


def walk(jaxpr: Any, seen: Sequence[Sight]) -> list[Sight]:
    """Carries what the inputs see to the outputs."""
    known: dict[Any, Sight] = dict(zip(jaxpr.invars, seen, strict=True))

    def look(atom: Any) -> Sight:
        return None if hasattr(atom, "val") else known.get(atom)  # a literal, or a constant

    for equation in jaxpr.eqns:
        sights = [look(atom) for atom in equation.invars]
        if any(sights):
            results = _apply(equation, sights)
            pairs = zip(equation.outvars, results, strict=True)
            there = [None if 0 in variable.aval.shape else sight for variable, sight in pairs]
            known |= dict(zip(equation.outvars, there, strict=True))
    return [look(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, sights: list[Sight]) -> Sequence[Sight]:
    inner = next((equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params), None)
    inner = getattr(inner, "jaxpr", inner)
    if inner is not None and len(inner.invars) == len(sights) and len(inner.outvars) == len(equation.outvars):
        return walk(inner, sights)
    rule = RULES.get(equation.primitive.name)
    shapes = [atom.aval.shape for atom in equation.invars]
    after = [variable.aval.shape for variable in equation.outvars]
    if rule is _concatenate:
        sights = _without_edges(sights, shapes, equation.params["dimension"])
    if rule is None and equation.primitive.name not in MIXING:
        together = _join(sights, shapes)
        same = all(sight is None or shape == after[0] for sight, shape in zip(sights, shapes, strict=True))
        if same and all(shape == after[0] for shape in after):  # value by value
            return [together] * len(after)
    if rule is None:
        all_of_it = _join([collapse(sight, shape) for sight, shape in zip(sights, shapes, strict=True)], shapes)
        return [all_of_it] * len(after)
    found = []
    for number, shape in enumerate(after):
        moved: list[Sight] = []
        for place, (sight, before) in enumerate(zip(sights, shapes, strict=True)):
            if sight is None:
                moved.append(None)
                continue
            spans = [rule(span, equation.params, shapes, shape, place, number) for span in sight]
            whole = [span.over(before[span.axis or 0]) for span in sight]
            moved.append(tuple(new or old for new, old in zip(spans, whole, strict=True)))  # type: ignore[arg-type]
        found.append(_join(moved, [shape] * len(moved)))
    return found


def collapse(sight: Sight, shape: Sequence[int]) -> Sight:
    """What all units of a value of `shape` see together."""
    if sight is None:
        return None
    return sight[0].over(shape[sight[0].axis or 0]), sight[1].over(shape[sight[1].axis or 0])


def _join(sights: Sequence[Sight], shapes: Sequence[Sequence[int]]) -> Sight:
    """What a value sees that is made of several."""
    there = [(sight, shape) for sight, shape in zip(sights, shapes, strict=True) if sight is not None]
    if not there:
        return None
    return _hull(there, 0), _hull(there, 1)


def _hull(there: Any, side: int) -> Span:
    spans = [sight[side] for sight, _ in there]
    if len({(span.axis, span.jump) for span in spans}) > 1:  # on other grids: a unit of one sees all of the other
        spans = [sight[side].over(shape[sight[side].axis or 0]) for sight, shape in there]
    return Span(spans[0].axis, spans[0].jump, min(s.low for s in spans), max(s.high for s in spans))


# One rule an operation: f(span, params, shapes before, shape after, place of the operand, number of the result) -> the
# span of the result; None: every unit sees all that the operand's units see.
Rule: TypeAlias = Callable[[Span, Mapping[str, Any], Sequence[Sequence[int]], Sequence[int], int, int], Span | None]


def _convolve(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, _: int) -> Span | None:
    numbers = params["dimension_numbers"]
    spatial = numbers.lhs_spec[2:]
    if span.axis is None:
        return span
    if place or span.axis not in spatial or set(params["lhs_dilation"]) != {1}:
        return None
    i = spatial.index(span.axis)
    size = before[1][numbers.rhs_spec[2 + i]]
    moved = span.windows(size, params["window_strides"][i], params["padding"][i][0], params["rhs_dilation"][i])
    return moved.on(numbers.out_spec[2 + i])


def _pool(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    if span.axis is None:
        return span
    if set(params["base_dilation"]) != {1}:
        return None
    i = span.axis
    window, stride = params["window_dimensions"][i], params["window_strides"][i]
    return span.windows(window, stride, params["padding"][i][0], params["window_dilation"][i])


def _reduce(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    if span.axis is None:
        return span
    axes = params["axes"]
    return None if span.axis in axes else span.on(span.axis - sum(axis < span.axis for axis in axes))


def _squeeze(span: Span, params: Mapping[str, Any], *rest: Any) -> Span | None:
    return _reduce(span, {"axes": params["dimensions"]}, *rest)


def _broadcast(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, _: int) -> Span | None:
    if span.axis is None:
        return span
    axis = params["broadcast_dimensions"][span.axis]
    return span.on(axis) if before[place][span.axis] == after[axis] else None


def _reshape(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, _: int) -> Span | None:
    if span.axis is None:
        return span
    ahead, size = prod(before[place][: span.axis]), before[place][span.axis]
    same = (axis for axis in range(len(after)) if prod(after[:axis]) == ahead and after[axis] == size)
    axis = next(same, None)
    return None if axis is None else span.on(axis)


def _transpose(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    return span if span.axis is None else span.on(params["permutation"].index(span.axis))


def _shift(span: Span, start: int, step: int = 1) -> Span:
    return Span(span.axis, span.jump * step, span.low + span.jump * start, span.high + span.jump * start)


def _slice(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    if span.axis is None:
        return span
    return _shift(span, params["start_indices"][span.axis], (params["strides"] or {span.axis: 1})[span.axis])


def _split(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, number: int) -> Span | None:
    return span if span.axis != params["axis"] else _shift(span, sum(params["sizes"][:number]))


def _pad(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    if span.axis is None:
        return span
    low, _, between = params["padding_config"][span.axis]
    return None if between else _shift(span, -low)


def _concatenate(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, _: int) -> Span | None:
    axis = params["dimension"]
    return span if span.axis != axis else _shift(span, -sum(shape[axis] for shape in before[:place]))


def _without_edges(sights: list[Sight], shapes: Sequence[Sequence[int]], axis: int) -> list[Sight]:
    """Rows repeated at the edge of a map, which a padding appends to it, see no more than the padding's zeros would."""
    largest = max(range(len(sights)), key=lambda place: shapes[place][axis])
    main = sights[largest]
    if main is None or axis not in (main[0].axis, main[1].axis):
        return sights
    return [sight if place == largest else None for place, sight in enumerate(sights)]


def _stack(span: Span, params: Mapping[str, Any], *_: Any) -> Span | None:
    return span if span.axis is None else span.on(span.axis + (span.axis >= params["axis"]))


def _dot(span: Span, params: Mapping[str, Any], before: Any, after: Any, place: int, number: int) -> Span | None:
    if span.axis is None:
        return span
    contracted, batched = (axes[place] for axes in params["dimension_numbers"])
    if span.axis in contracted:
        return None
    if span.axis in batched:
        return span.on(batched.index(span.axis))
    free = [axis for axis in range(len(before[place])) if axis not in contracted and axis not in batched]
    ahead = len(after) - len(free) if place else len(batched)
    return span.on(ahead + free.index(span.axis))


RULES: dict[str, Rule] = {
    "conv_general_dilated": _convolve,
    "reduce_window_max": _pool,
    "reduce_window_min": _pool,
    "reduce_window_sum": _pool,
    "reduce_window": _pool,
    "reduce_sum": _reduce,
    "reduce_max": _reduce,
    "reduce_min": _reduce,
    "reduce_or": _reduce,
    "reduce_and": _reduce,
    "argmax": _reduce,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "transpose": _transpose,
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "dot_general": _dot,
}
MIXING = {"rev", "sort", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "fft"}
"""Operations that keep the shape and yet carry values from place to place."""
