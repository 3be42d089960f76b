"""Names and layouts of other libraries' weights, applied in both directions.

Every leaf of a model's variables has one name in the source's file, so one table serves reading and writing. What the
layouts differ in: PyTorch keeps convolution kernels as [outputs, inputs, height, width] and dense ones as [outputs,
inputs], Keras depthwise ones as [height, width, channels, 1]. Keras' files are read, not written.
"""

import re
from collections.abc import Collection, Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from cnnjax.core import trees
from cnnjax.core.arrays import HostArray, Tree
from cnnjax.core.errors import UserError
from cnnjax.models import Model
from cnnjax.models.model import from_flat
from cnnjax.weights.names import TABLES, Source
from cnnjax.weights.rules import Names, Rule

TORCH = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
KERAS = {"scale": "gamma", "bias": "beta", "mean": "moving_mean", "var": "moving_variance"}
IGNORED = re.compile(r"num_batches_tracked$|^(prestem_)?normalization(_\d+)?/")
"""Names in files that stand for nothing here: PyTorch counts the batches that a BatchNorm has seen, and Keras'
EfficientNets and ConvNeXts normalize their images themselves, where here the card says how."""


def read_variables(model: Model, state: Mapping[str, HostArray], source: Source, *, new: Collection[str] = ()) -> Tree:
    """Returns {"params", "batch_stats"} of float32 arrays from a file's flat {name: array}.

    Args:
      model: whose shapes the arrays must have.
      state: as `files.read` gives it.
      source: whose names and layouts they are.
      new: paths of leaves that are not taken from the file, such as those of a new head; the result lacks them.

    Raises:
      UserError: names are missing, left over or of another shape, or values are no finite floating-point numbers; all
        are listed.
    """
    names, flat, keys = table(model, source), trees.flatten(model.shapes()), keys_of(model, source)
    state = current(state, names)
    faults: dict[str, list[str]] = {
        "missing": [key for path, key in keys.items() if key not in state and path not in new],
        "unknown": sorted({key for key in state if not IGNORED.search(key)} - set(keys.values())),
        "of another shape": [],
        "no floating-point numbers": [],
        "not finite": [],
    }
    values = {path: np.ones(flat[path].shape, np.float32) for path in flat.keys() - keys.keys()}
    for path, key in keys.items():
        if key not in state or path in new:
            continue
        value = read_layout(state[key], path, flat[path].shape, names, source)
        if value.shape != flat[path].shape:
            shapes = " where the model has ".join(
                "x".join(map(str, shape)) for shape in (value.shape, flat[path].shape)
            )
            faults["of another shape"].append(f"{key} is {shapes}")
        if not jnp.issubdtype(value.dtype, jnp.floating):  # of a quantized model, whose scales are elsewhere
            faults["no floating-point numbers"].append(f"{key} ({value.dtype})")
            continue
        values[path] = np.ascontiguousarray(value, np.float32)
        if not np.isfinite(values[path]).all():
            faults["not finite"].append(key)
    if any(faults.values()):
        told = "; ".join(f"{len(which)} {fault}: {', '.join(which)}" for fault, which in faults.items() if which)
        raise UserError(f"these are no {source} weights of {model.name}: {told}")
    return from_flat(values)


def write_state(model: Model, variables: Tree, source: Source) -> dict[str, HostArray]:
    """The inverse of `read_variables`: a flat {name: array} in the source's names and layouts.

    Raises:
      UserError: there is no table for the model, or the source is Keras, which reads no such file.
    """
    if source == "keras":
        raise UserError(f"weights of {model.name} are read from Keras' files and not written as one")
    names, flat = table(model, source), trees.flatten(variables)
    state = {}
    for path, leaf in flat.items():
        key, value = key_of(path, flat, names, source), write_layout(np.asarray(leaf), path, names)
        axes = next((count for pattern, count in names.trailing.items() if re.search(pattern, key)), 0)
        state[key] = np.ascontiguousarray(value.reshape(value.shape + (1,) * axes))
    return state


