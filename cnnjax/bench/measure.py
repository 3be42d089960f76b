"""`cnnjax bench`: a recipe's training steps, taken and timed as the loop takes them, and where their time goes."""

import dataclasses
import functools
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from cnnjax import data
from cnnjax.bench import synthetic as made_up
from cnnjax.bench.peaks import peak
from cnnjax.config import Experiment, validate
from cnnjax.core import meters
from cnnjax.core.arrays import Array, Batch
from cnnjax.core.errors import UserError
from cnnjax.core.mesh import by_batch, fit_mesh, replicated
from cnnjax.data import Dataset
from cnnjax.data.feed import put
from cnnjax.data.resident import take
from cnnjax.data.stream import IN_FLIGHT
from cnnjax.models import summarize
from cnnjax.runs.evaluator import input_advice
from cnnjax.training import build
from cnnjax.training.inference import eval_step
from cnnjax.training.loop import Length
from cnnjax.training.step import Parts, as_targets, train_step

WARM_UP = 3  # steps
SECONDS = 10.0  # of measuring, unless the number of steps is given
BETWEEN = (10, 1000)  # steps, likewise


def bench(
    config: Experiment,
    *,
    synthetic: bool = False,
    augment: bool = False,
    input_only: bool = False,
    steps: int | None = None,
    data_dir: Any = None,
    mesh: Mesh | None = None,
) -> dict[str, Any]:
    """Measures the training of a recipe in its steady state.

    Args:
      config: the recipe.
      synthetic: the batch is noise that is on the device already, so that model and optimizer are left alone.
      augment: with synthetic: the noise is bytes, which are augmented and normalized in the step.
      input_only: leaves out the model: a step is reading, transfer and augmentation.
      steps: to be measured; None: about ten seconds.
      data_dir: where data are kept.
      mesh: the devices that train together, see `train`.

    Returns:
      images_per_s; step_ms {median, p95}; compile_s; peak_memory_bytes (of a device; of the process on the CPU);
      flops_per_step, see `operations` (on a CPU some forms of convolutions multiply zeros too); mfu, their share of the
      devices' peak, None where that is unknown;
      split, seconds a step: data_wait (of the devices, for the next batch), transfer and compute (of one batch, each by
      itself, though they overlap in training), evaluation (of a batch of this size); verdict, one sentence; and what
      was measured.

    Raises:
      UserError: flags that exclude each other, or a recipe that cannot be run.
    """
    if augment and not synthetic:
        raise UserError("--augment puts augmentation back into --synthetic; give both")
    if synthetic and input_only and not augment:
        raise UserError("--synthetic leaves the input out and --input_only the model; add --augment to time that alone")
    config = validate(config)
    fit_mesh(mesh, config.data.batch_size, config.train.accumulate)
    dataset = made_up.dataset_of(config) if synthetic else data.prepare(config, data_dir)
    config = build.resolve(config, dataset)
    count, size = dataset.counts["train"], config.data.batch_size
    length = Length.of(config.train, images=count, batch_size=size)
    parts = build.build_parts(config, dataset, length)
    mesh = build.mesh_of(parts, mesh)
    if synthetic and not augment:
        parts = prepared(parts)
    else:
        build.check_images(parts, dataset)
    function, batches = _batches(parts, dataset, mesh, length, synthetic=synthetic, raw=augment, input_only=input_only)
    work = _compile(function, parts, next(batches), mesh)
    streamed = not (synthetic or build.is_resident(config, dataset))
    ready = config.data.prefetch + IN_FLIGHT if streamed else 0
    taken = _take(work, batches, WARM_UP + ready, steps)
    batch = _single(taken.batch, mesh)
    split = {
        "data_wait": taken.data_wait,
        "transfer": 0.0 if synthetic else _transfer(config, dataset, batch, mesh),
        "compute": work.seconds(taken.batch) / _steps(taken.batch),
        "evaluation": 0.0 if input_only else _evaluation(parts, work, batch, mesh),
    }
    return {
        "images_per_s": size / statistics.mean(taken.seconds),
        "step_ms": {"median": 1e3 * statistics.median(taken.seconds), "p95": 1e3 * np.quantile(taken.seconds, 0.95)},
        "compile_s": work.compile_s,
        "peak_memory_bytes": _peak_memory(),
        "flops_per_step": work.flops,
        "mfu": None
        if input_only
        else utilization(work.flops, statistics.mean(taken.seconds), parts.model.dtype, mesh.size),
        "split": split,
        "verdict": _verdict(config, dataset, taken, synthetic=synthetic, input_only=input_only),
        "model": config.model.name,
        "input": list(parts.model.input_size),
        "batch_size": size,
        "dtype": parts.model.dtype,
        "device": jax.devices()[0].device_kind,
        "devices": mesh.size,
        "steps": len(taken.seconds),
    }


