"""Small computations whose results are known: does what XLA has compiled here compute the right numbers?

Each compiles the library's own functions under jit, for one backend, and compares with `reference`: float64 NumPy. The
sizes are awkward on purpose: XLA's kernels differ at their edges, and faults have hidden there. What can crash the
process is never run.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.bench import reference
from cnnjax.core import logs
from cnnjax.models import convolution, norm, pooling
from cnnjax.optim import losses

Pairs: TypeAlias = Iterable[tuple[Any, Any]]
"""(computed, right) of each result."""

TOLERANCE = 2e-5
"""Of the largest value of a result: a hundred roundings of float32."""
PRODUCTS = {"cpu": TOLERANCE, "gpu": 4e-3, "tpu": 3e-2}
"""The same where values are multiplied: JAX's default on a GPU is TF32 (11 bits), on a TPU bfloat16 (8 bits)."""


@dataclass(frozen=True)
class Canary:
    """A computation with a known result.

    Attributes:
      compare: computes on the default device.
      multiplies: convolves or multiplies matrices, which accelerators do in fewer bits.
    """

    name: str
    compare: Callable[[], Pairs]
    multiplies: bool = False

    def run(self, backend: str) -> dict[str, Any]:
        """Computes on a backend.

        Returns:
          name, backend, ok; error, the largest difference as a share of the largest value of its result, None where
          nothing came out; tolerance; failure, what was raised, or None.
        """
        tolerance = PRODUCTS.get(backend, TOLERANCE) if self.multiplies else TOLERANCE
        error, failure = None, None
        try:
            with jax.default_device(jax.local_devices(backend=backend)[0]):
                error = max(difference(*pair) for pair in self.compare())
        except Exception as raised:  # whatever it is, the other canaries are run
            failure = " ".join(f"{type(raised).__name__}: {raised}".split())[:300]
        row = {"name": self.name, "backend": backend, "ok": error is not None and error <= tolerance}
        return row | {"error": error, "tolerance": tolerance, "failure": failure}


def run(backends: Iterable[str] | None = None, names: str = "") -> list[dict[str, Any]]:
    """Runs the canaries whose names contain `names` on each backend; None: on all that are present."""
    backends = present() if backends is None else backends
    pairs = [(canary, backend) for backend in backends for canary in CANARIES if names in canary.name]
    rows = []
    with logs.progress("canaries", len(pairs), lines=False) as tick:
        for canary, backend in pairs:
            rows.append(canary.run(backend))
            tick()
    return rows


def outcome(row: Mapping[str, Any]) -> str:
    """Returns what a table says of a canary: what was raised, or the error and the tolerance."""
    return row["failure"] or f"{row['error']:.1e} of {row['tolerance']:.0e}"


def present() -> list[str]:
    """Returns the backends of this process: the default one, and the CPU."""
    found = [jax.default_backend()]
    try:
        jax.local_devices(backend="cpu")
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return found
    return found if "cpu" in found else [*found, "cpu"]


def difference(computed: Any, right: Any) -> float:
    """Returns the largest difference as a share of the largest right value; infinite for NaN and for another shape."""
    computed, right = reference.wide(computed, right)
    if computed.shape != right.shape or not np.isfinite(computed).all():
        return float("inf")
    return float(np.abs(computed - right).max() / max(np.abs(right).max(), np.finfo(np.float32).tiny))


def _normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def _positive(*shape: int) -> Any:
    return np.random.default_rng(1).uniform(0.5, 1.5, shape).astype(np.float32)


# ---------------------------------------------------------------- convolution


class Shape(NamedTuple):
    """A convolution; together CONVOLUTIONS reach every form of models/convolution/plan.py."""

    inputs: tuple[int, int, int, int]
    kernel: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 0
    groups: int = 1


CONVOLUTIONS = {
    "3x3": Shape((4, 9, 11, 24), (3, 3, 24, 40), padding=1),
    "3x3, stride 2": Shape((4, 11, 13, 16), (3, 3, 16, 24), 2, 1),
    "3x3, many channels": Shape((2, 15, 14, 66), (3, 3, 66, 70), padding=1),
    "5x5, one channel": Shape((4, 17, 19, 1), (5, 5, 1, 6), padding=2),
    "7x7, stride 2, three channels": Shape((2, 23, 23, 3), (7, 7, 3, 40), 2, 3),
    "1x1 to more channels": Shape((3, 7, 11, 20), (1, 1, 20, 48)),
    "1x1 to fewer channels": Shape((3, 7, 11, 48), (1, 1, 48, 20)),
    "5x5, stride 2": Shape((2, 13, 13, 18), (5, 5, 18, 20), 2, 2),
    "depthwise": Shape((2, 13, 11, 24), (3, 3, 1, 24), padding=1, groups=24),
    "depthwise, stride 2": Shape((2, 13, 11, 24), (3, 3, 1, 24), 2, 1, 24),
    "two groups": Shape((2, 9, 9, 16), (3, 3, 8, 24), padding=1, groups=2),
    "eight groups": Shape((2, 9, 9, 32), (3, 3, 4, 32), padding=1, groups=8),
}


