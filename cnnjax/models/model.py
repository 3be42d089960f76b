"""What a model is to the rest of the library: `create_model(name)` gives pure functions over nested dicts."""

import dataclasses
import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from cnnjax.core import startup, trees
from cnnjax.core.arrays import Array, Tree
from cnnjax.core.errors import UserError
from cnnjax.models import convolution
from cnnjax.models.base import find, resolve_alias
from cnnjax.models.calls import Call, Calls, Empty, equations
from cnnjax.models.cards import Card


class Forward(NamedTuple):
    """What the forward pass of a training step gives.

    Attributes:
      logits: float32 [N, num_classes].
      batch_stats: the updated running statistics.
      observed: with `observe`, and if the model has ReLU layers of models.blocks, {"dead_relu": share of their units
        (of a map: channels) that no image and no position of the batch switches on}.
      auxiliary: logits of auxiliary heads, each float32 [N, num_classes]; their losses count `auxiliary_weight` times.
      extra: float32 [N], what the model itself adds to the loss of each image (a reconstruction), or None.
    """

    logits: Array
    batch_stats: Tree
    observed: dict[str, Array]
    auxiliary: tuple[Array, ...] = ()
    extra: Array | None = None


class Trace(NamedTuple):
    """What one image's way through a model tells.

    Attributes:
      logits, variables: their shapes.
      calls: of modules.
      steady: whether no convolution has a stride, holes or groups.
    """

    logits: jax.ShapeDtypeStruct
    variables: Tree
    calls: tuple[Call, ...]
    steady: bool


