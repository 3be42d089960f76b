"""Names to things, with an error that offers the nearest names; and where the names of modules are looked for."""

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from cnnjax.core.errors import UserError

MOST = 10


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns '; did you mean X?' for the nearest of `names`, or a list of them, at most MOST, when none is near."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"; known: {', '.join(names[:MOST])}{more}" if names else ""


def look_here() -> None:
    """Has modules of the working folder found: `python -m` does so itself, the console script does not."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping filled by `register`; a missing name raises UserError with the nearest one.

    Args:
      kind: what the names stand for, as it is called in the error ("model", "optimizer").
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str, item: T) -> T:
        """Adds `item` under `name`; a second item of one name is a programming error."""
        if name in self._items and self._items[name] is not item:
            raise ValueError(f"{self.kind} {name} is registered twice")
        self._items[name] = item
        return item

    def add(self, name: str) -> Callable[[Any], Any]:
        """The decorator form of `register`."""
        return lambda item: self.register(name, item)

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise UserError(f"unknown {self.kind} {name}{nearest(name, self._items)}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
