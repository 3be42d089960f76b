"""The attributions by name, and any of them for an opened run and pictures of any size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.explain import ascent, cams, drawing, pixels
from cnnjax.explain import layers as inner
from cnnjax.explain import pictures as reading
from cnnjax.explain.pictures import Pictures
from cnnjax.models import Model
from cnnjax.models.inside import check_layer, layers, open_up
from cnnjax.optim import losses
from cnnjax.runs.run import Run


@dataclass(frozen=True)
class Method:
    """One way to say which pixels speak for a class.

    Attributes:
      maps: f(model, variables, images, targets, ...) -> [N, a, b].
      signed: maps tell what speaks against the class as well.
      layered: `maps` takes a layer.
    """

    title: str
    maps: Callable[..., Array]
    signed: bool = False
    layered: bool = False


METHODS = {
    "cam": Method("CAM", cams.cam, signed=True, layered=True),
    "grad_cam": Method("Grad-CAM", cams.grad_cam, layered=True),
    "grad_cam_plus_plus": Method("Grad-CAM++", cams.grad_cam_plus_plus, layered=True),
    "saliency": Method("saliency", pixels.saliency),
    "guided_backprop": Method("guided back-prop.", pixels.guided_backprop),
    "integrated_gradients": Method("integr. gradients", pixels.integrated_gradients, signed=True),
    "smoothgrad": Method("SmoothGrad", pixels.smoothgrad),
    "occlusion": Method("occlusion", pixels.occlusion, signed=True),
}

TOGETHER = 16
"""Pictures that are explained at once."""


@dataclass(frozen=True)
class Explanation:
    """What a method says of some pictures.

    Attributes:
      maps: float32 [N, a, b], over what the net sees of each picture.
      classes: the class of each picture that was asked about.
    """

    method: str
    pictures: Pictures
    maps: HostArray
    classes: tuple[str, ...]

    def at_own_size(self) -> list[HostArray]:
        """Returns float32 [H, W] for each picture at its own size; NaN where the net does not look."""
        pairs = zip(self.maps, self.pictures.places, self.pictures.originals, strict=True)
        return [drawing.stretch(values, place, original.shape[:2]) for values, place, original in pairs]

    def overlays(self) -> list[HostArray]:
        """Returns uint8 [H, W, 3] for each picture, at its own size."""
        signed = METHODS[self.method].signed
        pairs = zip(self.pictures.originals, self.maps, self.pictures.places, strict=True)
        return [drawing.overlay(original, values, place, signed=signed) for original, values, place in pairs]


class Explainer:
    """An opened run, its net opened up: in float32 and layer by layer."""

    def __init__(self, run: Run):
        self.run, self.variables = run, run.variables
        self.model: Model = open_up(run.model)

    def scores(self, pictures: Pictures) -> HostArray:
        """Returns probabilities float32 [N, K] of the centre views."""
        parts = [_logits(self.model, self.variables, images) for images, _ in _chunks(pictures.images, pictures.images)]
        logits = jnp.concatenate(parts)[: len(pictures)]
        return np.asarray(losses.probabilities(logits, self.run.config.train.loss))

    def targets(self, scores: HostArray, class_name: str | None = None) -> HostArray:
        """Returns int [N]: the class of this name, or the likeliest of each picture."""
        return scores.argmax(1) if class_name is None else np.full(len(scores), self.run.index(class_name))

    def attribute(
        self, method: str, pictures: Pictures, targets: HostArray | None = None, layer: str | None = None
    ) -> Explanation:
        """Explains read pictures; see the function `attribute`."""
        if method not in METHODS:
            raise UserError(f"unknown method {method}{nearest(method, METHODS)}")
        wanted = jnp.asarray(self.targets(self.scores(pictures)) if targets is None else targets)
        options: dict[str, Any] = {}
        if METHODS[method].layered:
            options["layer"] = self.layer(pictures, wanted, layer, method)
        if method == "integrated_gradients":
            options["baseline"] = reading.black_and_white(self.run)[0]
        chunks = _chunks(pictures.images, wanted)
        found = [METHODS[method].maps(self.model, self.variables, *chunk, **options) for chunk in chunks]
        maps = np.concatenate(found)[: len(pictures)]
        return Explanation(method, pictures, maps, tuple(self.run.classes[i] for i in np.asarray(wanted)))

    def layer(self, pictures: Pictures, targets: Array, layer: str | None, method: str = "grad_cam") -> str:
        """The layer that is asked for, held against those there are, or the net's default."""
        if layer is None:
            return "features" if method == "cam" else self._default_layer(pictures, targets)
        check_layer(self.model, layer)
        if not cams.has_map(layers(self.model)[layer]):
            names = ", ".join(cams.map_layers(self.model))
            raise UserError(f"{layer} of {self.model.name} gives no map; take one of {names}")
        return layer

    def _default_layer(self, pictures: Pictures, targets: Array) -> str:
        return cams.default_layer(self.model, self.variables, pictures.images, targets)

    def maximise(self, class_names: list[str], **options: Any) -> HostArray:
        """Returns uint8 [N, h, w, C], the pictures that the classes answer to most; see ascent.maximise."""
        units = jnp.array([self.run.index(name) for name in class_names])
        return self._climb(units, None, options)

    def maximise_channels(self, layer: str, channels: Any, **options: Any) -> HostArray:
        """The same for channels of a layer."""
        check_layer(self.model, layer)
        return self._climb(jnp.asarray(channels), layer, options)

    def _climb(self, units: Array, layer: str | None, options: dict[str, Any]) -> HostArray:
        low, high = reading.black_and_white(self.run)
        found = ascent.maximise(self.model, self.variables, units, layer, low=low, high=high, **options)
        return np.asarray(jnp.rint(255 * (found - low) / (high - low))).astype(np.uint8)


def attribute(
    run: Run, pictures: Any, method: str = "grad_cam", *, layer: str | None = None, class_name: str | None = None
) -> Explanation:
    """Says which parts of pictures speak for a class.

    Args:
      run: as `cnnjax.open_run` gives it.
      pictures: paths of picture files, or uint8 arrays [H, W, C] of any size.
      method: one of METHODS.
      layer: for the class activation maps; None: the last one with a map.
      class_name: None: the likeliest of each picture.

    Raises:
      UserError: no such method, layer or class, or no whole picture.
    """
    explainer, read = Explainer(run), reading.from_files(run, pictures)
    return explainer.attribute(method, read, explainer.targets(explainer.scores(read), class_name), layer)


def feature_maps(run: Run, pictures: Any, layer: str) -> HostArray:
    """Returns what a layer gives for pictures, float32 [N, a, b, C]."""
    explainer, read = Explainer(run), reading.from_files(run, pictures)
    return np.asarray(inner.feature_maps(explainer.model, explainer.variables, read.images, layer))


def first_filters(run: Run) -> HostArray:
    """Returns the kernels of a run's first layer, float32 [K, h, w, C]."""
    explainer = Explainer(run)
    return inner.first_filters(explainer.model, explainer.variables)


@pixels.compiled()
def _logits(model: Model, variables: Tree, images: Array) -> Array:
    return model.apply(variables, images)


def _chunks(images: Array, targets: Array) -> Iterator[tuple[Array, Array]]:
    """Pieces of one size, the last filled up by the last picture, so that nothing is compiled twice."""
    size = min(TOGETHER, len(images))
    for start in range(0, len(images), size):
        rows = np.minimum(np.arange(start, start + size), len(images) - 1)
        yield images[rows], targets[rows]
