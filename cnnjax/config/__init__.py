"""Every option of a run: `Experiment` and its sections, checked where they are made.

`schema` has the options, `fields` the check of one value, `validate` what several say together, `parse` the way from
texts, dotted keys and JSON. Recipes are Python files that hold `config = Experiment(...)`: see `cnnjax.recipes`.
"""

from cnnjax.config.parse import differences, flat, from_json, options, override, to_json
from cnnjax.config.schema import (
    AugmentConfig,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    smoke,
)
from cnnjax.config.validate import validate

__all__ = [
    "AugmentConfig",
    "DataConfig",
    "EvaluateConfig",
    "Experiment",
    "ModelConfig",
    "OptimizerConfig",
    "TrainConfig",
    "differences",
    "flat",
    "from_json",
    "options",
    "override",
    "smoke",
    "to_json",
    "validate",
]
