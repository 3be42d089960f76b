"""Published weights as a run folder like any other, and a run's weights as a file for other libraries."""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig, validate
from cnnjax.core import keys, logs, trees
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.core.rundir import RunDir
from cnnjax.core.statistics import Statistics
from cnnjax.data import Dataset
from cnnjax.models import Card, Model, create_model
from cnnjax.models.base import MODELS, find, resolve_alias
from cnnjax.models.cards import Weights
from cnnjax.models.model import from_flat
from cnnjax.optim import optimizers
from cnnjax.runs.run import CONVERTED, open_run
from cnnjax.runs.workdir import describe_run
from cnnjax.training.checkpoint import Checkpoints
from cnnjax.training.state import Progress, create_state
from cnnjax.weights import bridge, detect
from cnnjax.weights import files as weight_files


def convert(
    name: str,
    path: str | Path,
    workdir: str | Path,
    *,
    source: bridge.Source | None = None,
    tag: str | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    allow_pickle: bool = False,
) -> RunDir:
    """Makes a run folder of a file of weights.

    Args:
      name: the model; "timm/efficientnet_b2" where a library's form differs from ours, in padding or epsilon.
      path: the file, see `weights.files.read`.
      workdir: a new or empty folder.
      source: whose names the file uses; None: found from them.
      tag: which of the source's published weights these are, for the size and normalization of the images; with @224
        where one was measured at several sides; None: the source's first in weights.csv, which is said.
      num_classes: another number than the file's, or a file without a classifier, begins with a new head.
      class_names: of the outputs, in order; without them classes are called by their numbers.
      allow_pickle: see `weights.files.read`.

    Raises:
      UserError: the file does not fit the model, the folder is not empty, ...; nothing is written.
    """
    run = RunDir.new(workdir)
    if repeated := [one for one, count in Counter(class_names).items() if count > 1]:
        raise UserError(f"the class name {repeated[0]} stands for several outputs; give each a name of its own")
    name = resolve_alias(name)
    state, card = weight_files.read(path, allow_pickle=allow_pickle), find(name).card
    if source is None and tag:
        source = cast(Any, next((row.source for row in card.weights if _has_tag(row, tag)), None))
    source = source or detect.find_source(create_model(name), state)
    _check_form(card, name, source)
    published = _published(card, source, tag)
    side = published.side if published else card.input_size[0]
    guess = create_model(name, input_size=(side, side, card.input_size[2]))
    channels = detect.channels_in(guess, state, source)
    headless, found = detect.lacks_head(guess, state, source), detect.classes_in(guess, state, source)
    if headless and num_classes is None:
        raise UserError(f"{path} has no classifier; give --num_classes=N for a new one, to be trained")
    model = create_model(name, num_classes or found, input_size=(side, side, channels))
    new = detect.new_leaves(model, state, source)
    variables = bridge.read_variables(model, state, source, new=new)
    names = tuple(class_names) or tuple(map(str, range(model.num_classes)))
    if len(names) != model.num_classes:
        raise UserError(
            f"there are {len(names)} class names for {model.num_classes} outputs of {name}; give one for each"
        )
    if new:
        variables = from_flat(trees.flatten(variables) | jax.device_get(model.draw(keys.key(0, "init"), new)))
    config, dataset = _describe(model, published, names)

    checkpoints = Checkpoints(run.checkpoints)
    try:
        try:
            first = create_state(variables, optimizers.optimizer(config.optimizer), average=False)
            checkpoints.save(first, Progress(finished="converted"))
        finally:
            checkpoints.close()
        describe_run(run, config, dataset)
    except BaseException:  # the folder was new or empty: nothing else is lost
        shutil.rmtree(run.root, ignore_errors=True)
        raise
    logs.say(f"{name}: {trees.size(variables['params']):,} parameters from {path}, in the names of {source}")
    _say_new(model, new, found=None if headless else found, others=detect.without_auxiliary(model, state, source))
    _say_images(model, published)
    logs.say(f"it is a run folder now: {run.root}")
    return run


def _say_new(model: Model, new: frozenset[str], *, found: int | None, others: list[str]) -> None:
    """Says which leaves the file did not give.

    Args:
      found: the number of classes of its head; None: it has none.
      others: models without auxiliary heads that have the very names of the file.
    """
    if head := sorted(new - model.auxiliary_leaves):
        why = "where the file has no head" if found is None else f"instead of {found}"
        logs.say(f"new for {model.num_classes} classes {why}: {', '.join(head)}")
    if beside := sorted(new & model.auxiliary_leaves):
        hint = "".join(f"; --arch {one} is the model of {one.partition('/')[0]}, which has none" for one in others)
        logs.say(f"new for {model.num_classes} classes, since auxiliary heads are missing: {', '.join(beside)}{hint}")


