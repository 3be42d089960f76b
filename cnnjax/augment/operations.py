"""Augmentation operations of one's own, and where they stand in the order of the pipeline."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jax

from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, caller

Place = Literal["geometry", "color", "normalized"]
Function = TypeVar("Function", bound=Callable[[Array, Array], Array])


@dataclass(frozen=True)
class Operation:
    """An operation and its place.

    Attributes:
      function: f(keys [N], images [N, h, w, C]) -> images of the same shape, for inside the jitted step. An image's
        draws must come from its own key.
      place: geometry: behind the flips and the affine transform, pixel values of 0-255, bytes or floats; color: behind
        the color operations, before the values are clipped to 0-255; normalized: behind normalization, before mixing.
    """

    function: Callable[[Array, Array], Array]
    place: Place = "color"


def _adopt(name: str, found: Any) -> Operation:
    if not callable(found) and not isinstance(found, Operation):
        raise UserError(f"{name} is no function of (keys, images) that returns images")
    return found if isinstance(found, Operation) else Operation(found)


AUGMENTATIONS: Registry[Operation] = Registry("augmentation", _adopt)


def register_augmentation(name: str, *, place: Place = "color") -> Callable[[Function], Function]:
    """Registers f(keys, images) -> images as an operation that config.augment.operations can name; see `Operation`."""
    return AUGMENTATIONS.add(name, lambda function: Operation(function, place), home=caller())


def apply(names: Sequence[str], place: Place, keys: Array, images: Array) -> Array:
    """Applies those of the operations `names` that stand at a place, in the order of the names.

    Args:
      keys: one an image, [N]; each operation gets keys of its own, which depend on its name alone.
    """
    for name in names:
        operation = AUGMENTATIONS[name]
        if operation.place == place:
            number = zlib.crc32(name.rpartition(":")[2].encode())  # the same in a process that knows it as module:name
            folded = jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys)
            images = operation.function(folded, images)
    return images
