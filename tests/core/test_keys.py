"""Randomness is a function of (seed, purpose, position) and of nothing else."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from cnnjax.core import keys

# "order" and "init" have a CRC-32 above 2^31, "overfit" has one below.
PLACES = list(itertools.product([0, 1, 2**32 - 1], ["init", "order", "overfit"], [0, 1, 2, 100_000]))


def test_device_draws_depend_on_seed_purpose_and_position():
    draws = {float(jax.random.uniform(keys.key(*place))) for place in PLACES}
    assert len(draws) == len(PLACES)


def test_host_draws_depend_on_seed_purpose_and_position():
    draws = {keys.generator(*place).random() for place in PLACES}
    assert len(draws) == len(PLACES)


def test_draws_do_not_depend_on_earlier_ones():
    for place in PLACES[:4]:
        assert keys.generator(*place).random() == keys.generator(*place).random()
        assert jax.random.uniform(keys.key(*place)) == jax.random.uniform(keys.key(*place))


def test_position_may_be_traced_and_may_be_a_numpy_integer():
    traced = jax.jit(lambda step: jax.random.uniform(keys.key(3, "dropout", step)))
    assert traced(7) == jax.random.uniform(keys.key(3, "dropout", 7))
    assert keys.generator(3, "order", np.int64(7)).random() == keys.generator(3, "order", 7).random()


def test_each_image_has_the_key_of_its_position_in_the_stream():
    positions = jnp.array([5, 0, 123_456_789])
    ours = jax.random.key_data(keys.per_image(1, "augment", positions))
    for row, position in zip(ours, [5, 0, 123_456_789], strict=True):
        np.testing.assert_array_equal(row, jax.random.key_data(keys.key(1, "augment", position)))


def test_neighboring_positions_draw_independently():
    device = np.asarray(jax.vmap(jax.random.uniform)(keys.per_image(0, "augment", jnp.arange(2000))))
    host = np.array([keys.generator(0, "order", epoch).random() for epoch in range(2000)])
    for draws in (device, host):
        assert stats.kstest(draws, "uniform").pvalue > 0.001
        assert abs(stats.pearsonr(draws[:-1], draws[1:]).statistic) < 0.08  # 3.6 standard deviations


def test_every_epoch_has_an_order_of_its_own():
    orders = {tuple(keys.generator(0, "order", epoch).permutation(10)) for epoch in range(20)}
    assert len(orders) == 20
