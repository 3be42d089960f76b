"""What a model is to the rest of the library: `create_model(name)` gives a `Model` of pure functions over nested dicts.

A net is a Flax module with `features` (images -> what the last layers see) and `head` (that -> logits). A variant is a
row of a table over one such module, registered with its card.
"""

import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array, Tree
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry
from cnnjax.models.blocks import AdaptiveAvgPool, Conv, Dense, Flatten, GlobalAvgPool
from cnnjax.models.cards import Card


class Classifier(nn.Module, kw_only=True):
    """Images [N, H, W, C] -> logits [N, num_classes]; a family defines `features` and `head`.

    Attributes:
      remat: `chain` forgets what is between its ends, and the backward pass computes it again.
    """

    num_classes: int
    remat: bool = False

    def features(self, images: Array, train: bool = False) -> Array:
        raise NotImplementedError

    def head(self, features: Array, train: bool = False) -> Array:
        raise NotImplementedError

    def __call__(self, images: Array, train: bool = False) -> Array:
        return self.head(self.features(images, train), train)

    def chain(self, names: Sequence[str], values: Array, train: bool) -> Array:
        """Calls the layers or blocks of these names one after the other."""

        def run(net: Any, values: Array) -> Array:
            for name in names:
                values = getattr(net, name)(values, train)
            return values

        if self.remat:
            run = nn.remat(run, policy=_keep_products)
        return cast(Array, run(self, values))


def _keep_products(primitive: Any, *_: Any, **__: Any) -> bool:
    """Remat's rule: the dear operations' results are kept; norms, activations, pools and dropout are cheap to redo."""
    return primitive in (lax.conv_general_dilated_p, lax.dot_general_p)


class Sequential(Classifier):
    """A net whose layers stand in one row, written as the table of its paper.

    `features` ends where the map is flattened or pooled to a fixed size: before the first Flatten, GlobalAvgPool or
    AdaptiveAvgPool.
    """

    def layers(self) -> dict[str, nn.Module]:
        """Returns the layers by name, in order; the names become those of the parameters."""
        raise NotImplementedError

    def setup(self) -> None:
        layers = self.layers()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.order = tuple(layers)
        self.cut = next(
            i for i, layer in enumerate(layers.values()) if isinstance(layer, (Flatten, GlobalAvgPool, AdaptiveAvgPool))
        )

    def features(self, images: Array, train: bool = False) -> Array:
        return self._row(self.order[: self.cut], images, train)

    def head(self, features: Array, train: bool = False) -> Array:
        return self._row(self.order[self.cut :], features, train)

    def _row(self, names: tuple[str, ...], values: Array, train: bool) -> Array:
        if not self.remat:
            return self.chain(names, values, train)
        # Cut behind each convolution and dense layer: only their results stay in memory.
        start = 0
        for end, name in enumerate(names, 1):
            if isinstance(getattr(self, name), (Conv, Dense)) or end == len(names):
                values, start = self.chain(names[start:end], values, train), end
        return values


# ---------------------------------------------------------------- the registry


@dataclass
class Entry:
    """A registered net: `build(num_classes=...)` makes the module."""

    build: Callable[..., nn.Module]
    card: Card

    @property
    def module_class(self) -> type[nn.Module]:
        return cast(Any, self.build.func if isinstance(self.build, functools.partial) else self.build)


MODELS: Registry[Entry] = Registry("model")

Build = TypeVar("Build", bound=Callable[..., nn.Module])


def register_model(name: str, *, input_size: tuple[int, int, int], **card: Any) -> Callable[[Build], Build]:
    """Registers a net, one's own too: @register_model("mine", input_size=(32, 32, 3)) on a Flax module class.

    Args:
      name: what config.model.name calls it; registering the same class again (a cell run twice) replaces it.
      input_size: (height, width, channels) when nobody says otherwise.
      **card: further fields of the Card (num_classes, family, paper, ...).

    Returns:
      The decorator; it takes a module class, or functools.partial of one with a variant's fields.

    Raises:
      UserError: the class lacks `features`, `head` or `num_classes`.
    """

    def register(build: Build) -> Build:
        entry = Entry(build, Card(input_size=input_size, **card))
        _check_contract(name, entry.module_class)
        if name in MODELS and _same_class(MODELS[name].build, build):
            MODELS[name].build, MODELS[name].card = build, entry.card
        else:
            MODELS.register(name, entry)
        return build

    return register


def _same_class(old: Any, new: Any) -> bool:
    names = [(getattr(one, "__module__", None), getattr(one, "__qualname__", None)) for one in (old, new)]
    return names[0] == names[1] and isinstance(new, type)


