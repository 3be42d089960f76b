"""Class activation maps: which places of an inner map speak for a class.

Each is f(model, variables, images, targets, layer) -> float32 [N, a, b], of the layer's own size, as pixels.py has
it. Layers may be maps [N, a, b, C] or, in transformers, tokens [N, a b, C] with or without a class token before them.
"""

from math import isqrt

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, Tree
from cnnjax.core.errors import UserError
from cnnjax.explain.pixels import compiled, score
from cnnjax.models import Model
from cnnjax.models.inside import layers, look_inside


def as_map(values: Array) -> Array:
    """Returns [N, a, b, C] of a map or of tokens, the class token left out."""
    if values.ndim == 4:
        return values
    side = isqrt(values.shape[1])
    return values[:, values.shape[1] - side * side :].reshape(values.shape[0], side, side, values.shape[2])


def has_map(shape: tuple[int, ...]) -> bool:
    """Whether a layer that gives `shape` for an image has more than one place."""
    if len(shape) == 2:
        return shape[0] > 4 and shape[0] - isqrt(shape[0]) ** 2 in (0, 1)
    return len(shape) == 3 and shape[0] * shape[1] > 1


def map_layers(model: Model) -> list[str]:
    """The names of the layers that give maps or tokens, in the order of the model."""
    return [name for name, shape in layers(model).items() if has_map(shape)]


def default_layer(model: Model, variables: Tree, images: Array, targets: Array) -> str:
    """The last map before the head, or the last on which the score depends in more than one place.

    A transformer's head sees the class token alone, so there it is what the last attention looks at.
    """
    shapes = layers(model)
    if len(shapes["features"]) == 3 and has_map(shapes["features"]):
        return "features"
    names = tuple(name for name, shape in shapes.items() if has_map(shape))
    depends = _depends(model, variables, images[:1], targets[:1], names)
    found = [name for name in names if depends[name]]
    if not found:
        raise UserError(f"{model.name} has no layer with a map, so there is no class activation map; take saliency")
    as_deep = [name for name in found if shapes[name][-1] == shapes["features"][-1]]  # no queries, keys and values
    return (as_deep or found)[-1]


@compiled("layer")
def grad_cam(model: Model, variables: Tree, images: Array, targets: Array, layer: str) -> Array:
    """The channels of a layer, each weighted by the mean of the score's gradient over it; what is positive of the sum.

    Selvaraju et al. 2017 (1610.02391), equations 1 and 2.
    """
    maps, gradients = _with_gradient(model, variables, images, targets, layer)
    return jax.nn.relu(jnp.einsum("nabc,nc->nab", maps, gradients.mean((1, 2))))


@compiled("layer")
def grad_cam_plus_plus(model: Model, variables: Tree, images: Array, targets: Array, layer: str) -> Array:
    """Grad-CAM whose weights look at each place by itself, so that several things of a class all show.

    Chattopadhyay et al. 2018 (1710.11063), equations 10 and 19, for the exponential of the logit, whose common factor
    is left out.
    """
    maps, gradients = _with_gradient(model, variables, images, targets, layer)
    below = 2 * gradients**2 + maps.sum((1, 2), keepdims=True) * gradients**3
    alphas = jnp.where(below == 0, 0, gradients**2 / jnp.where(below == 0, 1, below))
    weights = (alphas * jax.nn.relu(gradients)).sum((1, 2))
    return jax.nn.relu(jnp.einsum("nabc,nc->nab", maps, weights))


def cam(model: Model, variables: Tree, images: Array, targets: Array, layer: str = "features") -> Array:
    """The channels that the last dense layer sees, weighted by its row of the class; negative speaks against it.

    Zhou et al. 2016 (1512.04150), equation 2. The logit is the map's mean, plus a bias.

    Raises:
      UserError: the head is not global average pooling and one dense layer.
    """
    if has_cam(model, variables) and layer == "features":
        return _cam(model, variables, images, targets)
    where = "" if layer == "features" else f", and only there, not in {layer}"
    raise UserError(
        f"cam needs a head of global average pooling and one dense layer{where}; for {model.name} take grad_cam"
    )


def has_cam(model: Model, variables: Tree) -> bool:
    """Whether the head is a mean over the map and one linear layer: no test of names, but of what it does."""
    shape = layers(model)["features"]
    return len(shape) == 3 and bool(_is_linear_in_means(model, variables))


@compiled()
def _is_linear_in_means(model: Model, variables: Tree) -> Array:
    """One weight a channel, equal at all places and for very different maps."""
    shape = (2, *layers(model)["features"])
    first = jax.random.normal(jax.random.key(0), shape) * jnp.array([1.0, 100.0]).reshape(2, 1, 1, 1)
    classes = jnp.zeros(2, jnp.int32)
    gradient = jax.grad(lambda maps: score(model.apply(variables, maps, method="head"), classes).sum())(first)
    weights = gradient[:1, :1, :1]
    return (jnp.abs(gradient - weights).max() <= 1e-4 * jnp.abs(gradient).max()) & (jnp.abs(gradient).max() > 0)


@compiled()
def _cam(model: Model, variables: Tree, images: Array, targets: Array) -> Array:
    maps, gradients = _with_gradient(model, variables, images, targets, "features")
    return jnp.einsum("nabc,nabc->nab", maps, gradients) * (maps.shape[1] * maps.shape[2])


def _with_gradient(model: Model, variables: Tree, images: Array, targets: Array, layer: str) -> tuple[Array, Array]:
    """A layer's map and the gradient of the scores by it, both float32 [N, a, b, C]."""
    zeros = jnp.zeros((len(images), *layers(model)[layer]))

    def total(added: Array) -> tuple[Array, Array]:
        logits, seen = look_inside(model, variables, images, [layer], added={layer: added})
        return score(logits, targets).sum(), seen[layer]

    gradient, values = jax.grad(total, has_aux=True)(zeros)
    return as_map(values).astype(jnp.float32), as_map(gradient)


def _depends(model: Model, variables: Tree, images: Array, targets: Array, names: tuple[str, ...]) -> dict[str, bool]:
    shapes, rng = layers(model), np.random.default_rng(0)
    # What a model begins with at zero, as a transformer's head, would hide from an untrained one what it depends on.
    variables = jax.tree.map(
        lambda leaf: leaf if np.any(leaf) else rng.normal(scale=0.02, size=leaf.shape).astype(leaf.dtype), variables
    )

    @jax.jit
    def gradients(variables: Tree, images: Array) -> dict[str, Array]:
        def total(added: dict[str, Array]) -> Array:
            return score(look_inside(model, variables, images, added=added)[0], targets).sum()

        found = jax.grad(total)({name: jnp.zeros((1, *shapes[name])) for name in names})
        return {name: jnp.any(as_map(gradient) != 0, (0, 3)).sum() > 1 for name, gradient in found.items()}

    return {name: bool(found) for name, found in gradients(variables, images).items()}
