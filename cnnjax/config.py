"""Every option of a run, once: what it is called, its type, its range, its default and what it does.

A recipe is a Python file that holds `config = Experiment(...)` and, if it has variants, `variants = {"smoke": {"train.steps":
3, ...}}`. `load` reads it, lays the variant and the overrides from the command line over it, and validates the whole;
every mistake is a UserError of one sentence. A run folder keeps the resolved config as JSON, and nothing ever reads Python
from there.
"""

import dataclasses
import importlib.util
import math
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest


def option(default: Any, doc: str, *, low: float | None = None, high: float | None = None, free: bool = False) -> Any:
    """A config field.

    Args:
      default: its value unless a recipe or the command line says otherwise.
      doc: one line for `--print_config`.
      low, high: inclusive range of a number (of each number of a tuple).
      free: it cannot change the result of a run, so it may differ when the run is resumed.
    """
    return field(default=default, metadata={"doc": doc, "low": low, "high": high, "free": free})


@dataclass(frozen=True)
class Data:
    """Where the pictures come from, how they are prepared and fed."""

    source: str = option(
        "digits",
        "digits, mnist, fashion_mnist, cifar10, cifar100, folder:PATH, zip:FILE, table:FILE.csv, arrays:FILE.npz, idx:FOLDER, tfds:NAME or fake:imagenet",
    )
    batch_size: int = option(128, "pictures a step, over all devices", low=1)
    resize: Literal["none", "center", "squash", "pad", "auto"] = option(
        "none",
        "none: pictures have one size; center: cover the size, cut the centre; squash: both sides; pad: whole picture on a canvas; auto: from the pictures",
    )
    size: tuple[int, int] | None = option(None, "(height, width) of the prepared pictures", low=1, high=4096)
    channels: int | None = option(
        None, "1 grey, 3 RGB or the number of bands; none: as the first picture has", low=1, high=512
    )
    max_value: int = option(65535, "the value of a 16-bit picture that becomes 255", low=1, high=65535)
    class_names: tuple[str, ...] = option((), "names of the classes of idx: and arrays:, in label order")
    val_fraction: float = option(
        0.1, "share of the training pictures set apart for validation where a source has none", low=0, high=0.9
    )
    test_fraction: float = option(
        0.2, "share of all pictures set apart for the test where a source has none", low=0, high=0.9
    )
    split_seed: int = option(0, "seed of those two splits", low=0, high=2**32 - 1)
    bad_pictures: Literal["error", "skip"] = option("error", "what prepare does with a file that is no whole picture")
    max_pixels: int = option(178_956_970, "a picture of more pixels is refused as a decompression bomb", low=1)
    max_bytes: int = option(64 << 20, "a file of more bytes is refused", low=1)
    store: Literal["auto", "pixels", "encoded"] = option(
        "auto", "pixels: uint8 arrays of one size; encoded: the files as they are; auto: pixels under 64 GB"
    )
    loader: Literal["auto", "resident", "streamed"] = option(
        "auto", "resident: the split on the device; streamed: batch by batch; auto: by size", free=True
    )
    threads: int = option(0, "threads that read and decode; 0: as many as cores", low=0, high=1024, free=True)
    prefetch: int = option(4, "batches read ahead when streamed", low=1, high=1024, free=True)


@dataclass(frozen=True)
class Augment:
    """How training pictures are varied and how all pictures are normalised."""

    preset: Literal["none", "gentle", "strong"] = option("none", "the two settings from practice; other keys add to it")
    crop: Literal["center", "random", "resized"] = option(
        "random", "how a training picture larger than the model's input is cut; resized: random area and aspect"
    )
    scale: tuple[float, float] = option(
        (0.08, 1.0), "area of a resized crop, as shares of the picture", low=0.001, high=1
    )
    ratio: tuple[float, float] = option((3 / 4, 4 / 3), "aspect (width / height) of a resized crop", low=0.01, high=100)
    eval_resize: float = option(
        0.875, "centre crop in evaluation of pictures on a canvas: input side / resized shorter side", low=0.1, high=1
    )
    pad: int = option(0, "pixels of zero padding before the random crop", low=0, high=512)
    flip: bool = option(False, "mirror left-right, probability 1/2")
    vertical_flip: bool = option(False, "mirror top-bottom, probability 1/2")
    rotation: float = option(0.0, "largest rotation, degrees", low=0, high=180)
    shift: tuple[float, float] = option(
        (0.0, 0.0), "largest shift (vertical, horizontal), as shares of height and width", low=0, high=1
    )
    shear: float = option(0.0, "largest shear, degrees", low=0, high=89)
    zoom: float = option(0.0, "zoom factors lie in [1 - zoom, 1 + zoom]", low=0, high=0.99)
    fill: Literal["constant", "nearest", "reflect", "wrap"] = option(
        "nearest", "what rotation, shift, shear and zoom bring in from outside the picture"
    )
    brightness: float = option(0.0, "factor drawn from [1 - b, 1 + b]", low=0, high=1)
    contrast: float = option(0.0, "factor drawn from [1 - c, 1 + c], about the picture's mean", low=0, high=1)
    channel_shift: float = option(0.0, "largest shift of each channel, levels of 0-255", low=0, high=255)
    noise: float = option(0.0, "standard deviation of Gaussian noise, levels of 0-255", low=0, high=255)
    pca: float = option(0.0, "standard deviation of AlexNet's PCA colour weights (0.1 in the paper)", low=0, high=10)
    pca_scale: Literal["deviation", "variance"] = option(
        "deviation", "weights multiply the axis' standard deviation (released code) or variance (paper's letter)"
    )
    erase: float = option(0.0, "probability of erasing a random rectangle", low=0, high=1)
    mixup: float = option(0.0, "alpha of mixup's Beta(alpha, alpha); 0: off", low=0, high=100)
    cutmix: float = option(
        0.0, "alpha of CutMix's Beta(alpha, alpha); 0: off; with mixup each batch takes one of them", low=0, high=100
    )
    normalize: Literal["dataset", "mean", "unit", "imagenet"] = option(
        "dataset", "(x - mean) / std of the training set; x - mean; x / 255; ImageNet's usual mean and std"
    )


