"""Learning rates against the formulas in plain Python, under jit, and the plateau's state machine."""

import json
import math
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.config import OptimizerConfig
from cnnjax.optim import extends, plateau_start, plateau_update, schedule

NAMES = get_args(get_type_hints(OptimizerConfig)["schedule"])


def rates(config, steps=100, steps_per_epoch=10.0):
    rate = schedule(config, steps=steps, steps_per_epoch=steps_per_epoch)
    traced = jax.jit(jax.vmap(rate))(jnp.arange(steps))
    assert traced.dtype == jnp.float32
    return np.asarray(traced)


def config(name, **changes):
    return OptimizerConfig(**({"schedule": name, "lr": 0.2, "drop_epochs": (3.0, 6.0)} | changes))


def test_constant_and_plateau_are_the_base_rate():
    for name in ("constant", "plateau"):
        np.testing.assert_array_equal(rates(config(name)), np.full(100, np.float32(0.2)))


def test_step_drops_at_its_epochs_exactly():
    expected = [0.2] * 30 + [0.2 * 0.1] * 30 + [0.2 * 0.1**2] * 40
    np.testing.assert_array_equal(rates(config("step")), np.float32(expected))


def test_step_drops_at_the_first_step_of_an_epoch_that_no_batch_divides():
    """At 7.3 steps an epoch, epoch 3 begins within step 21 (21.9): step 22 is the first that lies wholly in it."""
    ours = rates(config("step"), steps_per_epoch=7.3)
    assert ours[21] == np.float32(0.2)
    assert ours[22] == np.float32(0.2 * 0.1)


def test_step_drop_is_not_late_by_rounding():
    assert 0.07 * 100.0 > 7
    ours = rates(config("step", drop_epochs=(0.07,)), steps_per_epoch=100.0)
    assert (ours[6], ours[7]) == (np.float32(0.2), np.float32(0.2 * 0.1))


def test_cosine():
    expected = [0.2 * (0.1 + 0.9 * (1 + math.cos(math.pi * step / 100)) / 2) for step in range(100)]
    np.testing.assert_allclose(rates(config("cosine", final_lr=0.1)), expected, rtol=1e-5)


def test_linear_and_polynomial():
    line = [0.2 * (1 - step / 100) for step in range(100)]
    np.testing.assert_allclose(rates(config("linear")), line, rtol=1e-5)
    np.testing.assert_allclose(rates(config("polynomial", power=1.0)), line, rtol=1e-5)
    square = [0.2 * (0.5 + 0.5 * (1 - step / 100) ** 2) for step in range(100)]
    np.testing.assert_allclose(rates(config("polynomial", power=2.0, final_lr=0.5)), square, rtol=1e-5)


def test_one_cycle():
    def expected(step):
        if step < 30:
            return 0.2 / 25 + (0.2 - 0.2 / 25) * (1 - math.cos(math.pi * step / 30)) / 2
        return 0.002 + (0.2 - 0.002) * (1 + math.cos(math.pi * (step - 30) / 70)) / 2

    ours = rates(config("one_cycle", final_lr=0.01))
    np.testing.assert_allclose(ours, [expected(step) for step in range(100)], rtol=1e-4, atol=1e-7)
    assert ours.argmax() == 30


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_rises_in_a_line_in_front_of_any_schedule(name):
    ours = rates(config(name, warmup_epochs=2.0, drop_epochs=(3.0,)))
    assert (ours > 0).all(), "no step is spent at rate 0"
    if name == "one_cycle":  # it begins low of itself
        np.testing.assert_allclose(ours[:20], 0.2 / 25 * np.arange(1, 21) / 20, rtol=1e-5)
    else:
        np.testing.assert_allclose(ours[:20], 0.2 * np.arange(1, 21) / 20, rtol=1e-5)


def test_schedules_over_the_run_begin_after_the_warm_up():
    expected = [0.2 * (1 + math.cos(math.pi * (step - 20) / 80)) / 2 for step in range(20, 100)]
    np.testing.assert_allclose(rates(config("cosine", warmup_epochs=2.0))[20:], expected, rtol=1e-4, atol=1e-7)


def test_warm_up_longer_than_the_run():
    ours = rates(config("cosine", warmup_epochs=20.0))
    np.testing.assert_allclose(ours, 0.2 * np.arange(1, 101) / 200, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_extends_says_whether_a_longer_run_has_the_same_rates(name):
    for warmup in (0.0, 2.0):
        choice = config(name, warmup_epochs=warmup)
        same = np.array_equal(rates(choice, steps=100), rates(choice, steps=150)[:100])
        assert extends(choice) == same


def test_plateau_divides_three_times_and_then_ends_the_run():
    choice = config("plateau", plateau_patience=2, plateau_drops=3)
    state, history = plateau_start(), []
    for error in [0.5, 0.4, 0.4, 0.45, 0.39, 0.39, 0.39, 0.41, 0.40, 0.5, 0.6]:
        state = plateau_update(state, error, choice)
        assert json.loads(json.dumps(state, allow_nan=False)) == state
        history.append((round(state["scale"], 12), state["wait"], state["drops"], state["finished"]))
    assert history == [
        (1.0, 0, 0, False),
        (1.0, 0, 0, False),
        (1.0, 1, 0, False),  # equal is not lower
        (0.1, 0, 1, False),
        (0.1, 0, 1, False),  # 0.39 is
        (0.1, 1, 1, False),
        (0.01, 0, 2, False),
        (0.01, 1, 2, False),
        (0.001, 0, 3, False),
        (0.001, 1, 3, False),
        (0.001, 0, 3, True),
    ]
    assert state["best"] == 0.39


def test_plateau_leaves_the_state_it_was_given():
    state = plateau_start()
    plateau_update(state, 0.3, config("plateau"))
    assert state == plateau_start()


def test_plateau_counts_nan_as_no_improvement():
    state = plateau_update(plateau_start(), math.nan, config("plateau", plateau_patience=1))
    assert (state["drops"], state["best"]) == (1, plateau_start()["best"])