def list_models() -> list[str]:
    """Returns the registered names, sorted."""
    return sorted(MODELS)


def _check_contract(name: str, module_class: Any) -> None:
    if not (isinstance(module_class, type) and issubclass(module_class, nn.Module)):
        raise UserError(f"{name} is no Flax module class; a model is a flax.linen.Module with features and head")
    for method in ("features", "head"):
        function = getattr(module_class, method, None)
        if function is None or "train" not in inspect.signature(function).parameters:
            form = "images" if method == "features" else "features"
            raise UserError(f"{name} needs a method {method}(self, {form}, train=False)")
    if "num_classes" not in {field.name for field in dataclasses.fields(module_class)}:
        raise UserError(f"{name} needs an attribute num_classes: int, the number of its logits")


def _find(name: str) -> Entry:
    if name.startswith("plain:"):
        from cnnjax.models.plain import Plain  # which is itself made of this file's classes

        return Entry(functools.partial(Plain, pattern=name.removeprefix("plain:")), Card((32, 32, 3), family="plain"))
    if ":" in name:
        return _import(name)
    return MODELS[name]


def _import(name: str) -> Entry:
    """The class behind package.module:Class, looked for in the working folder as well."""
    path, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:  # the console script does not put it there, `python -m` does
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            raise UserError(f"{name}: there is no module {error.name} in {Path.cwd()} or among the packages") from None
        raise UserError(f"{name}: importing {path} fails with {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{name}: {path} has no class {attribute}")
    found = getattr(module, attribute)
    _check_contract(name, found)
    registered = (entry for entry in MODELS.values() if entry.build is found)
    return next(registered, Entry(found, Card((32, 32, 3))))


# ---------------------------------------------------------------- the model


@dataclass(frozen=True)
class Model:
    """A net at one input size and number of classes: pure functions over {"params": ..., "batch_stats": ...}.

    Attributes:
      input_size: (height, width, channels).
      dtype: of the computation; parameters and statistics are float32, and so is all that comes out.
      dropout: the rate of every dropout layer; None: the net's own.
    """

    name: str
    card: Card
    num_classes: int
    input_size: tuple[int, int, int]
    module: nn.Module
    dtype: Literal["float32", "bfloat16"] = "float32"
    dropout: float | None = None

    def init(self, key: Array) -> Tree:
        """Draws the parameters; "batch_stats" is empty where the net keeps none."""
        return _both(jax.jit(lambda key: self._trace(key)[1])(key))

    def shapes(self) -> Tree:
        """The same tree of jax.ShapeDtypeStruct, by shape only."""
        return _both(self._abstract[1])

    def apply(
        self,
        variables: Tree,
        images: Array,
        *,
        train: bool = False,
        key: Array | None = None,
        method: Literal["__call__", "features", "head"] = "__call__",
    ) -> Array:
        """Evaluates the net.

        Args:
          images: float [N, H, W, C], normalised; for method "head" what "features" gave.
          train: draws dropout from `key` and normalises by the batch, without updating statistics.

        Returns:
          Logits float32 [N, num_classes], or the features.
        """
        rngs = None if key is None else {"dropout": key}
        outputs = self._run(variables, images, train=train, method=method, rngs=rngs)
        return outputs.astype(jnp.float32)

    def apply_train(
        self, variables: Tree, images: Array, key: Array, *, observe: bool = False
    ) -> tuple[Array, Tree, dict[str, Array]]:
        """The forward pass of a training step: dropout on, batch statistics used and updated.

        Returns:
          Logits float32 [N, num_classes]; the new batch_stats; what was observed: with `observe`, and if the net has
          ReLU layers of models.blocks, {"dead_relu": share of their units (of a map: channels) that no picture and no
          position of the batch switches on}.
        """
        mutable = ["batch_stats", "observed"] if observe else ["batch_stats"]

        def forward(variables: Tree, images: Array, key: Array) -> tuple[Array, Tree]:
            return self._run(variables, images, train=True, rngs={"dropout": key}, mutable=mutable)

        logits, changed = forward(variables, images, key)
        fired = jax.tree.leaves(changed.get("observed", {}))
        observed = {"dead_relu": 1 - jnp.concatenate(fired).mean(dtype=jnp.float32)} if fired else {}
        return logits.astype(jnp.float32), changed.get("batch_stats", {}), observed

    def _run(self, variables: Tree, inputs: Array, *, train: bool, method: str = "__call__", **options: Any) -> Any:
        def call(module: Any, inputs: Array) -> Array:
            inputs = inputs.astype(self.dtype)
            if method == "__call__":  # one's own module need not define it
                return module.head(module.features(inputs, train=train), train=train)
            return getattr(module, method)(inputs, train=train)

        if self.dropout is None:
            return self.module.apply(variables, inputs, method=call, **options)
        with nn.intercept_methods(functools.partial(_set_rate, self.dropout)):
            return self.module.apply(variables, inputs, method=call, **options)

    def _trace(self, key: Array) -> tuple[Array, Tree]:
        """Logits of one black picture, and fresh variables."""

        def call(module: Any, images: Array) -> Array:
            return module.head(module.features(images, train=False), train=False)

        images = jnp.zeros((1, *self.input_size), self.dtype)
        logits, variables = self.module.init_with_output(key, images, method=call, mutable=["params", "batch_stats"])
        return cast(Array, logits), cast(Tree, variables)

    @functools.cached_property
    def _abstract(self) -> tuple[jax.ShapeDtypeStruct, Tree]:
        with nn.intercept_methods(_refuse_empty):
            return cast(Any, jax.eval_shape(lambda key: self._trace(key), jax.random.key(0)))


