"""Three ways to the gradient of a model: the compiled step's, and two references for it.

For benchmarks/gradients.py and tests/models/test_gradients.py. All begin from the same parameters, as they are after
some training, and see the same images.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np

RATE = 2.0**20  # the parameters are lost in the roundings of the step beside it, and a power of two rounds nothing
UNOPTIMIZED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""For the references: compiled in half the time, and nothing in them is fused into something else."""


@dataclass(frozen=True)
class Case:
    """A model, and the images that it is tried on.

    Attributes:
      side: of the images; None: as published.
    """

    name: str
    batch: int = 4
    side: int | None = None
    loss: str = "softmax"


@dataclass(frozen=True)
class Distance:
    """How far a gradient is from float64's, by leaf.

    Attributes:
      largest: difference over the leaf's largest value.
      cosine: of the leaf with float64's.
      whole: Euclidean length of all differences over that of the gradient.
      nothing: the largest value in leaves whose gradient is zero by construction (a bias before a norm), over the
        largest of all.
    """

    largest: dict[str, float]
    cosine: dict[str, float]
    whole: float
    nothing: float

    @property
    def median(self) -> float:
        """The distance of the leaf in the middle."""
        return sorted(self.largest.values())[len(self.largest) // 2]

    @property
    def worst(self) -> str:
        """The leaf with the largest distance."""
        return max(self.largest, key=lambda path: self.largest[path])


# ---------------------------------------------------------------- the library's step


@dataclass
class Images:
    """What `Resident` reads of a split."""

    images: np.ndarray
    labels: np.ndarray
    sizes: None = None

    def __len__(self) -> int:
        return len(self.labels)

    def gather(self, indices: np.ndarray, *, threads: int) -> np.ndarray:
        return self.images[indices]


@dataclass(frozen=True)
class Setting:
    """All that the three gradients share."""

    parts: Any
    dataset: Any
    variables: Any
    images: Images


def setting(case: Case) -> Setting:
    """Makes the model, its parameters, and noise to see."""
    from cnnjax.bench import synthetic
    from cnnjax.config import AugmentConfig, DataConfig, Experiment, ModelConfig, OptimizerConfig, TrainConfig
    from cnnjax.models.base import find
    from cnnjax.training.build import build_parts
    from cnnjax.training.loop import Length

    card = find(case.name).card
    size = card.input_size if case.side is None else (case.side, case.side, card.input_size[2])
    config = Experiment(
        data=DataConfig(batch_size=case.batch, loader="resident"),
        augment=AugmentConfig(normalize="unit" if case.loss == "margin" else "dataset"),
        model=ModelConfig(name=case.name, num_classes=card.num_classes, input_size=size, dropout=0.0, drop_path=0.0),
        optimizer=OptimizerConfig(name="sgd", lr=RATE, momentum=0.0),
        train=TrainConfig(loss=case.loss, steps=1),
    )
    dataset = synthetic.dataset_of(config, case.batch)
    parts = build_parts(config, dataset, Length.of(config.train, images=case.batch, batch_size=case.batch))
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (case.batch, *size), np.uint8), rng.integers(0, card.num_classes, case.batch))
    return Setting(parts, dataset, trained(parts.model, rng), images)


def trained(model: Any, rng: np.random.Generator) -> Any:
    """Variables as after some training: scales of 0.7-1.3, biases of deviation 0.1, nothing all zero.

    Kernels have He's deviation, those of capsules 0.05; drawn here, since XLA takes as long to compile the drawing of a
    model as its step.
    """
    from cnnjax.core import trees

    flat = {}
    for path, leaf in trees.flatten(model.shapes()).items():
        name = path.rpartition("/")[2]
        if name == "kernel":
            deviation = (2 / np.prod(leaf.shape[:-1])) ** 0.5 if leaf.ndim in (2, 4) else 0.05
            values = rng.normal(0, deviation, leaf.shape)
        elif path.startswith("batch_stats/"):  # airbench94's "fixed" is one after the first step
            values = np.zeros(leaf.shape) if name == "mean" else np.ones(leaf.shape)
        elif name == "bias":
            values = rng.normal(0, 0.1, leaf.shape)
        else:
            values = rng.uniform(0.7, 1.3, leaf.shape) if leaf.ndim == 1 else rng.normal(0, 0.02, leaf.shape)
        flat[path] = np.asarray(values, np.float32)
    return {"batch_stats": {}, "params": {}} | trees.unflatten(flat)


