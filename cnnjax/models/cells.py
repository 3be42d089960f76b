"""Nets of searched cells: NASNet, PNASNet and AmoebaNet are tables over this one engine.

Zoph et al. 2017 (1707.07012), section 3. A cell sees the outputs of the two cells before it. Five times it applies an
operation to each of two maps and adds the results, which makes a new map; some of the maps, concatenated, are its
output. The authors count the nearer of the two inputs as map 0. Names are timm's: comb_iter_0_left is the first
operation of the first pair.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias, cast

import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier
from cnnjax.models.blocks import Conv, ConvNorm, Dense, Dropout, DropPath, ReLU
from cnnjax.models.norm import BatchNorm
from cnnjax.models.padding import Pair, pair, sides
from cnnjax.models.pooling import AvgPool, GlobalAvgPool, MaxPool

EPS = 1e-3

Step: TypeAlias = tuple[str, int]
"""(operation, map): map 0 is the nearer input, 1 the farther, 2 to 6 are the sums of the pairs."""


@dataclass(frozen=True)
class Plan:
    """One kind of cell.

    Attributes:
      pairs: five times the two steps whose results are added.
      joined: the maps that are concatenated, in the papers those that no step takes, and now and then another.
    """

    pairs: tuple[tuple[Step, Step], ...]
    joined: tuple[int, ...]


@dataclass(frozen=True)
class Style:
    """What implementations of the same cells differ in.

    Attributes:
      momentum: of BatchNorm.
      zeros: the pools that, at stride 2, see the padding as zeros; the others leave it out.
    """

    momentum: float = 3e-4
    zeros: tuple[str, ...] = ()


SLIM = Style()
"""The authors' TensorFlow code, whose running statistics follow some 3,000 steps (decay 0.9997)."""

KERAS = Style(zeros=("avg", "max"))
TIMM = Style(momentum=0.1, zeros=("avg",))


@dataclass(frozen=True)
class Row:
    """One variant.

    Attributes:
      reduction: the cell that halves the map, in the stem and between the three stages; None: the normal one does, and
        in place of each later stage's first.
      filters: of each operation in the first stage.
      repeats: normal cells a stage.
      stem: kernels of the first convolution.
      skip: a reduction hands on its farther input, so that the cell behind it sees that in place of the nearer.
    """

    normal: Plan
    reduction: Plan | None
    filters: int
    repeats: int
    stem: int = 32
    style: Style = SLIM
    skip: bool = False


# ---------------------------------------------------------------- the operations


class Operation(nn.Module, kw_only=True):
    """One step of a cell: a map of any depth -> one of `filters` channels and 1 / `stride` of the side."""

    filters: int
    stride: int = 1
    style: Style

    def conv(self, name: str, features: int, kernel: Pair = 1, *, stride: Pair = 1, groups: int = 1) -> Conv:
        return Conv(features, kernel, stride=stride, padding="same", groups=groups, use_bias=False, name=name)

    def norm(self, name: str) -> BatchNorm:
        return BatchNorm(eps=EPS, momentum=self.style.momentum, name=name)


class ReluConv(Operation):
    """ReLU, convolution, norm."""

    kernel: Pair = 1

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        height, width = pair(self.kernel)  # one row or column strides along its length only
        stride = (self.stride if height >= width else 1, self.stride if width >= height else 1)
        values = self.conv("conv", self.filters, self.kernel, stride=stride)(ReLU()(inputs))
        return cast(Array, self.norm("bn")(values, train))


class Skip(ReluConv):
    """The map as it is, or, where it has not the size or depth that is wanted, through a 1x1 convolution."""

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        if self.stride == 1 and inputs.shape[-1] == self.filters:
            return inputs
        return super().__call__(inputs, train)


class Pool(Operation):
    """Pooling, and where the depth is not what is wanted, a 1x1 convolution without ReLU."""

    kind: Literal["avg", "max"]
    window: int = 3

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        layer = {"avg": AvgPool, "max": MaxPool}[self.kind]
        if self.stride > 1 and self.kind in self.style.zeros:
            around = sides("same", inputs, self.window, self.stride)
            values = layer(self.window, stride=self.stride)(jnp.pad(inputs, ((0, 0), *around, (0, 0))))
        else:
            values = layer(self.window, stride=self.stride, padding="same")(inputs)
        if inputs.shape[-1] != self.filters:
            values = self.norm("bn")(self.conv("conv", self.filters)(values), train)
        return cast(Array, values)


class Separable(Operation):
    """Twice ReLU, depthwise and pointwise convolution, norm; only the first strides."""

    kernel: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        values = inputs
        for number, stride in ((1, self.stride), (2, 1)):
            depth = values.shape[-1]
            values = self.conv(f"depthwise_{number}", depth, self.kernel, stride=stride, groups=depth)(ReLU()(values))
            values = self.conv(f"pointwise_{number}", self.filters)(values)
            values = self.norm(f"bn_{number}")(values, train)
        return values


