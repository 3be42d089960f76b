"""Data parallelism as a mesh of one axis: the same code for one device and for all of a machine."""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cnnjax.core import startup
from cnnjax.core.errors import UserError

FEWEST = 8  # images that are worth a core of their own
HEAVIEST = 200_000
"""Parameters for each image of a batch, beyond which cores that are devices lose.

Each device sums and updates all parameters, which took 11-17 ns for each on two cores: AlexNet (61 M) made 10 images/s
in batches of 16 where one device made 29, and 24 against 32 in batches of 64; ResNet-18 (12 M) 11 against 13 in batches
of 8. Below it the second core pays: a small VGG made 560 against 490.
"""


def make_mesh() -> Mesh:
    """Returns the mesh of all devices, axis "data"; on a CPU each core is one: many a convolution uses no more.

    On a CPU at most 31 computations may be under way: XLA lets 32 wait for a device, and the thread that waits to add
    another is the one that the other device needs (LeNet-5, 33 steps under way on two cores: nothing moves any more).
    Every loop here reads the outcome of one when the next is under way. More threads than cores would bear more, but
    they cost VGG-small 14 % and ResNet-18 17 % of their speed.
    """
    startup.settle()
    return Mesh(np.asarray(jax.devices()), ("data",))


def fit_mesh(mesh: Mesh | None, batch_size: int, micro_batches: int = 1, *, parameters: int = 0) -> Mesh:
    """Returns the mesh that trains together: `mesh` as it is; None: all devices, or as many cores as are of use.

    Of a CPU as many cores as share the batch evenly, unless the environment says how many devices they are. One device,
    with all cores, trains a model of many parameters on small batches.

    Raises:
      UserError: the devices do not share the batch evenly; the nearest sizes that work are named.
    """
    if mesh is None:
        mesh = _of_use(make_mesh(), batch_size // micro_batches, parameters > HEAVIEST * batch_size)
    unit = mesh.size * micro_batches
    if batch_size % unit:
        below, above = batch_size // unit * unit, (batch_size // unit + 1) * unit
        sizes = f"{below} or {above}" if below else f"{above}"
        what = f"{mesh.size} devices" + (f" x {micro_batches} micro-batches" if micro_batches > 1 else "")
        raise UserError(f"config.data.batch_size={batch_size} is not divisible by {what}; the nearest that is: {sizes}")
    return mesh


def _of_use(mesh: Mesh, images: int, heavy: bool) -> Mesh:
    if mesh.devices[0].platform != "cpu" or startup.devices_are_given():
        return mesh
    most = 1 if heavy else min(mesh.size, max(images // FEWEST, 1))
    return Mesh(mesh.devices[: max(n for n in range(1, most + 1) if images % n == 0)], mesh.axis_names)


def rounded_up(count: int, mesh: Mesh) -> int:
    """Returns the smallest number from `count` on that the devices share evenly."""
    return -(-count // mesh.size) * mesh.size


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array: parameters, optimizer state, metrics."""
    return NamedSharding(mesh, PartitionSpec())


def by_batch(mesh: Mesh) -> NamedSharding:
    """Every device holds its share of the first axis: images, labels."""
    return NamedSharding(mesh, PartitionSpec("data"))