def _convolution(shape: Shape, plain: bool) -> Pairs:
    inputs, kernel = _normal(*shape.inputs), _normal(*shape.kernel, seed=2)

    def compute(inputs: Any, kernel: Any) -> Any:
        return convolution.convolve(inputs, kernel, stride=shape.stride, padding=shape.padding, groups=shape.groups)

    weights = _normal(*jax.eval_shape(compute, inputs, kernel).shape, seed=3)

    @jax.jit
    def all_three(inputs: Any, kernel: Any, weights: Any) -> Any:
        outputs, back = jax.vjp(compute, inputs, kernel)
        return outputs, *back(weights)

    if plain:
        with convolution.plain():
            computed = all_three(inputs, kernel, weights)
    else:
        computed = all_three(inputs, kernel, weights)
    stride, around = (shape.stride,) * 2, ((shape.padding,) * 2,) * 2
    return zip(computed, reference.convolution(inputs, kernel, weights, stride, around, shape.groups), strict=True)


# ---------------------------------------------------------------- layers


def _batch_norm(*shape: int) -> Pairs:
    inputs, weights = _normal(*shape) * 2 + 3, _normal(*shape, seed=3)
    scale, bias = _positive(shape[-1]), _normal(shape[-1])
    layer, axes = norm.BatchNorm(), tuple(range(len(shape) - 1))
    statistics = {"mean": _normal(shape[-1]), "var": _positive(shape[-1])}

    def loss(inputs: Any, params: Any) -> Any:
        variables = {"params": params, "batch_stats": statistics}
        outputs, updated = layer.apply(variables, inputs, train=True, mutable=["batch_stats"])
        return jnp.sum(weights * outputs), (outputs, updated["batch_stats"])

    params = {"scale": scale, "bias": bias}
    (to_inputs, to_params), (outputs, running) = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(inputs, params)
    right, normalized, factor = reference.normalization(inputs, scale, bias, layer.eps, axes)
    wide = np.asarray(inputs, np.float64)
    for name, new in (("mean", wide.mean(axes)), ("var", wide.var(axes, ddof=1))):
        yield running[name], statistics[name] + layer.momentum * (new - statistics[name])
    gradients = reference.normalization_gradients(weights, scale, normalized, factor, axes)
    yield outputs, right
    yield from zip((to_inputs, to_params["scale"], to_params["bias"]), gradients, strict=True)


def _layer_norm(*shape: int) -> Pairs:
    inputs, weights = _normal(*shape) * 2 + 1, _normal(*shape, seed=3)
    params = {"scale": _positive(shape[-1]), "bias": _normal(shape[-1])}
    layer = norm.LayerNorm()

    def loss(inputs: Any, params: Any) -> Any:
        outputs = layer.apply({"params": params}, inputs)
        return jnp.sum(weights * outputs), outputs

    (to_inputs, to_params), outputs = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(inputs, params)
    right, normalized, factor = reference.normalization(inputs, params["scale"], params["bias"], layer.eps, (-1,))
    gradients = reference.normalization_gradients(weights, params["scale"], normalized, factor, (-1,))
    yield outputs, right
    yield from zip((to_inputs, to_params["scale"], to_params["bias"]), gradients, strict=True)


