"""The attributions by name, and any of them for an opened run and images of any size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.explain import ascent, cams, drawing, pixels
from cnnjax.explain import images as reading
from cnnjax.explain import layers as inner
from cnnjax.explain.images import Images
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
"""Images that are explained at once."""


@dataclass(frozen=True)
class Explanation:
    """What a method says of some images.

    Attributes:
      maps: float32 [N, a, b], over what the model sees of each image.
      classes: the class of each image that was asked about.
    """

    method: str
    images: Images
    maps: HostArray
    classes: tuple[str, ...]

    def at_own_size(self) -> list[HostArray]:
        """Returns float32 [H, W] for each image at its own size; NaN where the model does not look."""
        pairs = zip(self.maps, self.images.places, self.images.originals, strict=True)
        return [drawing.stretch(values, place, original.shape[:2]) for values, place, original in pairs]

    def overlays(self) -> list[HostArray]:
        """Returns uint8 [H, W, 3] for each image, at its own size."""
        signed = METHODS[self.method].signed
        pairs = zip(self.images.originals, self.maps, self.images.places, strict=True)
        return [drawing.overlay(original, values, place, signed=signed) for original, values, place in pairs]


class Explainer:
    """An opened run, its model opened up: in float32 and layer by layer."""

    def __init__(self, run: Run):
        self.run, self.variables = run, run.variables
        self.model: Model = open_up(run.model)

    def scores(self, images: Images) -> HostArray:
        """Returns probabilities float32 [N, K] of the center views."""
        parts = [_logits(self.model, self.variables, arrays) for arrays, _ in _chunks(images.images, images.images)]
        logits = jnp.concatenate(parts)[: len(images)]
        return np.asarray(losses.probabilities(logits, self.run.config.train.loss))

    def targets(self, scores: HostArray, class_name: str | None = None) -> HostArray:
        """Returns int [N]: the class of this name, or the likeliest of each image."""
        return scores.argmax(1) if class_name is None else np.full(len(scores), self.run.index(class_name))

    def attribute(
        self, method: str, images: Images, targets: HostArray | None = None, layer: str | None = None
    ) -> Explanation:
        """Explains read images; see the function `attribute`."""
        if method not in METHODS:
            raise UserError(f"unknown method {method}{nearest(method, METHODS)}")
        wanted = jnp.asarray(self.targets(self.scores(images)) if targets is None else targets)
        options: dict[str, Any] = {}
        if METHODS[method].layered:
            options["layer"] = self.layer(images, wanted, layer, method)
        if method == "integrated_gradients":
            options["baseline"] = reading.black_and_white(self.run)[0]
        chunks = _chunks(images.images, wanted)
        found = [METHODS[method].maps(self.model, self.variables, *chunk, **options) for chunk in chunks]
        maps = np.concatenate(found)[: len(images)]
        return Explanation(method, images, maps, tuple(self.run.classes[i] for i in np.asarray(wanted)))

    def layer(self, images: Images, targets: Array, layer: str | None, method: str = "grad_cam") -> str:
        """The layer that is asked for, held against those there are, or the model's default."""
        if layer is None:
            return "features" if method == "cam" else self._default_layer(images, targets)
        check_layer(self.model, layer)
        if not cams.has_map(layers(self.model)[layer]):
            names = ", ".join(cams.map_layers(self.model))
            raise UserError(f"{layer} of {self.model.name} gives no map; take one of {names}")
        return layer

    def _default_layer(self, images: Images, targets: Array) -> str:
        return cams.default_layer(self.model, self.variables, images.images, targets)

    def maximize(self, class_names: list[str], **options: Any) -> HostArray:
        """Returns uint8 [N, h, w, C], the images that the classes answer to most; see ascent.maximize."""
        units = jnp.array([self.run.index(name) for name in class_names])
        return self._climb(units, None, options)

    def maximize_channels(self, layer: str, channels: Any, **options: Any) -> HostArray:
        """The same for channels of a layer."""
        check_layer(self.model, layer)
        return self._climb(jnp.asarray(channels), layer, options)

    def _climb(self, units: Array, layer: str | None, options: dict[str, Any]) -> HostArray:
        low, high = reading.black_and_white(self.run)
        found = ascent.maximize(self.model, self.variables, units, layer, low=low, high=high, **options)
        return np.asarray(jnp.rint(255 * (found - low) / (high - low))).astype(np.uint8)


def attribute(
    run: Run, images: Any, method: str = "grad_cam", *, layer: str | None = None, class_name: str | None = None
) -> Explanation:
    """Says which parts of images speak for a class.

    Args:
      run: as `cnnjax.open_run` gives it.
      images: paths of image files, or uint8 arrays [H, W, C] of any size.
      method: one of METHODS.
      layer: for the class activation maps; None: the last one with a map.
      class_name: None: the likeliest of each image.

    Raises:
      UserError: no such method, layer or class, or no whole image.
    """
    explainer, read = Explainer(run), reading.from_files(run, images)
    return explainer.attribute(method, read, explainer.targets(explainer.scores(read), class_name), layer)


def feature_maps(run: Run, images: Any, layer: str) -> HostArray:
    """Returns what a layer gives for images, float32 [N, a, b, C]."""
    explainer, read = Explainer(run), reading.from_files(run, images)
    return np.asarray(inner.feature_maps(explainer.model, explainer.variables, read.images, layer))


def first_filters(run: Run) -> HostArray:
    """Returns the kernels of a run's first layer, float32 [K, h, w, C]."""
    explainer = Explainer(run)
    return inner.first_filters(explainer.model, explainer.variables)


@pixels.compiled()
def _logits(model: Model, variables: Tree, images: Array) -> Array:
    return model.apply(variables, images)


def _chunks(images: Array, targets: Array) -> Iterator[tuple[Array, Array]]:
    """Pieces of one size, the last filled up by the last image, so that nothing is compiled twice."""
    size = min(TOGETHER, len(images))
    for start in range(0, len(images), size):
        rows = np.minimum(np.arange(start, start + size), len(images) - 1)
        yield images[rows], targets[rows]
