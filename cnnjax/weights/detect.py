"""What a file of weights tells by itself: whose it is, for how many classes, and for how many channels."""

import math
from collections.abc import Mapping

from cnnjax.core import trees
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.models import Model, create_model
from cnnjax.models.base import MODELS
from cnnjax.weights import bridge
from cnnjax.weights.names import Source


def sources_of(model: Model) -> list[Source]:
    """The libraries that name the model's leaves, the one that its own name means first."""
    own = model.card.published.source if model.card.published else ""
    return sorted(bridge.tables_of(model.name, model.card.family), key=lambda source: source != own)


def find_source(model: Model, state: Mapping[str, HostArray]) -> Source:
    """The library whose names the file uses; where two share all names, the one that the model's name means.

    Raises:
      UserError: no library's names for the model are known.
    """
    sources = sources_of(model)
    if not sources:
        raise UserError(f"no library's files are known for {model.name}; it cannot be converted")

    def found(source: Source) -> int:
        return len(bridge.current(state, bridge.table(model, source)).keys() & bridge.keys_of(model, source).values())

    return max(sources, key=found)


def lacks_head(model: Model, state: Mapping[str, HostArray], source: Source) -> bool:
    """Whether the file has all but the layers whose shape depends on the number of classes, and auxiliary heads."""
    beside = model.auxiliary_leaves
    return _missing(model, state, source) - beside == model.head_leaves - beside


def new_leaves(model: Model, state: Mapping[str, HostArray], source: Source) -> frozenset[str]:
    """The paths of leaves that a file of this model does not give, and that can begin anew.

    They are those of heads that it lacks or has for another number of classes, and of auxiliary heads where it has
    none, as torchvision's GoogLeNet drops them once it is loaded.
    """
    names, flat, keys = bridge.table(model, source), trees.flatten(model.shapes()), bridge.keys_of(model, source)
    missing, there, head = _missing(model, state, source), bridge.current(state, names), model.head_leaves
    new = head & missing if lacks_head(model, state, source) else frozenset()
    if model.auxiliary_leaves <= missing:
        new |= model.auxiliary_leaves
    for path in head - missing:
        shape = flat[path].shape
        have = bridge.read_layout(there[keys[path]], path, shape, names, source).shape
        if path.endswith("/kernel") and have[-1:] != shape[-1:] and math.prod(have[:-1]) == math.prod(shape[:-1]):
            module = path.removesuffix("kernel")
            new |= {one for one in head if one.startswith(module)}
    return new


def without_auxiliary(model: Model, state: Mapping[str, HostArray], source: Source) -> list[str]:
    """Other libraries' forms of the model without auxiliary heads, whose file this may as well be."""
    if not model.auxiliary_leaves:
        return []
    there = {key for key in state if not bridge.IGNORED.search(key)}
    others = {name: one for one in sources_of(model) if one != source and (name := f"{one}/{model.name}") in MODELS}
    return [name for name, one in others.items() if set(bridge.keys_of(create_model(name), one).values()) == there]


def _missing(model: Model, state: Mapping[str, HostArray], source: Source) -> frozenset[str]:
    there = bridge.current(state, bridge.table(model, source))
    return frozenset(path for path, key in bridge.keys_of(model, source).items() if key not in there)


def classes_in(model: Model, state: Mapping[str, HostArray], source: Source) -> int:
    """The number of classes of the file's head, auxiliary ones aside, the model's own where the file does not tell."""
    return _axis(model, state, source, model.head_leaves - model.auxiliary_leaves, -1, model.num_classes)


def channels_in(model: Model, state: Mapping[str, HostArray], source: Source) -> int:
    """The number of channels that the file's first convolution reads, the model's own where the file does not tell."""
    return _axis(model, state, source, model.stem_leaves, -2, model.input_size[2])


def _axis(
    model: Model, state: Mapping[str, HostArray], source: Source, leaves: frozenset[str], axis: int, default: int
) -> int:
    names, flat = bridge.table(model, source), trees.flatten(model.shapes())
    state = bridge.current(state, names)
    for path, key in bridge.keys_of(model, source).items():
        kernel = path in leaves and path.endswith("/kernel") and key in state
        # timm's BiT convolves where the head here is dense.
        if kernel and state[key].ndim in (len(flat[path].shape), 4):
            return int(bridge.read_layout(state[key], path, flat[path].shape, names, source).shape[axis])
    return default
