"""PolyNet, which no library at hand has: names and shapes against Cadene's, modules against PyTorch's layers."""

import re
from math import prod
from pathlib import Path

import jax
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.models import create_model
from cnnjax.models.polynet import Poly3, TwoWay
from cnnjax.weights import bridge

LIST = Path(__file__).parents[3] / "shared/reference/statedicts/cadene.polynet.txt"
PATHS = {"path0": "1x1 5, 1x7 6, 7x1 4", "path1": "1x1 3"}


@pytest.mark.skipif(not LIST.exists(), reason=f"the list of Cadene's names is not at hand: {LIST}")
def test_names_and_shapes_are_cadenes():
    expected = {}
    for line in LIST.read_text().splitlines():
        if not line.startswith("#"):
            keys, shape = line.split()
            stem, several = re.fullmatch(r"([^{]*)(?:\{(.*)\})?", keys).groups()
            for ending in (several or "").split(","):
                expected[stem + ending] = tuple(map(int, shape.split("x")))
    model = create_model("polynet")
    variables = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), model.shapes())
    written = {key: value.shape for key, value in bridge.write_state(model, variables, "cadene").items()}
    assert written == expected
    assert sum(prod(shape) for key, shape in written.items() if "running" not in key) == 95_366_600


def drawn(module, inputs):
    """Random variables of a module, norms that are not the identity."""
    rng = np.random.default_rng(1)
    shapes = trees.flatten(jax.eval_shape(module.init, jax.random.key(0), inputs))
    return {path: 0.5 + rng.random(leaf.shape, np.float32) for path, leaf in shapes.items() if "kernel" not in path} | {
        path: 0.4 * rng.standard_normal(leaf.shape, np.float32) for path, leaf in shapes.items() if "kernel" in path
    }


def block(flat, values, convs, norms):
    """F(values) by PyTorch: `convs` and `norms` tell the module paths of (1x1, 1x7, 7x1), 1x1 beside, and the last."""
    import torch
    from torch.nn import functional

    def step(values, conv, norm, relu=True):
        kernel = torch.from_numpy(flat[f"params/{conv}/kernel"].transpose(3, 2, 0, 1).copy())
        around = tuple(side // 2 for side in kernel.shape[2:])
        mean, var = (torch.from_numpy(flat[f"batch_stats/{norm}/{leaf}"]) for leaf in ("mean", "var"))
        scale, bias = (torch.from_numpy(flat[f"params/{norm}/{leaf}"]) for leaf in ("scale", "bias"))
        values = functional.batch_norm(functional.conv2d(values, kernel, padding=around), mean, var, scale, bias)
        return functional.relu(values) if relu else values

    first = values
    for conv, norm in zip(convs[:3], norms[:3], strict=True):
        first = step(first, conv, norm)
    both = torch.cat([first, step(values, convs[3], norms[3])], 1)
    return step(both, convs[4], norms[4], relu=False)


@pytest.mark.parametrize("kind", [TwoWay, Poly3])
def test_modules(kind):
    import torch

    inputs = np.random.default_rng(0).standard_normal((2, 9, 9, 8), np.float32)
    module = kind(PATHS, 0.7)
    flat = drawn(module, inputs)
    values = total = torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())
    for number in range(3 if kind is Poly3 else 2):
        if kind is Poly3:
            shared = ("path0_1x1", "path0_1x7", "path0_7x1", "path1")
            convs = [*(f"{name}/conv" for name in shared), f"conv2d_blocks_{number}/conv"]
            norms = [*(f"{name}/bn_blocks_{number}" for name in shared), f"conv2d_blocks_{number}/bn"]
            result = block(flat, values, convs, norms)
            values = torch.relu(result)
        else:
            names = [f"blocks_{number}/{name}" for name in ("path0_1", "path0_2", "path0_3", "path1", "conv2d")]
            result = block(flat, values, [f"{name}/conv" for name in names], [f"{name}/bn" for name in names])
        total = total + 0.7 * result
    expected = torch.relu(total).numpy().transpose(0, 2, 3, 1)
    ours = module.apply(trees.unflatten(flat), inputs)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())
