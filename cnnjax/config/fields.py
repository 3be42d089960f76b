"""A field of a config and the check of its values: type, choices and range, wherever a config is made."""

import dataclasses
import math
import types
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from cnnjax.core.errors import UserError


def option(default: Any, doc: str, *, low: float | None = None, high: float | None = None, free: bool = False) -> Any:
    """A config field.

    Args:
      default: its value unless a recipe or the command line says otherwise.
      doc: one line for `--print_config`.
      low, high: inclusive range of a number (of each number of a tuple).
      free: it cannot change the result of a run, so it may differ when the run is resumed.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, "low": low, "high": high, "free": free})


class Section:
    """A group of options: `DataConfig(batch_size=64)` checks every value, and raises UserError in one sentence.

    Numbers become the type of their field (lr=1), sequences become tuples, and one number serves for a pair (size=256).
    """

    section: ClassVar[str]

    def __init_subclass__(cls, *, name: str) -> None:
        cls.section = name

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            key = f"config.{self.section}.{item.name}"
            value = convert(key, getattr(self, item.name), item.type)
            _check_range(key, value, item.metadata["low"], item.metadata["high"])
            object.__setattr__(self, item.name, value)


def _check_range(key: str, value: Any, low: float | None, high: float | None) -> None:
    for number in value if isinstance(value, tuple) else (value,):
        if not isinstance(number, (int, float)):
            continue
        if (low is not None and number < low) or (high is not None and number > high):
            bounds = f"{_plain(low)} or more" if high is None else f"between {_plain(low)} and {_plain(high)}"
            raise UserError(f"{key}={value} is out of range; it must be {bounds}")


def _plain(bound: float | None) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def convert(key: str, value: Any, hint: Any, *, texts: bool = False) -> Any:
    """Returns a value as the type of its field has it.

    Args:
      key: what an error calls it.
      hint: the type: bool, int, float, str, a Literal or a tuple of these, or one of them with None.
      texts: whether a text may stand for any value, as on the command line: "0.1", "true", "32x32x3", "none".

    Raises:
      UserError: another type, or none of the choices.
    """
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if type(None) in alternatives and (value is None or (texts and str(value).lower() == "none")):
        return None
    kind = next(alternative for alternative in alternatives if alternative is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"{key}={value} is not one of {', '.join(get_args(kind))}")
        return value
    wrong = UserError(f"{key}={value} is not {_describe(kind)}" + (" or none" if type(None) in alternatives else ""))
    if get_origin(kind) is tuple:
        return _convert_tuple(key, value, get_args(kind), wrong, texts)
    if kind is bool:
        words = {
            "true": True,
            "yes": True,
            "1": True,
            "on": True,
            "false": False,
            "no": False,
            "0": False,
            "off": False,
        }
        if texts and isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if not isinstance(value, bool):
            raise wrong
        return value
    if kind is str:
        if not isinstance(value, str):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float) if texts else (int, float)):
        raise wrong
    try:
        number = kind(value)
        if number != float(value) or not math.isfinite(number):
            raise wrong
    except (ValueError, OverflowError):
        raise wrong from None
    return number


def _convert_tuple(key: str, value: Any, kinds: tuple[Any, ...], wrong: UserError, texts: bool) -> tuple[Any, ...]:
    if isinstance(value, str) and texts:
        separator = "x" if "," not in value and kinds[0] is int else ","
        value = [part.strip() for part in _inside(value.strip()).split(separator) if part.strip()]
    elif isinstance(value, (int, float)):
        value = [value]
    elif not isinstance(value, (tuple, list)):
        raise wrong
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    elif len(value) == 1 and len(kinds) == 2:  # one number serves for both: size=256 is 256 x 256
        value = list(value) * 2
    if len(value) != len(kinds):
        raise wrong
    return tuple(convert(key, part, kind, texts=texts) for part, kind in zip(value, kinds, strict=True))


def _inside(text: str) -> str:
    """The text without the one pair of brackets around all of it; names may hold some of their own."""
    inner = text[1:-1]
    for opening, closing in ("()", "[]"):
        first, closed = inner.find(opening), inner.find(closing)
        # In (a),(b) the first bracket is closed before the last.
        if text[:1] + text[-1:] == opening + closing and (closed < 0 or 0 <= first < closed):
            return inner
    return text


def _describe(kind: Any) -> str:
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        one = {int: "whole numbers", float: "numbers", str: "words"}[parts[0]]
        return (
            f"a list of {one} separated by commas"
            if parts[-1] is Ellipsis
            else f"{len(parts)} {one} separated by commas"
        )
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}[kind]
