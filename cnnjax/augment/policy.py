"""Settings of many options under one name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from cnnjax.config import AugmentConfig

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "none": {},
    "gentle": {"rotation": 8.0, "shift": (0.08, 0.08), "shear": 0.3, "zoom": 0.08},
    # Its rescaling by 1/255 is normalize=unit, which is left to the recipe, since evaluation has to do the same.
    "strong": {
        "rotation": 40.0,
        "shift": (0.2, 0.2),
        "shear": 0.2,
        "zoom": 0.2,
        "flip": True,
        "channel_shift": 9.0,
        "fill": "nearest",
    },
}
"""Two settings from practice; shear is in degrees, as in Keras, so that of both is next to nothing."""


def resolve(config: AugmentConfig) -> AugmentConfig:
    """Returns the config with the preset's values wherever it has its default; values set explicitly stay.

    A value that is set to its default cannot be told from one that is not set: with a preset, an option is reduced to
    little but not switched off.
    """
    preset = PRESETS[config.preset]
    standard = AugmentConfig()
    chosen = {name: value for name, value in preset.items() if getattr(config, name) == getattr(standard, name)}
    return dataclasses.replace(config, preset="none", **chosen)
