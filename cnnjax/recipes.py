"""Recipes: Python files read, overrides laid over them, every value checked, and configs as JSON.

A recipe is a Python file that holds `config = Experiment(...)` and, if it has variants, `variants = {"smoke":
{"train.steps": 3, ...}}`. `load` reads it, lays the variant and the overrides from the command line over it, and
validates the whole; every mistake is a UserError of one sentence. A run folder keeps the resolved config as JSON, and
nothing ever reads Python from there.
"""

import dataclasses
import functools
import importlib.util
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cnnjax.config import Experiment
from cnnjax.core.errors import UserError
from cnnjax.core.registry import look_here, nearest


@dataclass(frozen=True)
class Recipe:
    """A loaded config file: its name (of the default workdir), the experiment, and where changed values came from."""

    name: str
    config: Experiment
    origin: Mapping[str, str]


# ---------------------------------------------------------------- reading


def load(path: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """Reads FILE[:variant], lays `overrides` ({"optimizer.lr": "0.1"}) over it and validates the result.

    Raises:
      UserError: no such file or variant, an unknown key, a value of the wrong type or out of its range.
    """
    file, variant = _find(path)
    module = _execute(file)
    config, variants = getattr(module, "config", None), getattr(module, "variants", {})
    if not isinstance(config, Experiment):
        raise UserError(f"{file} defines no `config = Experiment(...)`; see configs/lenet_digits.py for the form")
    if not _are_variants(variants):
        raise UserError(
            f'{file}: variants are no {{"NAME": {{"train.steps": 3, ...}}}}; give each name its keys and values'
        )
    origin = {key: str(file) for key, value in flat(config).items() if value != flat(Experiment())[key]}
    name = file.stem
    if variant:
        if variant not in variants:
            raise UserError(
                f"{file} has no variant {variant}{nearest(variant, variants) if variants else '; it has none at all'}"
            )
        config, name = override(config, variants[variant]), f"{file.stem}_{variant}"
        origin |= dict.fromkeys(variants[variant], f"variant {variant}")
    if overrides:
        config = override(config, overrides)
        origin |= dict.fromkeys(overrides, "command line")
    return Recipe(name, validate(config), origin)


def load_config(path: str, overrides: Mapping[str, str] | None = None) -> Experiment:
    """Returns the config of `load` alone, for Python: `train(load_config("configs/lenet_digits.py"), "runs/a")`."""
    return load(path, overrides).config


def _are_variants(found: Any) -> bool:
    if not (isinstance(found, Mapping) and all(isinstance(values, Mapping) for values in found.values())):
        return False
    return all(isinstance(key, str) for names in (found, *found.values()) for key in names)


def _find(path: str) -> tuple[Path, str]:
    file, _, variant = path.rpartition(":") if ":" in path and not Path(path).exists() else (path, "", "")
    found = Path(file)
    if not found.is_file():
        there = [str(other) for other in sorted(found.parent.glob("*.py"))] if found.parent.is_dir() else []
        hint = nearest(file, there) if there else "; name a Python file such as configs/lenet_digits.py"
        raise UserError(f"no config file {file}{hint}")
    return found, variant


def _execute(file: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"cnnjax_recipe_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is no Python file; a config is a Python file with `config = Experiment(...)`")
    module = importlib.util.module_from_spec(spec)
    look_here()
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(f"{file} fails with {type(error).__name__}: {error}; mend the config file") from error
    return module


def override(config: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Returns the config with dotted keys replaced; texts are read by the types of the fields."""
    for key, value in values.items():
        section, name = _locate(key)
        part = getattr(config, section)
        hint = _types(section)[name]
        part = dataclasses.replace(part, **{name: _convert(f"config.{key}", value, hint)})
        config = dataclasses.replace(config, **{section: part})
    return config


@functools.cache
def _types(section: str) -> dict[str, Any]:
    return get_type_hints(type(getattr(Experiment(), section)))


def _locate(key: str) -> tuple[str, str]:
    known = options()
    if key not in known:
        # A key without its section ("lr") is as common a slip as a misspelt one.
        ends = [name for name in known if name.split(".")[1] == key.rpartition(".")[2]]
        hint = (
            f"; did you mean config.{ends[0]}?"
            if ends
            else nearest(f"config.{key}", [f"config.{name}" for name in known])
        )
        raise UserError(f"unknown key config.{key}{hint}")
    section, _, name = key.partition(".")
    return section, name


def flat(config: Experiment) -> dict[str, Any]:
    """Returns {"data.batch_size": 128, ...}."""
    for part in dataclasses.fields(config):
        kind = type(getattr(Experiment(), part.name))
        if not isinstance(getattr(config, part.name), kind):
            raise UserError(f"config.{part.name} is not a section of options; it must be {kind.__name__}(...)")
    return {
        f"{section}.{name}": value
        for section, part in dataclasses.asdict(config).items()
        for name, value in part.items()
    }


@functools.cache
def options() -> dict[str, dataclasses.Field[Any]]:
    """Returns the field of every dotted key, for its documentation and range."""
    default = Experiment()
    return {
        f"{part.name}.{item.name}": item
        for part in dataclasses.fields(Experiment)
        for item in dataclasses.fields(getattr(default, part.name))
    }


def _convert(key: str, value: Any, hint: Any) -> Any:
    """Reads a text by the type of its field, and holds any other value against it."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if type(None) in alternatives and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    kind = next(alternative for alternative in alternatives if alternative is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise UserError(f"{key}={value} is not one of {', '.join(get_args(kind))}")
        return value
    wrong = UserError(f"{key}={value} is not {_describe(kind)}" + (" or none" if type(None) in alternatives else ""))
    if get_origin(kind) is tuple:
        return _convert_tuple(key, value, get_args(kind), wrong)
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
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        if not isinstance(value, bool):
            raise wrong
        return value
    if kind is str:
        if not isinstance(value, str):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise wrong
    try:
        number = kind(value)
        if number != float(value) or not math.isfinite(number):
            raise wrong
    except (ValueError, OverflowError):
        raise wrong from None
    return number


def _convert_tuple(key: str, value: Any, kinds: tuple[Any, ...], wrong: UserError) -> tuple[Any, ...]:
    if isinstance(value, str):
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
    return tuple(_convert(key, part, kind) for part, kind in zip(value, kinds, strict=True))


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


# ---------------------------------------------------------------- checking


def validate(config: Experiment) -> Experiment:
    """Checks every value's type and range and what several keys say together.

    Returns:
      The config with every value of its field's own type (a recipe may write lr=1 or size=[32, 32]) and a source's
      whole path.
    """
    config = override(config, flat(config))
    values = flat(config)
    for key, item in options().items():
        value = values[key]
        for number in value if isinstance(value, tuple) else (value,):
            low, high = item.metadata["low"], item.metadata["high"]
            if isinstance(number, (int, float)) and not (low if low is not None else number) <= number <= (
                high if high is not None else number
            ):
                bounds = f"{_plain(low)} or more" if high is None else f"between {_plain(low)} and {_plain(high)}"
                raise UserError(f"config.{key}={value} is out of range; it must be {bounds}")
    _validate_together(config)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=_anchored(config.data.source)))