def _say_images(model: Model, published: Weights | None) -> None:
    """Says for which weights' images the run is made, that it could be for others', and what they do not tell."""
    height, width, channels = model.input_size
    known = _levels(published or model.card, channels)
    levels = "" if known else f"; normalized to -1 .. 1, since the means of {channels} channels are not known"
    if published is None:
        return logs.say(f"images as the card of {model.name} has them, {height} x {width}{levels}")
    sets = len({row.tag for row in model.card.weights if row.source == published.source})
    more = f"; --tag names another of {sets} sets" if sets > 1 else ""
    logs.say(f"images as for {published.source} {published.tag}, {published.side} x {published.side}{levels}{more}")


def _levels(images: Weights | Card, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """The mean and the deviation that images are normalized by; None where they are not known for these channels."""
    mean, std = images.mean, images.std
    return None if mean is None or std is None or len(mean) != channels else (mean, std)


def export(workdir: str | Path, path: str | Path, *, source: bridge.Source | None = None) -> None:
    """Writes a run's weights as a .safetensors file in another library's names and layouts.

    Args:
      source: the library; None: the one that the model's name means.
    """
    run = open_run(workdir)
    model = run.model
    source = source or next(iter(detect.sources_of(model)), None)
    if source is None:
        raise UserError(f"no other library has {model.name}, so its weights cannot be written for one")
    _check_form(model.card, model.name, source)
    weight_files.write(path, bridge.write_state(model, run.variables, source))
    logs.say(f"{path}: {model.name} in the names of {source}")


def _check_form(card: Card, name: str, source: str) -> None:
    """Refuses another library's form of the model, which may have the same names; tells where names cannot tell."""
    plain = name.rpartition("/")[2]
    own = not card.published or card.published.source == source
    forms = [form for form in (f"{source}/{plain}", f"{source}/tf_{plain}") if form in MODELS]
    if forms and not own and "/" not in name:
        raise UserError(f"{source}'s {name} is built otherwise than {name}; take {' or '.join(forms)} for it")
    if "/" in name and not name.startswith(f"{source}/"):
        raise UserError(f"{name} is built otherwise than {source}'s {plain}; take another form for it")
    if forms and own and "/" not in name and card.published:
        logs.say(f"{name} is taken for {card.published.reference}; {source}'s own {plain} is called {forms[0]} here")


def _has_tag(row: Weights, tag: str) -> bool:
    """Whether a tag names this row: IMAGENET1K_V1, resnet18.a1_in1k or a1_in1k, and with the side a1_in1k@224."""
    tag, _, side = tag.partition("@")
    return tag in (row.tag, row.tag.partition(".")[2]) and side in ("", str(row.side))


def _published(card: Card, source: str, tag: str | None) -> Weights | None:
    """The row of weights.csv whose images these weights want."""
    rows = [row for row in card.weights if row.source == source]
    if tag is None:
        return next(iter(rows), card.weights[0] if card.weights else None)
    found = next((row for row in rows if _has_tag(row, tag)), None)
    if found is None:
        raise UserError(f"no weights of {source} have the tag {tag}{nearest(tag, [row.tag for row in rows])}")
    return found


def _describe(model: Model, published: Weights | None, names: tuple[str, ...]) -> tuple[Experiment, Dataset]:
    """The config and the data description of a run that was never trained here."""
    card, (height, width, channels) = model.card, model.input_size
    images = published or card
    mean, std = _levels(images, channels) or ((127.5,) * channels, (127.5,) * channels)
    # Whole pixels as timm counts them; torchvision's crops are such quotients of whole sizes, but for the last digit.
    size = (int(height / images.crop + 1e-3), int(width / images.crop + 1e-3))
    config = validate(
        Experiment(
            data=DataConfig(
                source=CONVERTED,
                batch_size=32,
                resize=images.resize,
                size=size,
                interpolation=images.interpolation,
                channels=channels,
                val_fraction=0.0,
                test_fraction=0.0,
            ),
            augment=AugmentConfig(crop="center", normalize="fixed", mean=mean, std=std),
            model=ModelConfig(name=model.name, num_classes=model.num_classes, input_size=model.input_size),
            optimizer=OptimizerConfig(name="sgd", lr=0.0, momentum=0.0),
            train=TrainConfig(steps=1),
        )
    )
    variance = np.square(np.asarray(std, np.float64))
    order = np.argsort(-variance, kind="stable")
    statistics = Statistics(
        mean, std, _rows(np.diag(variance)), tuple(variance[order].tolist()), _rows(np.eye(channels)[:, order])
    )
    rule = {name: getattr(config.data, name) for name in ("resize", "size", "interpolation")}
    shape = (*size, channels)
    dataset = Dataset(Path(), names, False, {}, shape, "pixels", rule, statistics, "", (), {})
    return config, dataset


def _rows(matrix: HostArray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
