"""A config by dotted keys: read from texts by the types of its fields, laid flat, compared, and as JSON."""

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any

from cnnjax.config.fields import convert
from cnnjax.config.schema import Experiment
from cnnjax.config.validate import validate
from cnnjax.core.errors import UserError


def override(config: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Returns the config with dotted keys replaced; texts are read by the types of the fields."""
    changes: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = _locate(key)
        hint = options()[key].type
        changes.setdefault(section, {})[name] = convert(f"config.{key}", value, hint, texts=True)
    sections = {name: dataclasses.replace(getattr(config, name), **items) for name, items in changes.items()}
    return dataclasses.replace(config, **sections)


ALIASES = {
    "data.source": ("data", "dataset", "dataset_path", "data_path"),
    "data.batch_size": ("batch", "batchsize", "bs", "train_batch_size"),
    "data.size": ("image_size", "img_size", "imgsz", "crop_size", "resolution"),
    "data.threads": ("workers", "num_workers", "num_threads"),
    "data.val_fraction": ("val_split", "validation_split", "valid_pct"),
    "augment.flip": ("hflip", "horizontal_flip"),
    "augment.brightness": ("color_jitter",),
    "model.name": ("arch", "architecture", "backbone", "model"),
    "model.init": ("pretrained", "weights", "checkpoint_path"),
    "model.num_classes": ("classes", "n_classes", "num_class"),
    "model.dtype": ("amp", "precision", "fp16", "bf16"),
    "model.dropout": ("dropout_rate", "drop"),
    "optimizer.name": ("opt", "optimizer"),
    "optimizer.lr": ("learning_rate", "base_lr", "eta"),
    "optimizer.weight_decay": ("wd", "decay"),
    "optimizer.clip_norm": ("clip", "clip_grad", "grad_clip", "max_grad_norm"),
    "optimizer.schedule": ("scheduler", "sched", "lr_schedule", "lr_scheduler"),
    "optimizer.warmup_epochs": ("warmup", "warmup_steps"),
    "train.epochs": ("epoch", "n_epochs", "num_epochs", "max_epochs", "num_train_epochs"),
    "train.loss": ("criterion", "loss_fn", "objective"),
    "train.label_smoothing": ("smoothing",),
    "train.seed": ("random_seed", "random_state"),
    "train.accumulate": ("grad_accum", "grad_accum_steps", "gradient_accumulation_steps", "accum_steps"),
    "train.early_stopping": ("patience",),
    "train.ema": ("model_ema", "ema_decay"),
}
"""What other libraries call an option."""


def _locate(key: str) -> tuple[str, str]:
    if key not in options():
        meant = suggestion(key)
        hint = f"; did you mean config.{meant}?" if meant else "; cnnjax train --config FILE --print_config lists all"
        raise UserError(f"unknown key config.{key}{hint}")
    section, _, name = key.partition(".")
    return section, name


def suggestion(key: str) -> str | None:
    """Returns the option that a wrong key means: of its name, of what other libraries call it, or of a near one."""
    section, _, name = key.rpartition(".")
    known = sorted(options(), key=lambda other: not other.startswith(f"{section}."))  # of the same section first
    ends = [other.rpartition(".")[2] for other in known]
    name = name.lower().replace("-", "_")
    if name in ends:
        return known[ends.index(name)]
    if aliased := next((option for option, words in ALIASES.items() if name in words), None):
        return aliased
    near = difflib.get_close_matches(name, ends, n=1, cutoff=0.75)
    return known[ends.index(near[0])] if near else None


def flat(config: Experiment) -> dict[str, Any]:
    """Returns {"data.batch_size": 128, ...}."""
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


def differences(old: Experiment, new: Experiment) -> dict[str, tuple[Any, Any]]:
    """Returns {key: (old, new)} for the keys that differ and can change the result of a run."""
    before, after, fields = flat(old), flat(new), options()
    return {
        key: (before[key], after[key])
        for key in before
        if before[key] != after[key] and not fields[key].metadata["free"]
    }


def to_json(config: Experiment) -> dict[str, Any]:
    """Returns the config as nested dicts for config.json."""
    return dataclasses.asdict(config)


def from_json(document: Mapping[str, Mapping[str, Any]]) -> Experiment:
    """Returns the config that `to_json` wrote; keys that this version does not know are a UserError."""
    if not isinstance(document, Mapping) or not all(isinstance(part, Mapping) for part in document.values()):
        raise UserError("the saved config is not made of sections of options; restore config.json from a copy")
    values = {f"{section}.{name}": value for section, part in document.items() for name, value in part.items()}
    return validate(override(Experiment(), values))
