"""Beginning with another run's weights: what its recipe hands on, which leaves are taken over, and what is new."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.augment.normalize import normalize
from cnnjax.config import AugmentConfig, Experiment, override
from cnnjax.core import logs, trees
from cnnjax.core.arrays import HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.models import Model
from cnnjax.models.model import from_flat
from cnnjax.runs.run import open_run, saved_config, saved_dataset


def inherit(config: Experiment, run: RunDir) -> Experiment:
    """Fills in how images are fitted and normalized as the weights of `config.model.init` need it.

    Only what the recipe leaves open is taken over: data.size with its rule and interpolation, model.input_size, and
    augment.normalize=auto. A run that goes on has it all in its own folder.

    Raises:
      UserError: no such run, or one of another model.
    """
    if config.model.init is None:
        return config
    folder = run if run.config.is_file() else RunDir.existing(config.model.init)
    old = saved_config(folder)
    config = override(config, {"model.init": str(Path(config.model.init).resolve())})
    if folder is not run and old.model.name != config.model.name:  # of its own run workdir.py reports it
        raise UserError(
            f"config.model.init={folder.root} holds a {old.model.name}, config.model.name is {config.model.name}; "
            f"set config.model.name={old.model.name}"
        )
    data, model, augment = config.data, config.model, config.augment
    if data.size is None and data.resize in ("none", "auto") and old.data.size is not None:
        size = old.data.size
        if model.input_size and old.model.input_size:  # another input is the same part of the image
            scale = [new / then for new, then in zip(model.input_size[:2], old.model.input_size[:2], strict=True)]
            size = (round(size[0] * scale[0]), round(size[1] * scale[1]))
        data = dataclasses.replace(data, resize=old.data.resize, size=size, interpolation=old.data.interpolation)
    if model.input_size is None and old.model.input_size is not None:
        channels = data.channels or old.model.input_size[2]
        data = dataclasses.replace(data, channels=channels)
        model = dataclasses.replace(model, input_size=(*old.model.input_size[:2], channels))
    if augment.normalize == "auto":
        taken = old.augment if folder is run else _fixed(old.augment, folder, data.channels)
        augment = dataclasses.replace(augment, normalize=taken.normalize, mean=taken.mean, std=taken.std)
    elif folder is not run and augment.normalize in ("unit", "imagenet", "fixed"):
        _compare(augment, old.augment, folder)
    return dataclasses.replace(config, data=data, model=model, augment=augment)


def _compare(augment: AugmentConfig, old: AugmentConfig, folder: RunDir) -> None:
    """Says where a recipe that names its own normalization makes other values than the weights have learned from."""
    statistics = saved_dataset(folder).statistics
    levels = jnp.outer(jnp.array([0, 255]), jnp.ones(len(statistics.mean)))
    seen = normalize(levels, old, statistics)
    try:
        other = not np.allclose(seen, normalize(levels, augment, statistics), atol=0.05)
    except UserError:  # it has figures for other channels, of which the data will tell
        return
    if other:
        logs.say(
            f"config.augment.normalize={augment.normalize} makes other values of images than the weights of "
            f"{folder.root} have learned from; config.augment.normalize=auto takes theirs"
        )


def _fixed(old: AugmentConfig, folder: RunDir, channels: int | None) -> AugmentConfig:
    """How the weights' images were normalized, in figures; the new set's own where channels differ."""
    mode, mean, std = old.normalize, old.mean, old.std
    if mode in ("auto", "dataset", "mean"):
        statistics = saved_dataset(folder).statistics
        mean = statistics.mean
        mode, std = "fixed", (1.0,) * len(mean) if mode == "mean" else statistics.scale
    if mean is not None and channels not in (None, len(mean)):
        mode, mean, std = "dataset", None, None
    return dataclasses.replace(old, normalize=mode, mean=mean, std=std)


def begin(variables: Tree, model: Model, init: str, class_names: Sequence[str]) -> Tree:
    """Returns fresh `variables` with those of the run `init` laid over them, and says what stays fresh.

    Taken over is every leaf of the same shape, except the head (the leaves whose shape depends on the number of
    classes) where the classes or the number of outputs differ; one that was converted without their names serves as
    many others. A first convolution for other channels is made from the old one: for fewer its sum over the old
    channels, shared out, for more the old ones in turn, divided so that a gray image gives the same maps.

    Args:
      variables: {"params", "batch_stats"} as drawn for `model`.
      init: a run folder; its best checkpoint is read.
      class_names: of the new data.

    Raises:
      UserError: another leaf differs, as a dense layer does behind images of another size.
    """
    run = open_run(init)
    old, new = trees.flatten(run.variables), trees.flatten(jax.device_get(variables))
    # Numbers stand for any classes in a converted run; in one that was trained here they are names, as of digits.
    unnamed = not run.dataset.prepared and run.classes == tuple(map(str, range(len(class_names))))
    same = unnamed or tuple(class_names) == run.classes
    # Two classes have two outputs or, under the sigmoid loss, one.
    head = frozenset() if same and run.model.num_classes == model.num_classes else model.head_leaves
    fresh = []
    for path, leaf in new.items():
        if path in head or path not in old:
            fresh.append(path)
        elif old[path].shape == leaf.shape:
            new[path] = np.asarray(old[path])
        elif leaf.ndim == 4 and _only_channels_differ(old[path].shape, leaf.shape):
            new[path] = adapt_channels(np.asarray(old[path]), leaf.shape[2])
            logs.say(f"{path}: {_adapted(old[path].shape[2], leaf.shape[2])}")
        else:
            have, want = ("x".join(map(str, shape)) for shape in (old[path].shape, leaf.shape))
            raise UserError(
                f"{path} of {init} is {have}, but the model here has {want}; set config.model.input_size to "
                f"{','.join(map(str, run.model.input_size))}"
            )
    logs.say(
        f"weights of {init}: {len(new) - len(fresh)} arrays taken over"
        + (f", new: {', '.join(fresh[:6])}{' ...' if len(fresh) > 6 else ''}" if fresh else "")
    )
    return from_flat(new)


def adapt_channels(kernel: HostArray, channels: int) -> HostArray:
    """A kernel [h, w, C, K] for another number of input channels, which sees the same in a gray image."""
    have = kernel.shape[2]
    if channels < have:
        return np.repeat(kernel.sum(2, keepdims=True) / channels, channels, axis=2)
    turn = np.arange(channels) % have
    return np.asarray(kernel[:, :, turn] / np.bincount(turn)[turn][:, None], kernel.dtype)


def _adapted(have: int, channels: int) -> str:
    """What `adapt_channels` does, in words."""
    how = f"each their sum / {channels}" if channels < have else "these in turn, each divided by how often it comes"
    return f"made from {have} channels for {channels}, {how}; a gray image gives the same maps"


def _only_channels_differ(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    return old[:2] == new[:2] and old[3] == new[3]
