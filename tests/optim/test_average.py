"""The running average against its sum written out."""

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.optim import averaging_decay, ema


def test_average_is_the_weighted_sum_of_what_it_saw():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(40, 5))
    weights = np.ones(1)
    for step in range(39):  # what each of them weighs at the end
        decay = min(0.8, (1 + step) / (10 + step))
        weights = np.append(weights * decay, 1 - decay)
    tree = {"params": {"fc": {"kernel": jnp.float32(seen[0])}}, "batch_stats": {"bn": {"mean": jnp.float32(seen[0])}}}
    update = jax.jit(lambda average, new, step: ema(average, new, averaging_decay(0.8, step)))
    for step, new in enumerate(seen[1:]):
        tree = update(tree, jax.tree.map(lambda _, new=new: jnp.float32(new), tree), step)
    for leaf in jax.tree.leaves(tree):
        np.testing.assert_allclose(leaf, weights @ seen, rtol=1e-4, atol=1e-6)


def test_warm_up_of_the_decay():
    np.testing.assert_allclose([averaging_decay(0.999, step) for step in (0, 1, 90)], [0.1, 2 / 11, 0.91], rtol=1e-6)
    assert averaging_decay(0.999, 10**6) == np.float32(0.999)
