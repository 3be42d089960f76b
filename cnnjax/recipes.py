"""Recipes: Python files that hold a config, with variants and overrides laid over it.

A recipe is a Python file that holds `config = Experiment(...)` and, if it has variants, `variants = {"smoke":
{"train.steps": 3, ...}}`. `load` reads it, lays the variant and the overrides from the command line over it, and
validates the whole; every mistake is a UserError of one sentence. A run folder keeps the resolved config as JSON, and
nothing ever reads Python from there.
"""

import importlib.util
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnjax.config import Experiment, flat, override, validate
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