def compiled_gradient(made: Setting, devices: int) -> dict[str, np.ndarray]:
    """The gradient by path as training computes it on so many devices."""
    import jax

    from cnnjax.core import trees
    from cnnjax.core.mesh import replicated
    from cnnjax.data import Resident
    from cnnjax.training.build import compiled, dispatches, steps_per_dispatch
    from cnnjax.training.loop import Length
    from cnnjax.training.state import create_state

    parts, count = made.parts, len(made.images)
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:devices]), ("data",))
    length = Length.of(parts.config.train, images=count, batch_size=count)
    most = steps_per_dispatch(parts, made.dataset)
    function, batches = dispatches(parts.config, Resident(made.images, mesh), length, most)
    batch = next(batches)
    state = jax.device_put(create_state(made.variables, parts.optimizer, average=False), replicated(mesh))
    new = compiled(function, parts, state, batch, mesh)(state, batch)[0]
    before, after = trees.flatten(made.variables["params"]), trees.flatten(jax.device_get(new.params))
    return {path: (np.float64(before[path]) - np.float64(after[path])) / RATE for path in before}


# ---------------------------------------------------------------- the references


def reference(made: Setting, dtype: str, shaken: int = 0) -> list[dict[str, np.ndarray]]:
    """The gradient by path with XLA's plain operations, "float32", or with matrix products in "float64".

    Args:
      shaken: how often it is computed once more, each time with every parameter moved by a share of up to 2^-20, some
        roundings: how far those lead differs from time to time, and what may be switched shall be.
    """
    import jax
    import jax.numpy as jnp

    from cnnjax.core import trees
    from cnnjax.models.calls import equations
    from cnnjax.optim.losses import LOSSES

    config, model = made.parts.config, dataclasses.replace(made.parts.model, dtype=dtype)
    images = np.float64(made.images.images) / 255
    if config.augment.normalize == "dataset":
        images = (np.float64(made.images.images) - made.dataset.statistics.mean) / made.dataset.statistics.std
    targets = np.eye(model.num_classes)[made.images.labels]

    def loss(params: Any, rest: Any, images: Any, targets: Any) -> Any:
        forward = model.apply_train(rest | {"params": params}, images, jax.random.key(0), targets=targets)
        each = LOSSES[config.train.loss](forward.logits, targets)
        for logits in forward.auxiliary:
            each += model.auxiliary_weight * LOSSES[config.train.loss](logits, targets)
        return (each if forward.extra is None else each + forward.extra).mean()

    with _plain(dtype):
        rest = {"batch_stats": made.variables["batch_stats"]}
        given = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (made.variables["params"], rest, images, targets))
        traced = jax.jit(jax.grad(loss)).trace(*given)
        if dtype == "float64" and any(map(_loses_digits, equations(traced.jaxpr))):
            raise ValueError(f"{model.name} rounds some of its numbers to float32")
        compiled, found = traced.lower().compile(compiler_options=UNOPTIMIZED), []
        moved = [jax.tree.map(functools.partial(_shake, np.random.default_rng(n)), given[0]) for n in range(shaken)]
        for params in (given[0], *moved):
            leaves = trees.flatten(jax.device_get(compiled(params, *given[1:])))
            found.append({path: np.float64(leaf) for path, leaf in leaves.items()})
        return found


def _shake(rng: np.random.Generator, leaf: Any) -> Any:
    return leaf * np.asarray(1 + 2.0**-20 * rng.uniform(-1, 1, leaf.shape), leaf.dtype)


