"""cnnjax: train, evaluate and ship convolutional image classifiers in JAX.

The public API in one screen; importing it loads no jax until a name is used.

  load_config(path, overrides=None)     a recipe file as a config
  train(config, workdir)                prepare, train or resume, evaluate: all that the command line does
  evaluate(workdir, split=None)         exact metrics of a run on a split
  predict(workdir, paths)               classes and probabilities of image files
  open_run(workdir)                     a run to predict with: .config .classes .variables .predict(...) .logits(...)
  create_model(name, num_classes=...)   a model: .init(key) .apply(variables, images)
  list_models()                         the registered names
  prepare(config, data_dir=None)        its source as prepared records

  Experiment(data=DataConfig(...), augment=AugmentConfig(...), model=ModelConfig(...), optimizer=OptimizerConfig(...),
             train=TrainConfig(...), evaluate=EvaluateConfig(...))    a config, checked where it is made

The pieces for a training loop of one's own, see examples/own_loop.py:

  dataset(images, labels)               a prepared data set of arrays
  loader(split, batch_size)             batches on the devices, resumable at any step
  augmentation(config, dataset, model)  f(batch) -> (images, targets), for inside a jitted step
  evaluate_variables(model, variables, dataset, split="test")

One's own pieces, by decorators; a config names them, or package.module:name:

  register_model(name, input_size=...)  a Flax module            register_view(name)         crops of evaluation
  register_loss(name)                   f(logits, targets)       register_metric(name)       f(probabilities, labels)
  register_optimizer(name)              optax transforms         register_augmentation(name) f(keys, images)
  register_schedule(name)               f(config, progress)      register_callback(name)     a subclass of Callback
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cnnjax.augment.operations import register_augmentation as register_augmentation
    from cnnjax.config import AugmentConfig as AugmentConfig
    from cnnjax.config import DataConfig as DataConfig
    from cnnjax.config import EvaluateConfig as EvaluateConfig
    from cnnjax.config import Experiment as Experiment
    from cnnjax.config import ModelConfig as ModelConfig
    from cnnjax.config import OptimizerConfig as OptimizerConfig
    from cnnjax.config import TrainConfig as TrainConfig
    from cnnjax.data import prepare as prepare
    from cnnjax.evaluation.custom import register_metric as register_metric
    from cnnjax.evaluation.views import register_view as register_view
    from cnnjax.models import create_model as create_model
    from cnnjax.models import list_models as list_models
    from cnnjax.models import register_model as register_model
    from cnnjax.optim import register_loss as register_loss
    from cnnjax.optim import register_optimizer as register_optimizer
    from cnnjax.optim import register_schedule as register_schedule
    from cnnjax.pieces import augmentation as augmentation
    from cnnjax.pieces import dataset as dataset
    from cnnjax.pieces import evaluate_variables as evaluate_variables
    from cnnjax.pieces import loader as loader
    from cnnjax.recipes import load_config as load_config
    from cnnjax.run import train as train
    from cnnjax.runs.actions import evaluate as evaluate
    from cnnjax.runs.actions import predict as predict
    from cnnjax.runs.run import open_run as open_run
    from cnnjax.training.callbacks import Callback as Callback
    from cnnjax.training.callbacks import register_callback as register_callback

_NAMES = {
    "cnnjax.augment.operations": ("register_augmentation",),
    "cnnjax.config": (
        *("AugmentConfig", "DataConfig", "EvaluateConfig", "Experiment", "ModelConfig", "OptimizerConfig"),
        "TrainConfig",
    ),
    "cnnjax.data": ("prepare",),
    "cnnjax.evaluation.custom": ("register_metric",),
    "cnnjax.evaluation.views": ("register_view",),
    "cnnjax.models": ("create_model", "list_models", "register_model"),
    "cnnjax.optim": ("register_loss", "register_optimizer", "register_schedule"),
    "cnnjax.pieces": ("augmentation", "dataset", "evaluate_variables", "loader"),
    "cnnjax.recipes": ("load_config",),
    "cnnjax.run": ("train",),
    "cnnjax.runs.actions": ("evaluate", "predict"),
    "cnnjax.runs.run": ("open_run",),
    "cnnjax.training.callbacks": ("Callback", "register_callback"),
}
_HOME = {name: home for home, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module cnnjax has no attribute {name}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*_HOME, "__version__"])