def prepared(parts: Parts) -> Parts:
    """The same for batches that are cut, varied and normalized already: float32 [N, h, w, C]."""
    return dataclasses.replace(
        parts,
        augment=lambda images, targets, *_: (images, targets),
        inference=dataclasses.replace(parts.inference, views=lambda images, *_: images[None]),
    )


def utilization(flops: float | None, seconds: float, dtype: str, devices: int) -> float | None:
    """The share of the devices' peak that a step of so many operations reaches, or None where either is unknown."""
    best = peak(jax.devices()[0].device_kind, dtype)
    return flops / seconds / (best * devices) if best and flops else None


def operations(compiled: Any, parts: Parts | None, devices: int) -> float | None:
    """The FLOP of a step on all devices, as the compiler counts them, or None; of steps in a loop, one's.

    A GPU's compiler does not look into cuDNN's convolutions and cuBLAS' products (jax-ml/jax#16008, #22249): there it
    is three passes of two operations for each MAC of the model.

    Args:
      parts: of a training step; None: the step is without the model.
    """
    if jax.default_backend() == "gpu":
        return 6.0 * summarize(parts.model).macs * parts.config.data.batch_size if parts else None
    flops = (compiled.cost_analysis() or {}).get("flops")  # of one device
    return flops * devices if flops else None


@dataclass
class _Work:
    """A compiled step and the state that goes through it.

    Attributes:
      step: f(state, batch) -> (state, what to wait for).
      state: of the next step; None where the model is left out.
      flops: of a step on all devices, or None.
    """

    step: Callable[[Any, Batch], tuple[Any, Any]]
    state: Any
    compile_s: float
    flops: float | None

    def __call__(self, batch: Batch) -> Any:
        self.state, scalars = self.step(self.state, batch)
        return scalars

    def seconds(self, batch: Batch) -> float:
        """The time of one step on a batch that is there already."""
        return _median(lambda: self(batch))


@dataclass(frozen=True)
class _Taken:
    """What a stretch of steps took: the seconds of each, those of them spent waiting, and the last batch."""

    seconds: list[float]
    data_wait: float
    batch: Batch


def _batches(
    parts: Parts,
    dataset: Dataset,
    mesh: Mesh,
    length: Length,
    *,
    synthetic: bool,
    raw: bool,
    input_only: bool,
) -> tuple[Callable[..., Any], Iterator[Batch]]:
    """The step and what it takes as in training, several steps a dispatch too, but without an end."""
    config = parts.config
    if synthetic:
        noise = itertools.repeat(put(made_up.batch_of(config, dataset, raw=raw), by_batch(mesh)))
        return _augment_step if input_only else train_step, iter(noise)
    split, endless = dataset.split("train"), dataclasses.replace(length, steps=1 << 31)
    source = build.loader(config, dataset, mesh)(split)
    if input_only:
        return _augment_step, source.batches(build.training_rows(config, endless))
    return build.dispatches(config, source, endless, build.steps_per_dispatch(parts, dataset))


def _steps(batch: dict[str, Any]) -> int:
    """How many steps a dispatch of it takes."""
    return int(batch.get("count", 1))


def _single(batch: dict[str, Any], mesh: Mesh) -> Batch:
    """The batch of the first of these steps."""
    if "rows" not in batch:
        return batch
    row = {name: array[0] for name, array in batch["rows"].items()}
    return jax.device_put(take(batch["images"], row.pop("index")) | row, by_batch(mesh))


def _compile(function: Callable[..., Any], parts: Parts, batch: Batch, mesh: Mesh) -> _Work:
    everywhere = replicated(mesh)
    state: Any = None
    if function is not _augment_step:
        state = jax.jit(functools.partial(build.first_state, parts), out_shardings=everywhere)()
    with meters.Stopwatch() as watch:
        if function is _augment_step:
            jitted = jax.jit(functools.partial(function, parts=parts), out_shardings=(everywhere, by_batch(mesh)))
            step = jitted.lower(state, batch).compile()
        else:
            step = build.compiled(function, parts, state, batch, mesh)
    flops = operations(step, None if function is _augment_step else parts, mesh.size)
    return _Work(step, state, watch.seconds, flops)


