"""What several options of a config say together."""

import dataclasses
from pathlib import Path

from cnnjax.config.schema import Experiment
from cnnjax.core.errors import UserError


def validate(config: Experiment) -> Experiment:
    """Checks what several keys say together, which the sections cannot see.

    Returns:
      The config with a source's whole path: a run folder is opened from any directory.
    """
    for holds, sentence in _rules(config):
        if not holds:
            raise UserError(sentence)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, source=_anchored(config.data.source)))


def _anchored(source: str) -> str:
    """Returns a source by its whole path; $VARIABLES and ~ stay what they are."""
    kind, _, place = source.partition(":")
    if kind not in ("folder", "zip", "table", "arrays", "idx") or not place or place[0] in "$~":
        return source
    return f"{kind}:{Path(place).absolute()}"


def _rules(config: Experiment) -> list[tuple[object, str]]:
    """Returns (holds, what is wrong where it does not) of each rule."""
    data, augment, optimizer, train = config.data, config.augment, config.optimizer, config.train
    return [
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
        (bool(config.evaluate.scales), "config.evaluate.scales is empty; 1 is the image as it is"),
        (train.steps is not None or train.epochs > 0, "config.train.epochs=0 trains nothing; it must be above 0"),
        (
            not train.label_smoothing or train.loss not in ("sigmoid", "mse", "margin"),
            f"config.train.label_smoothing belongs to config.train.loss=softmax, not to {train.loss}",
        ),
    ]