@dataclass(frozen=True)
class Model:
    """A model at one input size and number of classes: pure functions over {"params": ..., "batch_stats": ...}.

    Attributes:
      input_size: (height, width, channels).
      dtype: of the computation; parameters and statistics are float32, and so is all that comes out.
      dropout: the rate of every dropout layer; None: the model's own.
    """

    name: str
    card: Card
    num_classes: int
    input_size: tuple[int, int, int]
    module: nn.Module
    dtype: Literal["float32", "bfloat16"] = "float32"
    dropout: float | None = None

    def init(self, key: Array) -> Tree:
        """Draws the parameters; "batch_stats" is empty where the model keeps none."""
        return _both(jax.jit(lambda key: self._trace(key)[1])(key))

    def draw(self, key: Array, paths: Collection[str]) -> dict[str, Array]:
        """Draws the leaves of these paths alone, by path, as `init` does; XLA leaves out what only others need."""

        def some(key: Array) -> dict[str, Array]:
            flat = trees.flatten(_both(self._trace(key)[1]))
            return {path: flat[path] for path in paths}

        return jax.jit(some)(key)

    def shapes(self) -> Tree:
        """The same tree of jax.ShapeDtypeStruct, by shape only."""
        return _both(self.trace.variables)

    def apply(
        self,
        variables: Tree,
        images: Array,
        *,
        train: bool = False,
        key: Array | None = None,
        method: Literal["__call__", "features", "head"] = "__call__",
    ) -> Array:
        """Evaluates the model.

        Args:
          images: float [N, H, W, C], normalized; for method "head" what "features" gave.
          train: draws dropout from `key` and normalizes by the batch, without updating statistics.

        Returns:
          Logits float32 [N, num_classes], or the features.
        """
        rngs = None if key is None else {"dropout": key}
        outputs = self._run(variables, images, train=train, method=method, rngs=rngs)
        return outputs.astype(jnp.float32)

    def apply_dense(self, variables: Tree, images: Array) -> Array:
        """Evaluates the model on images of any size, at every place where its head fits on their map.

        Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.2: the dense layers become convolutions, and the logits
        of all places are averaged. Moving the head over the map is the same, and serves any model with a map.

        Args:
          images: float [N, H, W, C], at least of the input size.

        Returns:
          Logits float32 [N, num_classes].

        Raises:
          UserError: the features are no map that grows with the image.
        """
        black = jax.ShapeDtypeStruct((1, *self.input_size), jnp.float32)
        window = jax.eval_shape(functools.partial(self.apply, variables, method="features"), black).shape
        no_map = UserError(
            f"{self.name} cannot be moved over a larger image, since its features are no map of it; "
            "config.evaluate.views=dense is for models of convolutions with pooling or dense layers behind them"
        )
        try:
            features = self.apply(variables, images, method="features")
        except Exception as error:
            raise no_map from error
        if features.ndim != 4:
            raise no_map
        if features.shape[1] < window[1] or features.shape[2] < window[2]:
            raise UserError(
                f"the map that {self.name} makes of {images.shape[1]} x {images.shape[2]} images is "
                f"{features.shape[1]} x {features.shape[2]}, but its head takes {window[1]} x {window[2]}; give larger "
                "images"
            )
        rows, columns = (side - place + 1 for side, place in zip(features.shape[1:3], window[1:3], strict=True))
        places = jnp.stack(jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij"), -1).reshape(-1, 2)

        def at(place: Array) -> Array:
            size = (len(features), *window[1:])
            return self.apply(variables, lax.dynamic_slice(features, (0, *place, 0), size), method="head")

        return lax.map(at, places).mean(0)

    def apply_train(
        self, variables: Tree, images: Array, key: Array, *, targets: Array | None = None, observe: bool = False
    ) -> Forward:
        """The forward pass of a training step: dropout on, batch statistics used and updated, auxiliary heads run.

        Args:
          targets: float32 [N, num_classes], for models that have an extra loss; None: it is left out.
          observe: see Forward.observed.
        """
        mutable = ["batch_stats", "auxiliary", *(["observed"] if observe else [])]
        rngs = {"dropout": key}
        (logits, extra), changed = self._run(variables, images, train=True, targets=targets, rngs=rngs, mutable=mutable)
        fired = jax.tree.leaves(changed.get("observed", {}))
        observed = {"dead_relu": 1 - jnp.concatenate(fired).mean(dtype=jnp.float32)} if fired else {}
        auxiliary = tuple(leaf.astype(jnp.float32) for leaf in jax.tree.leaves(changed.get("auxiliary", {})))
        return Forward(logits.astype(jnp.float32), changed.get("batch_stats", {}), observed, auxiliary, extra)

    def embed(self, variables: Tree, images: Array) -> Array:
        """Returns what the last layer with a kernel sees, averaged over positions, float32 [N, F].

        That is where the model has told the images apart but not yet named them.
        """
        seen: list[Array] = []

        def watch(run: Any, args: Any, kwargs: Any, context: Any) -> Any:
            outputs = run(*args, **kwargs)
            if context.method_name == "__call__" and context.module.has_variable("params", "kernel"):
                seen.append(args[0])
            return outputs

        with nn.intercept_methods(watch):
            features = self.apply(variables, images, method="features")
            self.apply(variables, features, method="head")
        last = seen[-1] if seen else features
        return last.reshape(len(last), -1, last.shape[-1]).mean(1, dtype=jnp.float32)

    @functools.cached_property
    def head_leaves(self) -> frozenset[str]:
        """The paths of the leaves whose shape depends on the number of classes, auxiliary heads' too."""
        return self._changing(create_model(self.name, self.num_classes + 1, input_size=self.input_size))

    @functools.cached_property
    def auxiliary_leaves(self) -> frozenset[str]:
        """The paths of the leaves of auxiliary heads, which evaluation does without."""
        beside = {call.path for call in self.trace.calls if call.beside}
        return frozenset(path for path in trees.flatten(self.shapes()) if tuple(path.split("/")[1:-1]) in beside)

    @functools.cached_property
    def stem_leaves(self) -> frozenset[str]:
        """The paths of the leaves whose shape depends on the number of input channels."""
        height, width, channels = self.input_size
        return self._changing(create_model(self.name, self.num_classes, input_size=(height, width, channels + 1)))

    def _changing(self, other: "Model") -> frozenset[str]:
        here, there = trees.flatten(self.shapes()), trees.flatten(other.shapes())
        return frozenset(path for path in here if here[path].shape != there[path].shape)

    @property
    def auxiliary_weight(self) -> float:
        """Weight of each auxiliary head's loss; the model's own says, or GoogLeNet's 0.3."""
        return float(getattr(self.module, "auxiliary_weight", 0.3))

    def _run(
        self,
        variables: Tree,
        inputs: Array,
        *,
        train: bool,
        method: str = "__call__",
        targets: Array | None = None,
        **options: Any,
    ) -> Any:
        def call(module: Any, inputs: Array) -> Any:
            inputs = inputs.astype(self.dtype)
            if method != "__call__":
                return getattr(module, method)(inputs, train=train)
            features = module.features(inputs, train=train)  # one's own module need not define __call__
            logits = module.head(features, train=train)
            if "mutable" not in options:
                return logits
            has_extra = targets is not None and hasattr(module, "extra_loss")
            return logits, module.extra_loss(inputs, features, targets) if has_extra else None

        if self.dropout is None:
            return self.module.apply(variables, inputs, method=call, **options)
        with nn.intercept_methods(functools.partial(_set_rate, self.dropout)):
            return self.module.apply(variables, inputs, method=call, **options)

    def _trace(self, key: Array) -> tuple[Array, Tree]:
        """Logits of one black image, and fresh variables."""

        def call(module: Any, images: Array) -> Array:
            return module.head(module.features(images, train=False), train=False)

        images = jnp.zeros((1, *self.input_size), self.dtype)
        collections = ["params", "batch_stats"]
        with convolution.plain():  # nothing is computed here, and one operation is traced sooner than sixteen products
            logits, variables = self.module.init_with_output(key, images, method=call, mutable=collections)
        return cast(Array, logits), cast(Tree, variables)

    @functools.cached_property
    def trace(self) -> Trace:
        """The model by shape only; found once, since a deep one takes a second."""
        calls = Calls()
        with nn.intercept_methods(calls):
            traced = jax.make_jaxpr(lambda key: self._trace(key), return_shape=True)
            operations, (logits, variables) = traced(jax.random.key(0))
        steady = all(
            {*of["window_strides"], *of["lhs_dilation"], *of["rhs_dilation"], of["feature_group_count"]} == {1}
            for of in (one.params for one in equations(operations) if one.primitive is lax.conv_general_dilated_p)
        )
        return Trace(cast(Any, logits), cast(Any, variables), tuple(calls.rows), steady)

    @functools.cached_property
    def solitary(self) -> bool:
        """Whether an image's way through the model in training depends neither on others of the batch nor on chance.

        One's own modules may do what they like with a batch, so False for them.
        """
        if self.shapes()["batch_stats"] or not type(self.module).__module__.startswith(f"{__package__}."):
            return False
        image = jax.ShapeDtypeStruct((1, *self.input_size), jnp.float32)
        with convolution.plain():  # as in `_trace`
            drawn = jax.make_jaxpr(self.apply_train)(self.shapes(), image, jax.random.key(0))
        return not any(one.primitive.name.startswith("random_") for one in equations(drawn))


def from_flat(flat: Mapping[str, Any]) -> Tree:
    """Returns {"params", "batch_stats"} of leaves by path, the inverse of `trees.flatten`; either may be empty."""
    return _both(trees.unflatten(flat))


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
    drop_path: float | None = None,
    remat: bool = False,
) -> Model:
    """Makes a model by name and checks, by shapes only, that it fits the images.

    Args:
      name: a registered name, package.module:Class, or plain:PATTERN (see models/plain.py).
      num_classes: number of logits; None: the card's.
      input_size: (height, width, channels); None: the card's.
      dtype: of the computation.
      dropout: 0 .. 1, replaces the rate of every dropout layer; None: the model's own.
      drop_path: 0 .. 1, replaces the rate of stochastic depth at the last block; None: the model's own.
      remat: less memory in the backward pass for more time.

    Raises:
      UserError: unknown name (the nearest is named), a class that is no model or cannot do what is asked, or images
        too small for it (the smallest size that works is named).
    """
    startup.set_flags()
    name, entry = resolve_alias(name), find(name)
    classes = entry.card.num_classes if num_classes is None else num_classes
    if classes < 1:
        raise UserError(f"num_classes={classes} leaves {name} no output; it must be 1 or more")
    fields = {field.name for field in dataclasses.fields(entry.module_class)}
    options: dict[str, Any] = {"dtype": jnp.dtype(dtype)} if "dtype" in fields else {}
    if remat and "remat" not in fields:
        raise UserError(f"config.model.remat=True needs a model with an attribute remat: bool, which {name} lacks")
    options |= {"remat": remat} if remat else {}
    if drop_path and "drop_path" not in fields:
        raise UserError(
            f"config.model.drop_path={drop_path:g} needs a model with an attribute drop_path: float, which {name} lacks"
        )
    options |= {} if drop_path is None or "drop_path" not in fields else {"drop_path": drop_path}
    module = entry.build(num_classes=classes, **options)
    model = Model(name, entry.card, classes, input_size or entry.card.input_size, module, dtype, dropout)
    _check_fit(model)
    if dropout and not any(call.kind == "Dropout" for call in model.trace.calls):
        raise UserError(f"config.model.dropout={dropout:g} needs a model with a dropout layer, which {name} lacks")
    return model


def _check_fit(model: Model) -> None:
    try:
        logits = model.trace.logits
    except UserError:
        raise
    except Exception as error:
        height, width, _ = model.input_size
        smallest = _smallest_side(model)
        if smallest is None or smallest <= min(height, width):
            raise
        raise UserError(
            f"{model.name} needs images of at least {smallest} x {smallest}; "
            f"config.model.input_size is {height} x {width}"
        ) from (None if isinstance(error, Empty) else error)
    if logits.shape != (1, model.num_classes):
        raise UserError(
            f"{model.name} gives outputs of shape {list(logits.shape)} for one image; "
            f"its head must give [1, num_classes], here [1, {model.num_classes}]"
        )


def _smallest_side(model: Model) -> int | None:
    """The smallest square that the model can work on, by doubling and bisection over shapes; None: not even 1024."""

    def works(side: int) -> bool:
        try:
            _ = dataclasses.replace(model, input_size=(side, side, model.input_size[2])).trace
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