def _pooling(shape: tuple[int, int, int, int], window: int, stride: int) -> Pairs:
    """Max-pooling behind BatchNorm and ReLU, where XLA may compute a value twice and round it differently.

    The inputs of a channel of an image are all places of a grid in a random order, far apart for their rounding: so
    which of a window is the largest is certain, and a gradient at another place is a fault.
    """
    count, height, width, channels = shape
    order = np.random.default_rng(shape).permuted(np.tile(np.arange(height * width), (count, channels, 1)), axis=-1)
    grid = (order / (height * width) - 0.5).reshape(count, channels, height, width).transpose(0, 2, 3, 1)
    inputs = (grid * _positive(channels) + _normal(channels)).astype(np.float32)
    params = {"scale": _positive(channels), "bias": _normal(channels) / 10}
    layer, pool = norm.BatchNorm(), pooling.MaxPool(window, stride=stride)
    rows, columns = ((side - window) // stride + 1 for side in (height, width))
    weights = _normal(count, rows, columns, channels, seed=3)

    def loss(inputs: Any, params: Any, weights: Any) -> Any:
        variables = {"params": params, "batch_stats": {"mean": jnp.zeros(channels), "var": jnp.ones(channels)}}
        values, _ = layer.apply(variables, inputs, train=True, mutable=["batch_stats"])
        outputs = pool.apply({}, jax.nn.relu(values))
        return jnp.sum(weights * outputs), outputs  # which the next layer needs, so that they are stored

    (to_inputs, to_params), outputs = jax.jit(jax.grad(loss, (0, 1), has_aux=True))(inputs, params, weights)
    right, normalized, factor = reference.normalization(inputs, params["scale"], params["bias"], layer.eps, (0, 1, 2))
    pooled, gradient = reference.max_pool(np.maximum(right, 0), weights, window, stride)
    gradients = reference.normalization_gradients(
        gradient * (right > 0), params["scale"], normalized, factor, (0, 1, 2)
    )
    yield outputs, pooled
    yield from zip((to_inputs, to_params["scale"], to_params["bias"]), gradients, strict=True)


def _cross_entropy(count: int, classes: int) -> Pairs:
    logits, weights = _normal(count, classes) * 5, _normal(count, seed=3)
    targets = np.eye(classes, dtype=np.float32)[np.arange(count) % classes]

    def loss(logits: Any) -> Any:
        each = losses.softmax_cross_entropy(logits, losses.smooth(jnp.asarray(targets), 0.1))
        return jnp.sum(weights * each), (each, losses.probabilities(logits, "softmax"))

    gradient, (each, shares) = jax.jit(jax.grad(loss, has_aux=True))(logits)
    right, logarithms = reference.softmax(logits)
    smooth = 0.9 * np.asarray(targets, np.float64) + 0.1 / classes
    yield each, -(smooth * logarithms).sum(-1)
    yield shares, right
    yield gradient, weights[:, None].astype(np.float64) * (right - smooth)


# ---------------------------------------------------------------- sums and products

COUNTS = (1, 127, 8191, 32_767, 32_768, 32_769, 32_771, 65_537)
"""Ones, primes, and both sides of 2^15, where kernels split their work."""


def _squares() -> Pairs:
    """A small product for each row, squared and summed: wrong in the last row on jaxlib 0.10.2 (jax issue 39103)."""
    for count in COUNTS:
        rows = np.zeros((count, 3), np.float32)
        rows[:, 0] = np.arange(1, count + 1) % 4096  # whose squares float32 holds
        each = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))(rows)
        yield each, (rows.astype(np.float64) ** 2).sum(-1)


def _sums() -> Pairs:
    axes = (0, 1, None)

    def reduce(rows: Any) -> Any:
        return [
            (rows.sum(axis), rows.mean(axis), rows.max(axis), rows.min(axis), jnp.square(rows).sum(axis))
            for axis in axes
        ]

    for shape in (*((count, 3) for count in COUNTS), (3, 32_769), (1, 1), (1, 7919), (131, 257)):
        rows = _positive(*shape)
        wide = rows.astype(np.float64)
        for axis, results in zip(axes, jax.jit(reduce)(rows), strict=True):
            right = [f(wide, axis=axis) for f in (np.sum, np.mean, np.max, np.min)] + [(wide**2).sum(axis)]
            yield from zip(results, right, strict=True)


def _products() -> Pairs:
    sizes = [(count, 5, 7) for count in COUNTS] + [(7, count, 5) for count in COUNTS] + [(127, 131, 137), (1, 257, 1)]
    for rows, inner, columns in sizes:
        left, right = _normal(rows, inner), _normal(inner, columns, seed=2)
        yield jax.jit(jnp.matmul)(left, right), left.astype(np.float64) @ right.astype(np.float64)


def _canaries() -> Iterable[Canary]:
    for plain in (False, True):
        for name, shape in CONVOLUTIONS.items():
            which = "XLA's convolution" if plain else "convolution"
            yield Canary(f"{which}, {name}", functools.partial(_convolution, shape, plain), multiplies=True)
    for maps, window, stride in (((16, 28, 28, 16), 2, 2), ((8, 35, 35, 192), 3, 2)):
        name = f"max pooling behind BatchNorm, {'x'.join(map(str, maps))}, window {window}, stride {stride}"
        yield Canary(name, functools.partial(_pooling, maps, window, stride))
    for sizes in ((16, 7, 7, 33), (1, 181, 181, 3), (127, 5)):
        yield Canary(f"BatchNorm, {'x'.join(map(str, sizes))}", functools.partial(_batch_norm, *sizes))
    for sizes in ((3, 7, 7, 96), (32_769, 5), (1, 1, 1, 8191)):
        yield Canary(f"LayerNorm, {'x'.join(map(str, sizes))}", functools.partial(_layer_norm, *sizes))
    for count, classes in ((32_769, 10), (127, 1009), (1, 2)):
        name = f"softmax and cross-entropy, {count} x {classes}"
        yield Canary(name, functools.partial(_cross_entropy, count, classes))
    yield Canary("reductions behind a product, 1 to 65537 rows", _squares, multiplies=True)
    yield Canary("reductions, 1 to 65537 rows", _sums)
    yield Canary("matrix products, 1 to 65537 rows", _products, multiplies=True)


CANARIES = tuple(_canaries())
