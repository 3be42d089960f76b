"""The table of a model's layers: output shape, activation size, parameters and MACs, found without computing."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from cnnjax.core import trees
from cnnjax.models.calls import Call
from cnnjax.models.model import Model


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
      output_shape: without the batch's axis.
      activation_size: number of values of one image's output.
      params: trainable values that are this layer's own.
      macs: MACs of convolutions and dense layers for one image.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    activation_size: int
    params: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """All layers in call order, the input first; `params_total` counts running statistics too."""

    name: str
    input_size: tuple[int, int, int]
    rows: tuple[Row, ...]
    params: int
    params_total: int

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        layers = [{key: value for key, value in asdict(row).items() if key != "kind"} for row in self.rows]
        return {
            "name": self.name,
            "input": list(self.input_size),
            "params": self.params,
            "params_total": self.params_total,
            "macs": self.macs,
            "layers": [layer | {"output_shape": list(layer["output_shape"])} for layer in layers],
        }

    def text(self) -> str:
        """The table for a terminal, numbers to the right."""
        head = ("layer", "kind", "output shape", "activation size", "parameters", "multiply-adds")
        lines = [
            (
                row.name,
                row.kind,
                " x ".join(map(str, row.output_shape)),
                f"{row.activation_size:,}",
                f"{row.params:,}",
                f"{row.macs:,}",
            )
            for row in self.rows
        ]
        end = ("total", "", "", "", f"{self.params:,}", f"{self.macs:,}")
        widths = [max(len(line[i]) for line in (head, *lines, end)) for i in range(len(head))]
        rule = tuple("-" * width for width in widths)
        table = [
            "  ".join(cell.ljust(width) if i < 3 else cell.rjust(width) for i, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(line, widths, strict=True)) for line in (head, rule, *lines, rule, end))
        ]
        statistics = self.params_total - self.params
        note = f"{statistics:,} running statistics beside the parameters" if statistics else ""
        return "\n".join([self.name, "", *(line.rstrip() for line in table), *([note] if note else [])])


def summarize(model: Model) -> Summary:
    """Lists every leaf module that owns parameters or changes the shape.

    Works on any Flax module that `create_model` takes, since the calls of modules are watched while it is traced.
    Functions that are no modules (nn.relu, nn.max_pool) have no row.
    """
    variables, counted = model.shapes(), set()
    rows = [Row("input", "Input", model.input_size, prod(model.input_size), 0, 0)]
    for call in model.trace.calls:
        leaves = _leaves(variables["params"], call.path)
        own = {} if call.path in counted else leaves  # a module called twice owns its parameters the first time only
        if leaves or (call.leaf and call.before and call.before != call.after):
            rows.append(_row(call, own, leaves))
        counted.add(call.path)
    params = trees.size(variables["params"])
    total = params + trees.size(variables["batch_stats"])
    return Summary(model.name, model.input_size, tuple(rows), params, total)


def _leaves(params: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of the module itself, without those of the modules in it."""
    node: Any = params
    for name in path:
        node = node.get(name, {})
    return {k: leaf for k, leaf in node.items() if not isinstance(leaf, Mapping)}


def _row(call: Call, own: dict[str, Any], leaves: dict[str, Any]) -> Row:
    shape = call.after[1:]
    # A kernel's every weight multiplies once a position; a dense layer's output has one position. A head that runs in
    # training only does not count.
    counts = "kernel" in leaves and not call.beside
    macs = trees.size(leaves["kernel"]) * prod(shape[:-1]) if counts else 0
    return Row(".".join(call.path) or call.kind, call.kind, shape, prod(shape), trees.size(own), macs)
