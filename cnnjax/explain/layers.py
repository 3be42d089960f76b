"""What a model consists of, as images: the kernels of its first layer, and the map of each channel of a layer."""

import jax.numpy as jnp
import numpy as np

from cnnjax.core import trees
from cnnjax.core.arrays import Array, HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.explain.cams import as_map, map_layers
from cnnjax.explain.pixels import compiled
from cnnjax.models import Model
from cnnjax.models.inside import check_layer, layers, look_inside


def first_filters(model: Model, variables: Tree) -> HostArray:
    """Returns the kernels of the first layer that has any, float32 [K, h, w, C].

    Where it is a dense layer that sees the image itself, a unit's weights are an image of the input's size.
    """
    params = trees.flatten(variables["params"])
    for name in layers(model):
        kernel = params.get(f"{name.replace('.', '/')}/kernel")
        if kernel is None:
            continue
        kernel = np.asarray(kernel, np.float32)
        if kernel.ndim == 4:
            return np.moveaxis(kernel, 3, 0)
        if kernel.shape[0] == np.prod(model.input_size):
            return kernel.T.reshape(-1, *model.input_size)
        break
    raise UserError(f"{model.name} has no first layer whose weights lie over the image; leave filters out")


def feature_maps(model: Model, variables: Tree, images: Array, layer: str) -> Array:
    """Returns what a layer gives, float32 [N, a, b, C]; tokens as a map of their patches.

    Raises:
      UserError: no such layer, or one without a map; those that have one are named.
    """
    check_layer(model, layer)
    names = map_layers(model)
    if layer not in names:
        raise UserError(f"{layer} of {model.name} gives no map; take one of {', '.join(names)}")
    return _values(model, variables, images, layer)


@compiled("layer")
def _values(model: Model, variables: Tree, images: Array, layer: str) -> Array:
    return as_map(look_inside(model, variables, images, [layer])[1][layer]).astype(jnp.float32)
