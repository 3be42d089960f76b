"""Cells of searched models: what the published rows leave off."""

from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn

from cnnjax import recipes
from cnnjax.config import override
from cnnjax.core.errors import UserError
from cnnjax.models import create_model
from cnnjax.models.blocks import DropPath
from cnnjax.models.cells import SLIM, Cell, Plan
from cnnjax.training.inference import build_model


def rates(model):
    """The rate of each DropPath by the cell it is in."""
    found = {}

    def watch(run, args, kwargs, context):
        if isinstance(context.module, DropPath):
            found[context.module.path[0]] = context.module.rate
        return run(*args, **kwargs)

    with nn.intercept_methods(watch):
        jax.eval_shape(model.module.init, jax.random.key(0), np.zeros((1, 64, 64, 3), np.float32))
    return found


@pytest.mark.slow
def test_paths_of_the_last_cell_are_dropped_at_the_rate_of_the_recipe():
    config = recipes.load(str(Path(__file__).parents[2] / "configs" / "pnasnet5_large_imagenet.py:smoke")).config
    found = rates(build_model(config))
    assert len(found) == 14  # two cells in the stem, three times four
    assert found["cell_11"] == pytest.approx(0.4)  # Liu et al. 2017, section 5.4
    assert found["cell_stem_0"] == pytest.approx(0.4 / 14)
    assert set(rates(create_model("nasnet_a_mobile", input_size=(64, 64, 3))).values()) == {0.0}
    assert max(rates(create_model("convnext_tiny", input_size=(64, 64, 3), drop_path=0.7)).values()) == 0.7
    with pytest.raises(UserError, match=r"drop_path=0\.2 needs a model with an attribute drop_path: float, which"):
        create_model("vgg16", drop_path=0.2)
    heart = {"train.overfit": 32}
    assert set(rates(build_model(override(config, heart))).values()) == {0.0}


def test_drop_path_leaves_operations_out_of_images():
    plan = Plan(((("avg 3x3", 0), ("none", 1)),), joined=(1, 2))
    inputs = np.random.default_rng(0).standard_normal((2, 16, 4, 4, 3), np.float32)
    plain, dropping = (Cell(plan, 2, SLIM, drop_path=rate) for rate in (0.0, 0.5))
    variables = plain.init(jax.random.key(0), tuple(inputs))

    def branch(cell, train):
        (_, outputs), _ = cell.apply(
            variables, tuple(inputs), train, rngs={"dropout": jax.random.key(1)}, mutable=["batch_stats"]
        )
        farther, total = np.split(np.asarray(outputs), 2, axis=-1)
        return total - farther

    np.testing.assert_array_equal(branch(dropping, train=False), branch(plain, train=False))
    kept, whole = branch(dropping, train=True), branch(plain, train=True)
    left_out = np.all(np.abs(kept) < 1e-6, axis=(1, 2, 3))
    assert 0 < left_out.sum() < 16
    np.testing.assert_allclose(kept[~left_out], 2 * whole[~left_out], rtol=1e-4, atol=1e-5)
