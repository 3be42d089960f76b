"""A model as evaluation and prediction use it: with its pre-processing and views, and without an optimizer."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp

from cnnjax.augment import pipeline
from cnnjax.augment.normalize import normalize
from cnnjax.config import EvaluateConfig, Experiment
from cnnjax.core import startup, trees
from cnnjax.core.arrays import Array, Batch, Tree
from cnnjax.core.errors import UserError
from cnnjax.data import Dataset
from cnnjax.evaluation import metrics, views
from cnnjax.models import Model, create_model
from cnnjax.optim import losses


@dataclass(frozen=True)
class Inference:
    """What turns images into probabilities, ready to be traced.

    Attributes:
      model: at the input size of evaluation.
      loss: that the model was trained with, by whose rule logits become probabilities.
      normalize: f(pixel values of 0-255) -> what the model sees.
      views: f(images uint8, sizes, scale) -> float32 [V, N, h, w, C].
      options: which views are taken, and at which scales.
    """

    model: Model
    loss: str
    normalize: Callable[[Array], Array]
    views: Callable[..., Array]
    options: EvaluateConfig = field(default_factory=EvaluateConfig)


def build_inference(config: Experiment, dataset: Dataset, options: EvaluateConfig | None = None) -> Inference:
    """Builds the model of a config and what evaluation does with images.

    Args:
      options: of evaluation; None: one center crop, which is what training validates by.
    """
    options, statistics = options or EvaluateConfig(), dataset.statistics
    model = build_model(config, multi_label=dataset.multi_label)
    size = model.input_size[:2]
    seen = options.input_size or size
    images = pipeline.eval_pipeline(
        config.augment,
        statistics=statistics,
        input_size=seen,
        views=views.VIEWS[options.views],
        prepared_for=size if dataset.prepared else None,
    )
    if seen != size and options.views != "dense":
        model = _at_size(model, seen)
    return Inference(
        model, config.train.loss, lambda levels: normalize(levels, config.augment, statistics), images, options
    )


def stated_shapes(config: Experiment) -> tuple[tuple[int, int, int], int]:
    """Returns input size and number of classes of a recipe; UserError where it leaves them to the data."""
    if config.model.input_size is None or config.model.num_classes is None:
        raise UserError(
            "this recipe takes its input size and number of classes from the data; set config.model.input_size=H,W,C "
            "and config.model.num_classes=K"
        )
    return config.model.input_size, config.model.num_classes


def build_model(config: Experiment, *, multi_label: bool = False) -> Model:
    """Builds the model of a config whose input size and number of classes are known.

    Two classes that exclude each other share one output under the sigmoid loss; `train.overfit` drops nothing.
    """
    startup.set_flags()  # open_run and what sums up a recipe ask here for the first device
    model, classes, loss = config.model, config.model.num_classes, config.train.loss
    automatic: Literal["float32", "bfloat16"] = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return create_model(
        model.name,
        1 if losses.LOSSES[loss].independent and classes == 2 and not multi_label else classes,
        input_size=model.input_size,
        dtype=automatic if model.dtype == "auto" else model.dtype,
        dropout=0.0 if config.train.overfit else model.dropout,
        drop_path=0.0 if config.train.overfit else model.drop_path,
        remat=model.remat,
    )


def _at_size(model: Model, size: tuple[int, int]) -> Model:
    """Builds the same model for images of another size, if its parameters are the same."""
    other = create_model(
        model.name,
        model.num_classes,
        input_size=(*size, model.input_size[2]),
        dtype=model.dtype,
        dropout=model.dropout,
    )
    if trees.flatten(other.shapes()) != trees.flatten(model.shapes()):
        raise UserError(
            f"the parameters of {model.name} depend on the size of its input, so it sees images of "
            f"{model.input_size[0]} x {model.input_size[1]} alone; config.evaluate.views=dense takes larger ones where "
            "the model's features are a map"
        )
    return other


def eval_step(variables: Tree, batch: Batch, inference: Inference, temperature: float = 1.0) -> dict[str, Array]:
    """Returns the metric sums of one batch; images whose mask is 0 are not counted."""
    scores = predict_step(variables, batch, inference, temperature)
    return metrics.sums(scores, batch["labels"], batch["mask"])


def predict_step(variables: Tree, batch: Batch, inference: Inference, temperature: float = 1.0) -> Array:
    """Returns probabilities float32 [N, K], averaged over the views of each image.

    The order is law: the logits of each view are divided by the temperature and become probabilities, which are
    averaged.
    """
    logits = view_logits(variables, batch, inference)
    return losses.probabilities(logits / temperature, inference.loss).mean(0)


def view_logits(variables: Tree, batch: Batch, inference: Inference) -> Array:
    """Returns the logits of every view of every image, float32 [V, N, K], at one scale after the other."""
    apply = inference.model.apply_dense if inference.options.views == "dense" else inference.model.apply
    found = []
    for scale in inference.options.scales:
        images = inference.views(batch["images"], batch.get("sizes"), scale)
        found.append(jax.lax.map(functools.partial(apply, variables), images))  # ten crops in the memory of one
    return jnp.concatenate(found)


def embed_step(variables: Tree, batch: Batch, inference: Inference) -> Array:
    """Returns features float32 [N, F] (see `Model.embed`) of the first view of each image, its center."""
    return inference.model.embed(variables, inference.views(batch["images"], batch.get("sizes"), 1.0)[0])