def _augment_step(state: None, batch: Batch, parts: Parts) -> tuple[None, Array]:
    targets = as_targets(batch["labels"], parts.model.num_classes)
    return None, parts.augment(batch["images"], targets, batch["position"], batch.get("sizes"), batch.get("turned"))[0]


def _take(work: _Work, batches: Iterator[Batch], warm_up: int, steps: int | None) -> _Taken:
    """Takes steps as the training loop does: the results of one are awaited when the next is under way.

    Batches that were read ahead while the step was compiled would flatter the input, so they are used up first.
    """
    began, warm = time.perf_counter(), 0
    while warm < warm_up:
        batch = next(batches)
        jax.block_until_ready(work(batch))
        warm += _steps(batch)
    if steps is None:
        guess = SECONDS * warm / max(time.perf_counter() - began, 1e-9)
        steps = int(np.clip(guess, *BETWEEN))
    waiting, pending = meters.Stopwatch(), None
    ends: list[float] = []
    counts: list[int] = []
    while sum(counts[1:]) < steps:  # the first only sets the clock
        batch = meters.next_batch(batches, pending, waiting)
        scalars = work(batch)
        counts.append(_steps(batch))
        if pending is not None:
            jax.block_until_ready(pending)
            ends.append(time.perf_counter())
        pending = scalars
    jax.block_until_ready(pending)
    ends.append(time.perf_counter())
    seconds = np.repeat(np.diff(ends) / counts[1:], counts[1:])
    return _Taken(seconds.tolist(), waiting.seconds / sum(counts), batch)


def _transfer(config: Experiment, dataset: Dataset, batch: Batch, mesh: Mesh) -> float:
    """What crosses to the devices at a step: the batch, or its indices where the images are there."""
    host = jax.device_get(batch)
    if build.is_resident(config, dataset):
        host = {"index": host["position"], "position": host["position"]}
    return _median(lambda: put(host, by_batch(mesh)))


def _evaluation(parts: Parts, work: _Work, batch: Batch, mesh: Mesh) -> float:
    batch = batch | put({"mask": np.ones(len(batch["labels"]), np.float32)}, by_batch(mesh))
    step = jax.jit(functools.partial(eval_step, inference=parts.inference), out_shardings=replicated(mesh))
    variables = work.state.variables
    jax.block_until_ready(step(variables, batch))
    return _median(lambda: step(variables, batch))


def _median(call: Callable[[], Any], times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        with meters.Stopwatch() as watch:
            jax.block_until_ready(call())
        seconds.append(watch.seconds)
    return statistics.median(seconds)


def _peak_memory() -> int:
    found = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return found or meters.peak_memory()


def _verdict(config: Experiment, dataset: Dataset, taken: _Taken, *, synthetic: bool, input_only: bool) -> str:
    if input_only:
        return "the input alone; input-bound in training where bench --synthetic gives more images/s than this"
    share = taken.data_wait / statistics.mean(taken.seconds)
    told = not synthetic and input_advice(share, config, dataset)
    return told or f"compute-bound: the device waits for images {share:.0%} of the time"


def text(report: dict[str, Any]) -> str:
    """The same for people: a few lines, the verdict last."""
    step, split = report["step_ms"], report["split"]
    size = "x".join(map(str, report["input"]))
    gflops = f"{report['flops_per_step'] / 1e9:,.1f} GFLOP" if report["flops_per_step"] else "unknown"
    mfu = f"{report['mfu']:.1%} of the peak" if report["mfu"] is not None else "the device's peak is not known"
    rows = {
        "measured": f"{report['model']}, {size}, batch {report['batch_size']}, {report['dtype']}, "
        f"{report['devices']} x {report['device']}, {report['steps']} steps",
        "images/s": f"{report['images_per_s']:,.0f}",
        "step": f"{step['median']:.2f} ms median, {step['p95']:.2f} ms at 95 %, {gflops}; {mfu}",
        "compile": meters.duration(report["compile_s"]),
        "memory": f"{report['peak_memory_bytes'] / 2**20:,.0f} MiB at most",
        "ms a step": ", ".join(f"{name.replace('_', ' ')} {1e3 * value:.2f}" for name, value in split.items()),
        "verdict": report["verdict"],
    }
    return "\n".join(f"{name:10} {value}" for name, value in rows.items())
