"""Data parallelism as a mesh of one axis: the same code for one device and for all of a machine."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.core.errors import UserError


def make_mesh() -> Mesh:
    """Returns the mesh of all devices, axis "data"."""
    return Mesh(np.asarray(jax.devices()), ("data",))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array: parameters, optimiser state, metrics."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Every device holds its share of the first axis: images, labels."""
    return NamedSharding(mesh, PartitionSpec("data"))


def check_batch(batch_size: int, mesh: Mesh, micro_batches: int = 1) -> None:
    """Raises UserError, naming the nearest sizes that work, unless the devices share the batch evenly."""
    unit = mesh.size * micro_batches
    if batch_size % unit:
        below, above = batch_size // unit * unit, (batch_size // unit + 1) * unit
        sizes = f"{below} or {above}" if below else f"{above}"
        what = f"{mesh.size} devices" + (f" x {micro_batches} micro-batches" if micro_batches > 1 else "")
        raise UserError(f"config.data.batch_size={batch_size} is not divisible by {what}; the nearest that is: {sizes}")
