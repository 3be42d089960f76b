"""The inner layers of a model: their names, what they give, and what depends on them, without a change to the model.

The calls of modules are watched while the model is traced, so everything here works on any Flax module that
`create_model` takes. A layer is called as `cnnjax summary` calls it, "layer1_0.conv2"; its second call in one pass (a
ReLU that a block uses twice) is "layer1_0.relu#2"; "features" is what the head sees.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.models.blocks import Activation, ReLU
from cnnjax.models.model import Model, create_model


def open_up(model: Model) -> Model:
    """The same model in float32 and without remat, whose inner layers no outer function may see."""
    return create_model(model.name, model.num_classes, input_size=model.input_size)


def layers(model: Model) -> dict[str, tuple[int, ...]]:
    """Returns the shape that each layer gives for one image, in the order of their ends."""
    watch = _Watch(lambda name: True)
    spec = jax.ShapeDtypeStruct((1, *model.input_size), jnp.float32)

    def run(variables: Tree, images: Array) -> dict[str, Array]:
        with nn.intercept_methods(watch):
            model.apply(variables, images)
        return watch.seen

    found = jax.eval_shape(run, model.shapes(), spec)
    return {name: tuple(found[name].shape[1:]) for name in watch.order}


def check_layer(model: Model, name: str) -> None:
    """Raises UserError, with the nearest name and the list of all, unless the model has a layer of this name."""
    known = layers(model)
    if name not in known:
        close = nearest(name, known)
        hint = close if close.endswith("?") else "."
        raise UserError(f"{model.name} has no layer {name}{hint} The layers are {', '.join(known)}")


def look_inside(
    model: Model,
    variables: Tree,
    images: Array,
    names: Collection[str] = (),
    *,
    added: Mapping[str, Array] | None = None,
    guided: bool = False,
) -> tuple[Array, dict[str, Array]]:
    """Evaluates a model and tells what its inner layers gave; traceable.

    Args:
      model: as `open_up` gives it.
      images: float [N, H, W, C], normalized.
      names: of layers.
      added: to the outputs of layers, by name; the gradient by a zero that is added is that by the layer itself.
      guided: every activation layer of models.blocks passes only positive gradients back (Springenberg et al. 2015,
        1412.6806, section 3.4); a plain `nn.relu` in one's own model is no layer and passes all.

    Returns:
      Logits float32 [N, K], and the outputs by name.
    """
    watch = _Watch(lambda name: name in names, added or {}, guided)
    with nn.intercept_methods(watch):
        logits = model.apply(variables, images)
    return logits, watch.seen


class _Watch:
    """Interceptor of module calls that takes down and changes what they give."""

    def __init__(self, wanted: Callable[[str], bool], added: Mapping[str, Array] | None = None, guided: bool = False):
        self.wanted, self.added, self.guided = wanted, added or {}, guided
        self.seen: dict[str, Array] = {}
        self.order: list[str] = []  # since jit sorts the keys of dicts
        self._calls: Counter[str] = Counter()
        self._running: list[tuple[str, ...]] = []

    def __call__(self, run: Any, args: Any, kwargs: Any, context: Any) -> Any:
        path = context.module.path
        own = context.method_name == ("__call__" if path else "features")
        if not own or path in self._running[-1:]:  # the class above's __call__, which a layer calls itself
            return run(*args, **kwargs)
        self._running.append(path)
        outputs = run(*args, **kwargs)
        self._running.pop()
        if not isinstance(outputs, jax.Array):  # a layer that gives several arrays has no one output to tell of
            return outputs
        name = ".".join(path) or "features"
        self._calls[name] += 1
        if self._calls[name] > 1:
            name = f"{name}#{self._calls[name]}"
        if self.guided and isinstance(context.module, (ReLU, Activation)):
            outputs = _only_positive_back(outputs)
        if name in self.added:
            outputs = outputs + self.added[name].astype(outputs.dtype)
        if self.wanted(name):
            self.seen[name] = outputs
            self.order.append(name)
        return outputs


@jax.custom_vjp
def _only_positive_back(values: Array) -> Array:
    return values


_only_positive_back.defvjp(lambda values: (values, None), lambda _, gradient: (jnp.maximum(gradient, 0),))
