"""What a model is made of here, and the registry of models.

A model is a Flax module with `features` (images -> what the last layers see) and `head` (that -> logits). A variant is
a row of a table over one such module, registered with its card. models/model.py makes a Model of it.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from flax import linen as nn
from jax import lax

from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.registry import Registry, caller
from cnnjax.models import cards
from cnnjax.models.blocks import Conv, Dense, Flatten
from cnnjax.models.cards import Card
from cnnjax.models.pooling import AdaptiveAvgPool, GlobalAvgPool


class Classifier(nn.Module, kw_only=True):
    """Images [N, H, W, C] -> logits [N, num_classes]; a family defines `features` and `head`.

    In training a model may also sow logits of auxiliary heads into the collection "auxiliary" (see `auxiliary`), and
    may define `extra_loss(images, features, targets)` -> float32 [N], which is added to the loss of each image.

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
    """A model whose layers stand in one row, written as the table of its paper.

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
    """A registered model: `build(num_classes=...)` makes the module; `home` is the Python module that registered it."""

    build: Callable[..., nn.Module]
    card: Card
    home: str = "cnnjax"

    @property
    def module_class(self) -> type[nn.Module]:
        return cast(Any, self.build.func if isinstance(self.build, functools.partial) else self.build)


def _adopt(name: str, found: Any) -> Entry:
    _check_contract(name, found)
    registered = (entry for entry in MODELS.values() if entry.build is found)
    return next(registered, Entry(found, Card((32, 32, 3))))


MODELS: Registry[Entry] = Registry("model", _adopt)

Build = TypeVar("Build", bound=Callable[..., nn.Module])


def register_model(
    name: str, *, input_size: tuple[int, int, int] | None = None, **card: Any
) -> Callable[[Build], Build]:
    """Registers a model, one's own too: @register_model("mine", input_size=(32, 32, 3)) on a Flax module class.

    Args:
      name: what config.model.name calls it; registering the same class again (a cell run twice) replaces it.
      input_size: (height, width, channels) when nobody says otherwise; None: that of published.csv.
      **card: further fields of the Card (num_classes, family, paper, ...), over what published.csv says of the name.

    Returns:
      The decorator; it takes a module class, or functools.partial of one with a variant's fields.

    Raises:
      UserError: the class lacks `features`, `head` or `num_classes`.
    """
    home = caller()  # not the class's own: a variant may be a partial of any class

    def make(build: Build) -> Entry:
        if name in cards.published():
            sized: dict[str, Any] = {} if input_size is None else {"input_size": input_size}
            entry = Entry(build, cards.card(name, **sized, **card), home)
        else:
            entry = Entry(build, Card(input_size or (32, 32, 3), **card), home)
        _check_contract(name, entry.module_class)
        return entry

    return MODELS.add(name, make, home=home)


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


PATTERNS: dict[str, Callable[[str], Entry]] = {}
"""By their prefix: models that are described by a text, such as plain:PATTERN."""


def find(name: str) -> Entry:
    """Returns the model of a name, torchvision's and timm's too, package.module:Class, module:name or plain:PATTERN."""
    if name == "knn":
        raise UserError(
            "knn compares images and learns nothing: there is no model to summarize, measure or open; its figures are "
            "in the eval folder of its run"
        )
    prefix, colon, pattern = name.partition(":")
    if colon and prefix in PATTERNS:
        return PATTERNS[prefix](pattern)
    return MODELS[resolve_alias(name)]


def resolve_alias(name: str) -> str:
    """Returns what a model is called here that torchvision or timm may call otherwise."""
    return name if name in MODELS or ":" in name else cards.aliases().get(name, name)