def table(model: Model, source: Source) -> Names:
    """The source's table for the model; UserError names the sources there are."""
    tables = tables_of(model.name, model.card.family)
    if source not in tables:
        known = " and ".join(tables)
        offer = f"its tables are for {known}" if known else f"no library's files are known for {model.card.family}"
        raise UserError(f"what {source} calls the weights of {model.name} is not known; {offer}")
    return tables[source]


def tables_of(name: str, family: str) -> dict[Source, Names]:
    """The tables that fit a model, by source: the variant's ("keras/resnet50" is resnet50), else the family's."""
    variant = name.rpartition("/")[2]
    return {source: tables[one] for source, tables in TABLES.items() for one in (family, variant) if one in tables}


def current(state: Mapping[str, HostArray], names: Names) -> dict[str, HostArray]:
    """A file's arrays by the names that the source's present version gives them."""
    return {renamed(key, names.former): value for key, value in state.items()}


def keys_of(model: Model, source: Source) -> dict[str, str]:
    """What every leaf of the model that the source's file has is called there, by path."""
    names, flat = table(model, source), trees.flatten(model.shapes())
    there = (path for path in flat if not (names.unscaled and path.endswith("/scale")))
    return {path: key_of(path, flat, names, source) for path in there}


def key_of(path: str, flat: Mapping[str, object], names: Names, source: Source) -> str:
    """What a leaf, params/layer1_0/conv1/kernel, is called in the source's file."""
    _, *modules, leaf = path.split("/")
    if source == "keras":
        # Keras calls a norm's shift beta, but a convolution's or dense layer's bias.
        of_kernel = f"params/{'/'.join(modules)}/kernel" in flat
        key = "/".join([*modules, leaf if of_kernel else KERAS.get(leaf, leaf)])
    else:
        key = ".".join([*modules, TORCH.get(leaf, leaf)])
    return renamed(key, names.rules)


def renamed(key: str, rules: Iterable[Rule]) -> str:
    """Applies the rules in order."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def read_layout(value: HostArray, path: str, shape: tuple[int, ...], names: Names, source: Source) -> HostArray:
    """Turns a source's array into the layout of the leaf `path`, whose shape here is `shape`."""
    module = path.split("/", 1)[1].rpartition("/")[0]
    is_kernel = path.endswith("/kernel")
    if is_kernel and source != "keras" and value.ndim == 4:
        value = value.transpose(2, 3, 1, 0)
        if module in names.convolved:
            value = value.reshape(-1, value.shape[-1])
    elif is_kernel and source != "keras" and value.ndim == 2:
        height, width = names.flattened.get(module, (1, 1))
        if value.shape[1] % (height * width) == 0:  # else it was made for another map: its shape tells
            value = value.reshape(len(value), -1, height, width).transpose(0, 2, 3, 1).reshape(len(value), -1)
        value = value.T
    if is_kernel and module == names.bgr and value.ndim == 4:
        value = value[:, :, ::-1]
    if [axis for axis in value.shape if axis > 1] == [axis for axis in shape if axis > 1]:
        # Axes of length one: a layer scale [C, 1, 1], a 1x1 convolution that is dense here, Keras' depthwise kernels.
        value = value.reshape(shape)
    return value


def write_layout(value: HostArray, path: str, names: Names) -> HostArray:
    """The inverse of `read_layout`, into PyTorch's layout but for the axes of length one."""
    module = path.split("/", 1)[1].rpartition("/")[0]
    if not path.endswith("/kernel"):
        return value
    if module == names.bgr:
        value = value[:, :, ::-1]
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    value = value.T
    if module in names.flattened:
        height, width = names.flattened[module]
        value = value.reshape(len(value), height, width, -1).transpose(0, 3, 1, 2).reshape(len(value), -1)
    if module in names.convolved:
        value = value.reshape(len(value), *names.convolved[module], -1).transpose(0, 3, 1, 2)
    return value