@dataclass(frozen=True)
class Model:
    """The network and the precision it computes in."""

    name: str = option("lenet5", "a registered name, package.module:Class, or plain:PATTERN")
    num_classes: int | None = option(None, "none: as many as the data has", low=1)
    input_size: tuple[int, int, int] | None = option(
        None, "(height, width, channels) the model sees; none: the data's", low=1, high=4096
    )
    dtype: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "of the computation; auto: bfloat16 on GPU and TPU; parameters are always float32"
    )
    dropout: float | None = option(None, "rate of every dropout layer; none: the model's own", low=0, high=0.99)
    remat: bool = option(False, "recompute activations in the backward pass: less memory, more time")


@dataclass(frozen=True)
class Optimizer:
    """The update rule and the learning rate over the run."""

    name: str = option("sgd", "alexnet_sgd, sgd, nesterov, adam, adamw, rmsprop, rmsprop_tf, lamb, lars, lion or sam")
    lr: float = option(0.01, "base learning rate", low=0)
    momentum: float = option(0.9, "of sgd, nesterov, alexnet_sgd, rmsprop, lars, sam", low=0, high=0.99999)
    b1: float = option(0.9, "first moment's decay (adam, adamw, lamb, lion)", low=0, high=0.99999)
    b2: float = option(0.999, "second moment's decay (adam, adamw, lamb, lion; rmsprop's decay)", low=0, high=0.999999)
    eps: float = option(1e-8, "added to the denominator", low=0, high=1)
    weight_decay: float = option(0.0, "decay as the optimizer's paper has it", low=0, high=1)
    decay_on: Literal["all", "weights"] = option("all", "weights: not on biases and norms")
    sam_rho: float = option(0.05, "radius of sam's ascent step", low=0, high=10)
    l1: float = option(0.0, "penalty l1 * sum |w|, over weights, added to the loss", low=0)
    l2: float = option(0.0, "penalty l2 * sum w^2 / 2, over weights, added to the loss", low=0)
    clip_norm: float = option(0.0, "largest global gradient norm; 0: no clipping", low=0)
    schedule: Literal["constant", "step", "cosine", "polynomial", "linear", "one_cycle", "plateau"] = option(
        "constant", "how the rate changes over the run"
    )
    warmup_epochs: float = option(0.0, "linear rise from 0 to lr", low=0)
    drop_epochs: tuple[float, ...] = option(
        (), "epochs at which the step schedule multiplies the rate by drop_factor", low=0
    )
    drop_factor: float = option(0.1, "of the step and plateau schedules", low=0, high=1)
    final_lr: float = option(
        0.0, "rate at the end, as a share of lr (cosine, polynomial, linear, one_cycle)", low=0, high=1
    )
    power: float = option(1.0, "of the polynomial schedule", low=0.01, high=10)
    plateau_patience: int = option(5, "validations without a lower error before the rate drops", low=1)
    plateau_drops: int = option(3, "the plateau schedule's number of drops; the run ends when one more is due", low=1)


@dataclass(frozen=True)
class Train:
    """How long, with what loss, and what is logged and saved."""

    epochs: float = option(10.0, "passes over the training set", low=0)
    steps: int | None = option(None, "stop after so many steps instead", low=1)
    seed: int = option(0, "seed of weights, order, augmentation and dropout", low=0, high=2**32 - 1)
    loss: Literal["softmax", "sigmoid", "mse"] = option(
        "softmax",
        "softmax or sigmoid cross-entropy (two classes with one output; several labels), or mean squared error",
    )
    label_smoothing: float = option(0.0, "share of the target spread over all classes", low=0, high=0.99)
    accumulate: int = option(1, "micro-batches a step", low=1)
    ema: float = option(
        0.0, "decay of the running average of weights that evaluation uses; 0: off", low=0, high=0.999999
    )
    overfit: int = option(
        0, "train on the same n pictures, without augmentation, dropout and weight decay; 0: off", low=0
    )
    eval_every: float = option(1.0, "epochs between validations", low=0.001)
    early_stopping: int = option(0, "stop after so many validations without a better top-1; 0: off", low=0)
    log_every: int = option(50, "steps between log lines", low=1, free=True)
    log_dead_relu: bool = option(
        False, "log the share of ReLU units that no picture of the batch switches on", free=True
    )
    tensorboard: bool = option(True, "write TensorBoard events", free=True)
    checkpoint_every: float = option(
        300.0, "seconds between checkpoints (and one at each validation and epoch's end)", low=0, free=True
    )
    time_budget: float = option(0.0, "stop, saved, after so many seconds of training; 0: none", low=0, free=True)


