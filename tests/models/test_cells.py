"""Cells of searched nets: what the published rows leave off."""

import jax
import numpy as np

from cnnjax.models.cells import SLIM, Cell, Plan


def test_drop_path_leaves_operations_out_of_pictures():
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
