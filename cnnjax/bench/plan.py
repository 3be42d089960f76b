"""`cnnjax plan`: what a training will take, told from shapes alone before an image is read or a byte allocated."""

import math
from typing import Any

import jax

from cnnjax.bench import synthetic
from cnnjax.bench.measure import operations
from cnnjax.config import Experiment, validate
from cnnjax.core.mesh import by_batch, fit_mesh, replicated
from cnnjax.models import summary
from cnnjax.training import build
from cnnjax.training.loop import Length
from cnnjax.training.step import train_step

STATE = ("params", "batch_stats", "opt_state", "average")


def plan(config: Experiment, *, num_train_images: int | None = None) -> dict[str, Any]:
    """Compiles a recipe's training step for the devices here and tells what a training by it takes; runs nothing.

    Args:
      config: a recipe that states its input size and number of classes.
      images: in the training split; None: not known, so that without `train.steps` the number of steps is not either.

    Returns:
      model, input, params, macs (of an image's forward pass), flops_per_step (see `measure.operations`), dtype,
      device, devices, batch_size, images_per_device; images, epochs, steps, steps_per_epoch (None where not known);
      memory in bytes of one device: params, opt_state, average, batch_stats, batch, activations (all that lives
      within a step), total, and limit, what the device has (None where it does not tell).

    Raises:
      UserError: the recipe leaves shapes to the data, or it cannot be run.
    """
    config = validate(config)
    size = config.data.batch_size
    fit_mesh(None, size, config.train.accumulate)
    dataset = synthetic.dataset_of(config, num_train_images or synthetic.IMAGES)
    config = build.resolve(config, dataset)
    length = Length.of(config.train, images=dataset.counts["train"], batch_size=size)
    parts = build.build_parts(config, dataset, length)
    mesh = build.mesh_of(parts)
    build.check_images(parts, dataset)
    state = build.state_shapes(parts)
    batch = synthetic.batch_shapes(config, dataset, raw=True)
    compiled = build.compiled(train_step, parts, _on(state, replicated(mesh)), _on(batch, by_batch(mesh)), mesh)
    net = summary.summarize(parts.model)
    known = num_train_images is not None or config.train.steps is not None
    return {
        "model": config.model.name,
        "input": list(parts.model.input_size),
        "params": net.params,
        "macs": net.macs,
        "flops_per_step": operations(compiled, parts, mesh.size),
        "dtype": parts.model.dtype,
        "device": jax.devices()[0].device_kind,
        "devices": mesh.size,
        "batch_size": size,
        "images_per_device": size // mesh.size,
        "num_train_images": num_train_images,
        "epochs": length.epoch(length.steps)
        if num_train_images
        else None
        if config.train.steps
        else config.train.epochs,
        "steps": length.steps if known else None,
        "steps_per_epoch": length.steps_per_epoch if num_train_images else None,
        "memory": _memory(state, batch, compiled, mesh.size),
    }


def _on(shapes: Any, sharding: Any) -> Any:
    """The same shapes, of arrays that lie so."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), shapes)


def _memory(state: Any, batch: Any, compiled: Any, devices: int) -> dict[str, int | None]:
    """Bytes on one device: it holds the whole state, and its share of the batch and of what is computed from it."""
    parts: dict[str, int | None] = {name: _bytes(getattr(state, name)) for name in STATE}
    parts["batch"] = _bytes(batch) // devices
    parts["activations"] = compiled.memory_analysis().temp_size_in_bytes
    total = sum(value or 0 for value in parts.values())
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return parts | {"total": total, "limit": limit}


def _bytes(tree: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def text(report: dict[str, Any]) -> str:
    """The same for people."""
    memory = report["memory"]
    known = {name: value for name, value in memory.items() if value and name not in ("total", "limit")}
    pieces = ", ".join(f"{name.replace('_', ' ')} {_mib(value)}" for name, value in known.items())
    room = f" of {_mib(memory['limit'])}" if memory["limit"] else ""
    flops = f", {report['flops_per_step'] / 1e9:,.1f} GFLOP a step" if report["flops_per_step"] else ""
    rows = {
        "model": f"{report['model']}, {'x'.join(map(str, report['input']))}, {report['dtype']}, "
        f"{report['params']:,} parameters, {report['macs']:,} MACs an image{flops}",
        "batch": f"{report['batch_size']} images, {report['images_per_device']} on each of "
        f"{report['devices']} x {report['device']}",
        "length": _length(report),
        "memory": f"{_mib(memory['total'])}{room} on a device: {pieces}",
        "time": "cnnjax bench --synthetic measures a step, cnnjax bench with the images' reading",
    }
    return "\n".join(f"{name:10} {value}" for name, value in rows.items())


def _length(report: dict[str, Any]) -> str:
    steps, epochs = report["steps"], report["epochs"]
    if steps is None:
        return f"{epochs:g} epochs; --num_train_images N, of the training split, tells how many steps that is"
    return f"{steps:,} steps" + (f", {epochs:g} epochs of {report['num_train_images']:,} images" if epochs else "")


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
