"""What happens while a model is traced: which module is called with what, and whether anything is left of the image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
      path: of the module in the model.
      kind: its class.
      before, after: shapes of its first input, () where that is no array, and of its first output.
      leaf: it calls no other module.
      beside: in an auxiliary head, which runs in training only.
    """

    path: tuple[str, ...]
    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    leaf: bool
    beside: bool


class Empty(Exception):
    """A layer had nothing to work on."""


class Calls:
    """Interceptor for nn.intercept_methods that lists the calls in the order in which they begin.

    Raises:
      Empty: an image has shrunk to no pixels, which XLA lets pass without a word.
    """

    def __init__(self) -> None:
        self.rows: list[Call] = []
        self._beside = False

    def __call__(self, run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        if context.method_name == "__call__":
            outputs = self._call(run, args, kwargs, context.module)
        else:
            beside, self._beside = self._beside, self._beside or context.method_name == "auxiliary"
            outputs = run(*args, **kwargs)
            self._beside = beside
        if any(0 in value.shape for value in jax.tree.leaves((args, outputs)) if hasattr(value, "shape")):
            raise Empty
        return outputs

    def _call(self, run: Any, args: Any, kwargs: Any, module: Any) -> Any:
        place = len(self.rows)
        outputs = run(*args, **kwargs)
        before = tuple(getattr(args[0], "shape", ())) if args else ()
        after = tuple(jax.tree.leaves(outputs)[0].shape)
        leaf = place == len(self.rows)
        self.rows.insert(place, Call(module.path, type(module).__name__, before, after, leaf, self._beside))
        return outputs


def equations(traced: Any) -> Iterator[Any]:
    """All operations of a jaxpr, those of the functions in it too."""
    for one in getattr(traced, "jaxpr", traced).eqns:
        yield one
        for inner in jax.tree.leaves(list(one.params.values()), is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            if hasattr(inner, "eqns"):
                yield from equations(inner)
