"""What a net is made of here, and the registry of nets.

A net is a Flax module with `features` (images -> what the last layers see) and `head` (that -> logits). A variant is a
row of a table over one such module, registered with its card. models/model.py makes a Model of it.
"""

import dataclasses
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, look_here
from cnnjax.models import cards
from cnnjax.models.blocks import Conv, Dense, Flatten
from cnnjax.models.cards import Card
from cnnjax.models.pooling import AdaptiveAvgPool, GlobalAvgPool


class Classifier(nn.Module, kw_only=True):
    """Images [N, H, W, C] -> logits [N, num_classes]; a family defines `features` and `head`.

    In training a net may also sow logits of auxiliary heads into the collection "auxiliary" (see `auxiliary`), and may
    define `extra_loss(images, features, targets)` -> float32 [N], which is added to the loss of each picture.

    Attributes:
      remat: `chain` keeps no more than its ends and the results of convolutions and matrix products; the backward
        pass computes the rest again. Compiled for a TPU v5e, vgg_small_bn at batch 512 needs 135 MB in place of 214;
        on a CPU nothing is gained, since XLA drops there the barriers that make it wait.
    """

    num_classes: int
    remat: bool = False

    auxiliary_weight = 0.3
    """Of each auxiliary head's loss."""

    def auxiliary(self, name: str, values: Array, train: bool) -> None:
        """Runs the head of this name in training, and when parameters are made, and notes its logits."""
        if train or self.is_initializing():
            logits = getattr(self, name)(values, train)
            if train:  # under another name, since Flax keeps the head's own for its parameters
                self.sow("auxiliary", f"{name}_logits", logits, reduce_fn=lambda _, new: new, init_fn=lambda: None)

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

    def chain_each(self, names: Sequence[str], values: Array, train: bool) -> Array:
        """The same with each for itself: `remat` keeps what lies between them."""
        for name in names:
            values = self.chain([name], values, train)
        return values


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
    """A registered net: `build(num_classes=...)` makes the module; `home` is the Python module that registered it."""

    build: Callable[..., nn.Module]
    card: Card
    home: str = "cnnjax"

    @property
    def module_class(self) -> type[nn.Module]:
        return cast(Any, self.build.func if isinstance(self.build, functools.partial) else self.build)


MODELS: Registry[Entry] = Registry("model")

Build = TypeVar("Build", bound=Callable[..., nn.Module])


def register_model(
    name: str, *, input_size: tuple[int, int, int] | None = None, **card: Any
) -> Callable[[Build], Build]:
    """Registers a net, one's own too: @register_model("mine", input_size=(32, 32, 3)) on a Flax module class.

    Args:
      name: what config.model.name calls it; registering the same class again (a cell run twice) replaces it.
      input_size: (height, width, channels) when nobody says otherwise; None: that of published.csv.
      **card: further fields of the Card (num_classes, family, paper, ...), over what published.csv says of the name.

    Returns:
      The decorator; it takes a module class, or functools.partial of one with a variant's fields.

    Raises:
      UserError: the class lacks `features`, `head` or `num_classes`.
    """
    home = sys._getframe(1).f_globals["__name__"]  # not the class's own: a variant may be a partial of any class

    def register(build: Build) -> Build:
        if name in cards.published():
            sized: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
            entry = Entry(build, cards.card(name, **sized, **card), home)
        else:
            entry = Entry(build, Card(input_size or (32, 32, 3), **card), home)
        _check_contract(name, entry.module_class)
        if name in MODELS and _same_class(MODELS[name].build, build):
            MODELS[name].build, MODELS[name].card, MODELS[name].home = build, entry.card, home
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


def find(name: str) -> Entry:
    """The net behind a name, torchvision's or timm's too, package.module:Class, module:name or plain:PATTERN."""
    if name.startswith("plain:"):
        from cnnjax.models.plain import Plain  # which is itself made of this file's classes

        return Entry(functools.partial(Plain, pattern=name.removeprefix("plain:")), Card((32, 32, 3), family="plain"))
    if ":" in name:
        return _import(name)
    return MODELS[own_name(name)]


def own_name(name: str) -> str:
    """What a net is called here that torchvision or timm may call otherwise."""
    return name if name in MODELS or ":" in name else cards.aliases().get(name, name)


def lasting_name(name: str) -> str:
    """The name by which another process finds a net: one registered outside cnnjax is module:name."""
    home = MODELS[name].home if name in MODELS else "cnnjax"
    return name if home.partition(".")[0] == "cnnjax" else f"{home}:{name}"


def _registered_by(home: str, name: str) -> Entry | None:
    return MODELS[name] if name in MODELS and MODELS[name].home == home else None


def _import(name: str) -> Entry:
    """The class behind package.module:Class, or what the module registers; looked for in the working folder as well."""
    path, _, attribute = name.partition(":")
    if entry := _registered_by(path, attribute):  # by a recipe or a notebook, which cannot be imported
        return entry
    look_here()
    try:
        module = importlib.import_module(path)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{path}.".startswith(f"{error.name}."):
            raise UserError(
                f"{name}: there is no module {error.name} in {Path.cwd()} or among the packages; name one that is"
            ) from None
        raise UserError(f"{name}: importing {path} fails with {type(error).__name__}: {error}") from error
    if entry := _registered_by(path, attribute):
        return entry
    if not hasattr(module, attribute):
        raise UserError(f"{name}: {path} has no class {attribute} and registers no such model")
    found = getattr(module, attribute)
    _check_contract(name, found)
    registered = (entry for entry in MODELS.values() if entry.build is found)
    return next(registered, Entry(found, Card((32, 32, 3))))
