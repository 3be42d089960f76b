"""Keras' files of weights as flat {"layer/variable": array}, whichever Keras wrote them.

Two layouts carry the names of layers. Keras 3's .weights.h5 numbers its groups by class (layers/conv2d_3/vars/0) and
keeps each layer's own name beside them; the older one, of keras-applications' *_tf_dim_ordering_tf_kernels.h5, has a
group a layer. What a layer's variables are called differs between versions, their order never does, so it alone counts.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError

COUNTED = re.compile(r"(conv(?:olution)?2d|separable_conv2d|depthwise_conv2d|batch_?normalization|dense)(?:_(\d+))?")
"""Names that Keras gives to layers without one: their class, and how many of it the session had before."""


def read_keras(path: Path) -> dict[str, HostArray]:
    """Returns the weights by "layer/variable", such as conv1_bn/gamma.

    Variables are called kernel and bias (depthwise_kernel, pointwise_kernel and bias in a separable convolution),
    gamma, beta, moving_mean and moving_variance. Layers without a name of their own are counted from 0 on: conv2d_0,
    conv2d_1, ... Whole numbers (seeds, counts) are left out.

    Raises:
      UserError: h5py is missing, or the file does not tell its layers' names.
    """
    try:
        import h5py
    except ModuleNotFoundError:
        raise UserError(f"reading {path} needs h5py; install cnnjax[parity]") from None
    with h5py.File(path) as file:
        root = file.get("model_weights", file)
        layers = _by_layer(root) if _texts(root, "layer_names") else _by_class(root, path)
    layers = {name: [one for one in values if one.dtype.kind == "f"] for name, values in layers.items()}
    called = _count([name for name, values in layers.items() if values])
    return {
        f"{called[name]}/{variable}": value
        for name, values in layers.items()
        for variable, value in zip(variables_of(values), values, strict=True)
    }


def variables_of(values: Sequence[HostArray]) -> tuple[str, ...]:
    """What a layer's variables are, by their number of axes and their order.

    Three vectors are a BatchNorm without gamma, as in Keras' Inception models, and two a LayerNorm.
    """
    kernels = [value for value in values if value.ndim > 1]
    if kernels:
        names: tuple[str, ...] = ("kernel",) if len(kernels) == 1 else ("depthwise_kernel", "pointwise_kernel")
        names = (*names, "bias")[: len(values)]
    else:
        names = ("beta",) if len(values) == 3 else ("gamma", "beta")
        names = (*names, "moving_mean", "moving_variance")[: len(values)]
    if len(names) != len(values):
        raise ValueError(f"a layer has variables of the shapes {[value.shape for value in values]}")
    return names


def _by_layer(root: Any) -> dict[str, list[HostArray]]:
    """The older layout: a group a layer, and in its attributes the paths of its variables in order."""
    layers: dict[str, list[HostArray]] = {}
    for name in _texts(root, "layer_names"):
        paths = _texts(root[name], "weight_names")
        inner = {path.rpartition("/")[0] for path in paths}
        for path in paths:
            # A layer made of layers, such as a Sequential, has theirs in one group.
            layer = name.replace("/", "_") if len(inner) == 1 else path.split("/")[-2]
            layers.setdefault(layer, []).append(np.asarray(root[name][path]))
    return layers


def _by_class(root: Any, path: Path) -> dict[str, list[HostArray]]:
    """Keras 3's layout: groups "vars" of variables by number, wherever they lie."""
    layers: dict[str, list[HostArray]] = {}

    def visit(place: str, group: Any) -> None:
        if place.rpartition("/")[2] == "vars" and len(group):
            name = group.attrs.get("name")
            if name is None:
                raise UserError(
                    f"{path} does not tell the names of its layers; "
                    "load it into its model with Keras 3.15 and save it again"
                )
            layers.setdefault(name, []).extend(np.asarray(group[str(number)]) for number in range(len(group)))

    root.visititems(visit)
    return layers


def _texts(group: Any, name: str) -> list[str]:
    """An attribute that is a list of texts; long ones are cut into name0, name1, ..."""
    keys = [name] if name in group.attrs else []
    while f"{name}{len(keys)}" in group.attrs:
        keys.append(f"{name}{len(keys)}")
    return [text.decode() if isinstance(text, bytes) else str(text) for key in keys for text in group.attrs[key]]


def _count(names: Sequence[str]) -> dict[str, str]:
    """{name: name}, with those that Keras counted renumbered from 0 on."""
    called = {name: name for name in names}
    counted: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if found := COUNTED.fullmatch(name):
            kind = found[1].replace("convolution", "conv").replace("batchn", "batch_n")
            counted.setdefault(kind, []).append((int(found[2] or 0), name))
    for kind, layers in counted.items():
        called |= {name: f"{kind}_{number}" for number, (_, name) in enumerate(sorted(layers))}
    return called