def _loses_digits(equation: Any) -> bool:
    """Whether float64 comes in and float32 goes out; constants, such as the counts of a mean, may be float32."""
    coming, going = ({str(one.aval.dtype) for one in ones} for ones in (equation.invars, equation.outvars))
    return "float64" in coming and "float32" in going


@contextlib.contextmanager
def _plain(dtype: str) -> Iterator[None]:
    """What is traced inside has no convolution and no pooling of our own; in float64 every float32 becomes that."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from cnnjax.models import convolution, pooling
    from cnnjax.models.convolution import forms

    def pool(inputs: Any, window: Any, stride: Any, around: Any) -> Any:
        return nn.max_pool(inputs, window, stride, around)

    with contextlib.ExitStack() as stack:
        stack.enter_context(convolution.plain())
        stack.enter_context(mock.patch.object(pooling, "max_pool_by_place", pool))
        if dtype == "float64":
            stack.enter_context(jax.enable_x64(True))
            stack.enter_context(mock.patch.object(jnp, "float32", jnp.float64))
            stack.enter_context(mock.patch.object(forms, "plain", by_products))
        yield


def by_products(inputs: Any, kernel: Any, case: Any) -> Any:
    """A convolution as the definition has it: the patches times the kernel; XLA's own takes minutes in float64."""
    import jax.numpy as jnp

    height, width, each, outputs = kernel.shape
    (rows, columns), groups = case.map, case.groups
    (top, bottom), (left, right) = case.around
    padded = jnp.pad(inputs, ((0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0)), (0, 0)))
    padded = padded[:, max(-top, 0) :, max(-left, 0) :]  # negative padding cuts; at the end the windows stop by count
    down, right = ((n - 1) * step + 1 for n, step in zip((rows, columns), case.stride, strict=True))
    patches = [
        padded[:, i : i + down : case.stride[0], j : j + right : case.stride[1]]
        for i in range(height)
        for j in range(width)
    ]
    taps = kernel.reshape(height * width, each, outputs)
    if each == 1 and outputs == groups:
        return sum(patch * tap[0] for patch, tap in zip(patches, taps, strict=True))
    if groups == 1:
        return jnp.concatenate(patches, -1) @ taps.reshape(-1, outputs)
    split = [patch.reshape(*patch.shape[:3], groups, each) for patch in patches]
    grouped = taps.reshape(-1, groups, outputs // groups)
    found = jnp.einsum("nhwgc,cgk->nhwgk", jnp.concatenate(split, -1), grouped)
    return found.reshape(*found.shape[:3], outputs)


# ---------------------------------------------------------------- how far apart


def distance(found: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> Distance:
    """Compares leaf by leaf; a leaf below a thousand millionth of the largest value of all is zero by construction."""
    top = max(np.abs(leaf).max() for leaf in exact.values())
    real = [path for path, leaf in exact.items() if np.abs(leaf).max() > 1e-9 * top]
    apart = sum(np.square(found[path] - exact[path]).sum() for path in real)
    return Distance(
        largest={path: largest(found[path], exact[path]) for path in real},
        cosine={path: _cosine(found[path], exact[path]) for path in real},
        whole=float((apart / sum(np.square(exact[path]).sum() for path in real)) ** 0.5),
        nothing=float(max((np.abs(found[path]).max() / top for path in exact if path not in real), default=0.0)),
    )


def farthest(distances: Sequence[Distance]) -> Distance:
    """The largest of each figure, the smallest of the cosines."""
    paths = distances[0].largest
    return Distance(
        largest={path: max(one.largest[path] for one in distances) for path in paths},
        cosine={path: min(one.cosine[path] for one in distances) for path in paths},
        whole=max(one.whole for one in distances),
        nothing=max(one.nothing for one in distances),
    )


def largest(found: np.ndarray, exact: np.ndarray) -> float:
    """The largest difference over the largest value."""
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def _cosine(found: np.ndarray, exact: np.ndarray) -> float:
    lengths = np.linalg.norm(found) * np.linalg.norm(exact)
    return float(np.vdot(found, exact) / lengths) if lengths else 0.0