@dataclass(frozen=True)
class Evaluate:
    """How a split is evaluated."""

    batch_size: int | None = option(None, "pictures a batch; none: data.batch_size", low=1, free=True)
    views: Literal["single", "ten_crop"] = option(
        "single", "ten_crop: corners and centre and their mirrors, soft-max averaged (AlexNet's test)", free=True
    )


@dataclass(frozen=True)
class Experiment:
    """One recipe, complete: what `cnnjax.train` takes."""

    data: Data = Data()
    augment: Augment = Augment()
    model: Model = Model()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()


@dataclass(frozen=True)
class Recipe:
    """A loaded config file: its name (of the default workdir), the experiment, and where each changed value came from."""

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
    """Returns the config of `load` alone, for use in Python: `train(load_config("configs/lenet_digits.py"), "runs/a")`."""
    return load(path, overrides).config


def _find(path: str) -> tuple[Path, str]:
    file, _, variant = path.rpartition(":") if ":" in path and not Path(path).exists() else (path, "", "")
    found = Path(file)
    if not found.is_file():
        there = [str(other) for other in sorted(found.parent.glob("*.py"))] if found.parent.is_dir() else []
        raise UserError(
            f"no config file {file}{nearest(file, there) if there else '; name a Python file such as configs/lenet_digits.py'}"
        )
    return found, variant


def _execute(file: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"cnnjax_recipe_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise UserError(f"{file} is no Python file; a config is a Python file with `config = Experiment(...)`")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{file} fails with {type(error).__name__}: {error}; mend the config file") from error
    return module


def override(config: Experiment, values: Mapping[str, Any]) -> Experiment:
    """Returns the config with dotted keys replaced; texts are read by the types of the fields."""
    for key, value in values.items():
        section, name = _locate(key)
        part = getattr(config, section)
        hint = get_type_hints(type(part))[name]
        part = dataclasses.replace(part, **{name: _convert(f"config.{key}", value, hint)})
        config = dataclasses.replace(config, **{section: part})
    return config


def _locate(key: str) -> tuple[str, str]:
    known = flat(Experiment())
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


def options() -> dict[str, dataclasses.Field[Any]]:
    """Returns the field of every dotted key, for its documentation and range."""
    return {
        f"{part.name}.{item.name}": item
        for part in dataclasses.fields(Experiment)
        for item in dataclasses.fields(getattr(Experiment(), part.name))
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
        value = [part.strip(" ()[]") for part in value.split(separator) if part.strip(" ()[]")]
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
      The config with every value of its field's own type: a recipe may write lr=1 or size=[32, 32].
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
                bounds = f"between {low:g} and {high:g}" if low is not None and high is not None else f"{low:g} or more"
                raise UserError(f"config.{key}={value} is out of range; it must be {bounds}")
    _validate_together(config)
    return config


def _validate_together(config: Experiment) -> None:
    data, augment, optimizer, train = config.data, config.augment, config.optimizer, config.train
    rules = [
        (
            data.resize in ("none", "auto") or data.size is not None,
            f"config.data.resize={data.resize} needs a size; give config.data.size=HEIGHT,WIDTH",
        ),
        (
            data.val_fraction + data.test_fraction < 1,
            "config.data.val_fraction and config.data.test_fraction leave nothing to train on; their sum must be below 1",
        ),
        (
            augment.scale[0] <= augment.scale[1] and augment.ratio[0] <= augment.ratio[1],
            "config.augment.scale and config.augment.ratio are (smallest, largest); the first must not be above the second",
        ),
        (
            data.batch_size % train.accumulate == 0,
            f"config.train.accumulate={train.accumulate} does not divide config.data.batch_size={data.batch_size}; choose a divisor",
        ),
        (
            not augment.pad or augment.crop == "random",
            f"config.augment.pad={augment.pad} belongs to config.augment.crop=random, not to {augment.crop}",
        ),
        (
            optimizer.schedule != "step" or optimizer.drop_epochs,
            "config.optimizer.schedule=step needs config.optimizer.drop_epochs, such as 30,60,80",
        ),
        (
            list(optimizer.drop_epochs) == sorted(optimizer.drop_epochs),
            "config.optimizer.drop_epochs must rise, such as 30,60,80",
        ),
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