def _anchored(source: str) -> str:
    """A source by its whole path: a run folder is opened from any directory. $VARIABLES and ~ stay what they are."""
    kind, _, place = source.partition(":")
    if kind not in ("folder", "zip", "table", "arrays", "idx") or not place or place[0] in "$~":
        return source
    return f"{kind}:{Path(place).absolute()}"


def _plain(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


def _validate_together(config: Experiment) -> None:
    data, augment, optimizer, train = config.data, config.augment, config.optimizer, config.train
    rules = [
        (
            data.resize in ("none", "auto") or data.size is not None,
            f"config.data.resize={data.resize} needs a size; give config.data.size=HEIGHT,WIDTH",
        ),
        (
            data.resize != "none" or data.size is None,
            "config.data.size belongs to a rule of resizing; give config.data.resize=center, squash or pad with it",
        ),
        (
            data.center_crop is None or data.resize in ("center", "auto"),
            f"config.data.center_crop belongs to config.data.resize=center, not to {data.resize}",
        ),
        (
            not data.class_names or data.source.partition(":")[0] in ("idx", "arrays"),
            f"config.data.class_names belongs to idx: and arrays:, not to {data.source}, whose classes have names",
        ),
        (
            data.val_fraction + data.test_fraction < 1,
            "config.data.val_fraction and config.data.test_fraction leave nothing to train on; "
            "their sum must be below 1",
        ),
        (
            augment.scale[0] <= augment.scale[1] and augment.ratio[0] <= augment.ratio[1],
            "config.augment.scale and config.augment.ratio are (smallest, largest); the first may not be the larger",
        ),
        (
            augment.shorter[0] <= augment.shorter[1],
            "config.augment.shorter is (smallest, largest); the first may not be the larger",
        ),
        (
            data.batch_size % train.accumulate == 0,
            f"config.train.accumulate={train.accumulate} does not divide config.data.batch_size={data.batch_size}; "
            "choose a divisor",
        ),
        (
            not (augment.flip and augment.alternate),
            "config.augment.flip=true and config.augment.alternate=true are two rules for one mirror; choose one",
        ),
        (
            augment.normalize == "fixed" or (augment.mean, augment.std) == (None, None),
            f"config.augment.mean and std belong to config.augment.normalize=fixed, not to {augment.normalize}",
        ),
        (
            not augment.pad or augment.crop == "random",
            f"config.augment.pad={augment.pad} belongs to config.augment.crop=random, not to {augment.crop}",
        ),
        (
            optimizer.other_lr is None or (optimizer.lr > 0 and optimizer.name in ("muon", "airbench_muon")),
            f"config.optimizer.other_lr={optimizer.other_lr} belongs to config.optimizer.name=muon with lr above 0",
        ),
        (
            optimizer.schedule != "step" or optimizer.drop_epochs,
            "config.optimizer.schedule=step needs config.optimizer.drop_epochs, such as 30,60,80",
        ),
        (
            list(optimizer.drop_epochs) == sorted(optimizer.drop_epochs),
            "config.optimizer.drop_epochs must rise, such as 30,60,80",
        ),
        (
            train.profile is None or train.profile[0] <= train.profile[1],
            "config.train.profile is (first step, last step); the first may not be the later",
        ),
        (bool(config.evaluate.scales), "config.evaluate.scales is empty; 1 is the picture as it is"),
        (train.steps is not None or train.epochs > 0, "config.train.epochs=0 trains nothing; it must be above 0"),
        (
            not train.label_smoothing or train.loss == "softmax",
            f"config.train.label_smoothing belongs to config.train.loss=softmax, not to {train.loss}",
        ),
    ]
    for holds, sentence in rules:
        if not holds:
            raise UserError(sentence)


def differences(old: Experiment, new: Experiment) -> dict[str, tuple[Any, Any]]:
    """Returns {key: (old, new)} for the keys that differ and can change the result of a run."""
    before, after, fields = flat(old), flat(new), options()
    return {
        key: (before[key], after[key])
        for key in before
        if before[key] != after[key] and not fields[key].metadata["free"]
    }


# ---------------------------------------------------------------- JSON


def to_json(config: Experiment) -> dict[str, Any]:
    """Returns the config as nested dicts for config.json."""
    return dataclasses.asdict(config)


def from_json(document: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """The inverse of `to_json`; keys that this version does not know are a UserError."""
    if not isinstance(document, Mapping) or not all(isinstance(part, Mapping) for part in document.values()):
        raise UserError("the saved config is not made of sections of options; restore config.json from a copy")
    values = {f"{section}.{name}": value for section, part in document.items() for name, value in part.items()}
    return validate(override(Experiment(), values))
