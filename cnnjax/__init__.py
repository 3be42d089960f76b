"""cnnjax: train, evaluate and ship convolutional image classifiers in JAX.

The public API in one screen; importing it loads no jax until a name is used.

  load_config(path, overrides=None)     a recipe file as a config
  train(config, workdir)                prepare, train or go on, evaluate: all that the command line does
  evaluate(workdir, split=None)         exact metrics of a run on a split
  predict(workdir, paths)               classes and probabilities of picture files
  open_run(workdir)                     a run to predict with: .config .classes .variables .predict(...) .logits(...)
  create_model(name, num_classes=...)   a model: .init(key) .apply(variables, images)
  list_models()                         the registered names
  register_model(name, input_size=...)  decorates one's own Flax module
  prepare(config, data_dir=None)        its source as prepared records
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cnnjax.data import prepare as prepare
    from cnnjax.models import create_model as create_model
    from cnnjax.models import list_models as list_models
    from cnnjax.models import register_model as register_model
    from cnnjax.recipes import load_config as load_config
    from cnnjax.run import evaluate as evaluate
    from cnnjax.run import open_run as open_run
    from cnnjax.run import predict as predict
    from cnnjax.run import train as train

_HOME = {
    "load_config": "cnnjax.recipes",
    "prepare": "cnnjax.data",
    "create_model": "cnnjax.models",
    "list_models": "cnnjax.models",
    "register_model": "cnnjax.models",
    "train": "cnnjax.run",
    "evaluate": "cnnjax.run",
    "predict": "cnnjax.run",
    "open_run": "cnnjax.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module cnnjax has no attribute {name}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOME, "__version__"])
