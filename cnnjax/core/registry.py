"""Names to things, with an error that offers the nearest names; and where the names of modules are looked for."""

import difflib
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

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
Decorated = TypeVar("Decorated")


class Registry(Mapping[str, T], Generic[T]):
    """Names to things: a read-only mapping filled by `register`, with an error that offers the nearest name.

    `package.module:name` is accepted too, for what the module registers as `name` or holds under it; so a run folder,
    which keeps such names, is opened in any process that can import the module.

    Args:
      kind: what the names stand for, as it is called in the error ("model", "optimizer").
      adopt: f(name, object) -> item, makes an item of what a module holds without registering it; None: it is one.
    """

    def __init__(self, kind: str, adopt: Callable[[str, Any], T] | None = None):
        self.kind, self._adopt = kind, adopt
        self._items: dict[str, T] = {}
        self._homes: dict[str, str] = {}

    def register(self, name: str, item: T, *, home: str = "cnnjax") -> T:
        """Adds `item` under `name`.

        Args:
          home: the module that registers it; what a module registers again (a cell run twice) replaces the first.

        Raises:
          UserError: another module has registered the name.
        """
        old = self._homes.get(name, home)
        if name in self._items and self._items[name] is not item and (old != home or home.split(".")[0] == "cnnjax"):
            raise UserError(f"{self.kind} {name} is registered already, by {old}; choose another name")
        self._items[name], self._homes[name] = item, home
        return item

    def add(
        self, name: str, make: Callable[[Any], T] | None = None, *, home: str = "cnnjax"
    ) -> Callable[[Decorated], Decorated]:
        """Returns the decorator form of `register`, which leaves what it decorates as it is.

        Args:
          make: f(what is decorated) -> item; None: it is the item.
        """

        def decorate(found: Decorated) -> Decorated:
            self.register(name, make(found) if make else cast(T, found), home=home)
            return found

        return decorate

    def importable_name(self, name: str) -> str:
        """Returns the name by which another process finds an item: what is registered outside cnnjax is module:name."""
        home = self._homes.get(name, "cnnjax")
        return name if home.partition(".")[0] == "cnnjax" else f"{home}:{name}"

    def __getitem__(self, name: str) -> T:
        if name in self._items:
            return self._items[name]
        path, colon, attribute = name.partition(":")
        if not colon:
            raise UserError(f"unknown {self.kind} {name}{nearest(name, self._items)}")
        if self._homes.get(attribute) == path:  # registered by a recipe or a notebook, which cannot be imported
            return self._items[attribute]
        module = import_module(name, path)
        if self._homes.get(attribute) == path:
            return self._items[attribute]
        if not hasattr(module, attribute):
            raise UserError(f"{name}: {path} has no {attribute} and registers no such {self.kind}")
        found = getattr(module, attribute)
        return self._adopt(name, found) if self._adopt else found

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def import_module(name: str, path: str) -> ModuleType:
    """Imports a module, of the working folder too, for `name`, which the error names."""
    look_here()
    try:
        return importlib.import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            raise UserError(
                f"{name}: there is no module {error.name} in {Path.cwd()} or among the packages; name one that is"
            ) from None
        raise UserError(f"{name}: importing {path} fails with {type(error).__name__}: {error}") from error


def caller() -> str:
    """Returns the module that calls the function which calls this one."""
    return str(sys._getframe(2).f_globals["__name__"])