def _both(variables: Mapping[str, Any]) -> Tree:
    return {"params": variables.get("params", {}), "batch_stats": variables.get("batch_stats", {})}


def _set_rate(rate: float, run: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """Interceptor: a bound dropout layer, which lives for this one call only, takes the model's rate."""
    if isinstance(context.module, nn.Dropout):
        object.__setattr__(context.module, "rate", rate)
    return run(*args, **kwargs)


# ---------------------------------------------------------------- making one


def create_model(
    name: str,
    num_classes: int | None = None,
    *,
    input_size: tuple[int, int, int] | None = None,
    dtype: Literal["float32", "bfloat16"] = "float32",
    dropout: float | None = None,
    remat: bool = False,
) -> Model:
    """Makes a model by name and checks, by shapes only, that it fits the pictures.

    Args:
      name: a registered name, package.module:Class, or plain:PATTERN (see models/plain.py).
      num_classes: number of logits; None: the card's.
      input_size: (height, width, channels); None: the card's.
      dtype: of the computation.
      dropout: 0 .. 1, replaces the rate of every dropout layer; None: the net's own.
      remat: less memory in the backward pass for more time.

    Raises:
      UserError: unknown name (the nearest is named), a class that is no model or cannot do what is asked, or pictures
        too small for it (the smallest size that works is named).
    """
    entry = _find(name)
    classes = entry.card.num_classes if num_classes is None else num_classes
    fields = {field.name for field in dataclasses.fields(entry.module_class)}
    options: dict[str, Any] = {"dtype": jnp.dtype(dtype)} if "dtype" in fields else {}
    if remat and "remat" not in fields:
        raise UserError(f"config.model.remat=True needs a net with an attribute remat: bool, which {name} lacks")
    options |= {"remat": remat} if remat else {}
    module = entry.build(num_classes=classes, **options)
    model = Model(name, entry.card, classes, input_size or entry.card.input_size, module, dtype, dropout)
    _check_fit(model)
    return model


class _Empty(Exception):
    """A layer had nothing to work on."""


def _refuse_empty(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
    """Interceptor: XLA lets a picture shrink to no pixels without a word; this does not."""
    outputs = run(*args, **kwargs)
    if any(0 in value.shape for value in jax.tree.leaves((args, outputs)) if hasattr(value, "shape")):
        raise _Empty
    return outputs


def _check_fit(model: Model) -> None:
    try:
        logits = model._abstract[0]
    except UserError:
        raise
    except Exception as error:
        height, width, _ = model.input_size
        smallest = _smallest_side(model)
        if smallest is None or smallest <= min(height, width):
            raise
        raise UserError(
            f"{model.name} needs pictures of at least {smallest} x {smallest}; "
            f"config.model.input_size is {height} x {width}"
        ) from (None if isinstance(error, _Empty) else error)
    if logits.shape != (1, model.num_classes):
        raise UserError(
            f"{model.name} gives outputs of shape {list(logits.shape)} for one picture; "
            f"its head must give [1, num_classes], here [1, {model.num_classes}]"
        )


def _smallest_side(model: Model) -> int | None:
    """The smallest square that the net can work on, by doubling and bisection over shapes; None: not even 1024."""

    def works(side: int) -> bool:
        try:
            _ = dataclasses.replace(model, input_size=(side, side, model.input_size[2]))._abstract
        except Exception:
            return False
        return True

    fails, fits = 0, 1
    while not works(fits):
        fails, fits = fits, fits * 2
        if fits > 1024:
            return None
    while fits - fails > 1:
        middle = (fails + fits) // 2
        fails, fits = (fails, middle) if works(middle) else (middle, fits)
    return fits
