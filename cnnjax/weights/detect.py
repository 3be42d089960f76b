"""What a file of weights tells by itself: whose it is, for how many classes, and for how many channels."""

from collections.abc import Mapping

from cnnjax.core import trees
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.models import Model
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
    """Whether the file has all but the layers whose shape depends on the number of classes."""
    there = bridge.current(state, bridge.table(model, source))
    return {path for path, key in bridge.keys_of(model, source).items() if key not in there} == model.head_leaves()


def classes_in(model: Model, state: Mapping[str, HostArray], source: Source) -> int:
    """The number of classes of the file's head, the model's own where the file does not tell."""
    return _axis(model, state, source, model.head_leaves(), -1, model.num_classes)


def channels_in(model: Model, state: Mapping[str, HostArray], source: Source) -> int:
    """The number of channels that the file's first convolution reads, the model's own where the file does not tell."""
    return _axis(model, state, source, model.stem_leaves(), -2, model.input_size[2])


def _axis(
    model: Model, state: Mapping[str, HostArray], source: Source, leaves: frozenset[str], axis: int, default: int
) -> int:
    names, flat = bridge.table(model, source), trees.flatten(model.shapes())
    state = bridge.current(state, names)
    for path, key in bridge.keys_of(model, source).items():
        if path in leaves and path.endswith("/kernel") and key in state and state[key].ndim == len(flat[path].shape):
            return int(bridge.read_layout(state[key], path, flat[path].shape, names, source).shape[axis])
    return default