class Bottleneck(Operation):
    """Convolutions on a quarter of the channels between two of 1x1, a ReLU before each and a norm behind."""

    kernels: tuple[Pair, ...]

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        narrow = partial(ReluConv, filters=self.filters // 4, style=self.style)
        values = narrow(name="pre")(inputs, train)
        for number, kernel in enumerate(self.kernels, 1):
            values = narrow(kernel=kernel, stride=self.stride, name=f"conv_{number}")(values, train)
        return cast(Array, ReluConv(filters=self.filters, style=self.style, name="post")(values, train))


class FactorisedReduction(Operation):
    """Halves the side without loss: half of the channels see the even pixels, the others those one down and right.

    An odd number of filters gives one channel less.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        shifted = jnp.pad(inputs[:, 1:, 1:], ((0, 0), (0, 1), (0, 1), (0, 0)))
        half = self.filters // 2
        paths = [
            self.conv("path_1", half)(inputs[:, ::2, ::2]),
            self.conv("path_2", half)(shifted[:, ::2, ::2]),
        ]
        return cast(Array, self.norm("final_path_bn")(jnp.concatenate(paths, -1), train))


OPERATIONS: Mapping[str, Callable[..., Operation]] = {
    "none": Skip,
    "1x1": ReluConv,
    "3x3": partial(Bottleneck, kernels=(3,)),
    "1x7 7x1": partial(Bottleneck, kernels=((1, 7), (7, 1))),
    "separable 3x3": partial(Separable, kernel=3),
    "separable 5x5": partial(Separable, kernel=5),
    "separable 7x7": partial(Separable, kernel=7),
    "avg 3x3": partial(Pool, kind="avg"),
    "max 3x3": partial(Pool, kind="max"),
    "max 2x2": partial(Pool, kind="max", window=2),
}


# ---------------------------------------------------------------- cells, and the model of them

States: TypeAlias = tuple[Array | None, Array]
"""The farther input of a cell, None for the first, and the nearer."""


class Cell(nn.Module):
    """(farther, nearer input) -> those of the next cell.

    Attributes:
      stride: 2 where the cell halves the map; the steps that take an input do that.
      larger: the farther input has twice the side of the nearer.
      skip: the farther input is handed on in place of the nearer.
      drop_path: share of the images for which an operation is left out in training.
    """

    plan: Plan
    filters: int
    style: Style
    stride: int = 1
    larger: bool = False
    skip: bool = False
    drop_path: float = 0.0

    @nn.compact
    def __call__(self, states: States, train: bool = False) -> States:
        farther, nearer = states
        make: dict[str, Any] = {"filters": self.filters, "style": self.style}
        maps = [ReluConv(**make, name="conv_1x1")(nearer, train)]
        if farther is None:
            maps.append(nearer)
        elif self.larger:
            maps.append(FactorisedReduction(**make, name="conv_prev_1x1")(ReLU()(farther), train))
        else:
            maps.append(ReluConv(**make, name="conv_prev_1x1")(farther, train))
        for number, steps in enumerate(self.plan.pairs):
            values = []
            for side, (operation, source) in zip(("left", "right"), steps, strict=True):
                stride = self.stride if source < 2 else 1
                layer = OPERATIONS[operation](**make, stride=stride, name=f"comb_iter_{number}_{side}")
                value = layer(maps[source], train)
                values.append(value if operation == "none" else DropPath(self.drop_path)(value, train))
            maps.append(values[0] + values[1])
        joined = [
            FactorisedReduction(**make, name=f"reduction_{source}")(maps[source], train)
            if self.stride > 1 and source < 2
            else maps[source]
            for source in self.plan.joined
        ]
        return farther if self.skip else nearer, jnp.concatenate(joined, -1)


class CellNet(Classifier):
    """A convolution, two halving cells as stem, three stages of cells, global average pooling and one dense layer.

    Attributes:
      drop_path: of the last cell, earlier ones in proportion to their depth: Zoph et al.'s ScheduledDropPath without
        its rise over the training. It is 0 unless `create_model(drop_path=0.3)` sets that of their large model; Liu et
        al. have 0.4.
    """

    row: Row
    drop_path: float = 0.0

    def setup(self) -> None:
        row = self.row
        self.conv0 = ConvNorm(row.stem, 3, stride=2, activation="identity", eps=EPS, momentum=row.style.momentum)
        cells, larger = list(layout(row)), False
        for number, (name, plan, filters, stride) in enumerate(cells, 1):
            rate = self.drop_path * number / len(cells)
            skip = row.skip and name.startswith("reduction")
            setattr(self, name, Cell(plan, filters, row.style, stride, larger, skip, rate))
            larger = stride == 2
        self.cells = tuple(name for name, *_ in cells)
        self.relu, self.avgpool, self.dropout = ReLU(), GlobalAvgPool(), Dropout(0.5)
        self.last_linear = Dense(self.num_classes)

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> [N, H / 32, W / 32, C']."""
        states: Any = (None, self.conv0(images, train))
        states = self.chain_each(self.cells, states, train)
        return cast(Array, self.relu(states[1]))

    def head(self, features: Array, train: bool = False) -> Array:
        """[N, h, w, C'] -> [N, num_classes]."""
        return cast(Array, self.last_linear(self.dropout(self.avgpool(features), train)))


def layout(row: Row) -> Iterator[tuple[str, Plan, int, int]]:
    """Yields (name, plan, filters, stride) of each cell in order."""
    halving = row.reduction or row.normal
    for number in (0, 1):
        yield f"cell_stem_{number}", halving, row.filters // (4 >> number), 2
    for stage in range(3):
        filters = row.filters << stage
        if stage and row.reduction:
            yield f"reduction_cell_{stage - 1}", row.reduction, filters, 2
        for number in range(row.repeats):
            stride = 2 if stage and number == 0 and row.reduction is None else 1
            yield f"cell_{stage * row.repeats + number}", row.normal, filters, stride
