"""Several steps a dispatch are the same steps: nothing that is logged, saved or learned depends on where it is cut."""

import jax
import numpy as np
import pytest

from cnnjax.config import Train
from cnnjax.core.logs import read_metrics
from cnnjax.core.rundir import RunDir
from cnnjax.run import evaluate, open_run, train
from cnnjax.training.loop import Length

TIMING = ("images_per_s", "data_wait")


def trace(workdir):
    records = [{k: v for k, v in r.items() if k not in TIMING} for r in read_metrics(RunDir(workdir).metrics)]
    return records, evaluate(workdir, checkpoint="last")["params_digest"]


def test_dispatches_end_where_something_is_told():
    length = Length.of(Train(epochs=2.5, eval_every=1.5), pictures=70, batch_size=10)
    spans = list(length.dispatches(3, 4, 5))
    steps = [step for first, last in spans for step in range(first, last + 1)]
    assert steps == list(range(4, 19)), "ceil(2.5 * 7) = 18 steps, each once"
    ends = {last for _, last in spans}
    assert ends >= {5, 10, 15, 7, 14, 11, 18}, "log lines, epochs, a validation at 10.5 steps, the end"
    assert max(last - first + 1 for first, last in length.dispatches(0, 4, 100)) == 4
    assert [last for _, last in length.dispatches(15, 1, 100)] == [16, 17, 18]


def test_bits_do_not_depend_on_the_cut(tiny, tmp_path):
    """Also where a run broke off within what another would have taken in one go."""
    changes = {"augment__flip": True, "train__ema": 0.9, "optimizer__name": "adam", "train__epochs": 4}
    train(tiny(train__steps_per_dispatch=8, train__log_every=100, **changes), tmp_path / "whole")
    seen = []

    def killed(record):
        seen.append(record["step"])
        if record["step"] == 9:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(
            tiny(train__steps_per_dispatch=8, train__log_every=3, train__checkpoint_every=0, **changes),
            tmp_path / "run",
            on_log=killed,
        )
    assert seen == [3, 5, 6, 9], "five steps an epoch"
    train(tiny(train__steps_per_dispatch=8, train__log_every=100, **changes), tmp_path / "run")
    assert trace(tmp_path / "run")[1] == trace(tmp_path / "whole")[1]


def test_many_steps_equal_single_ones(tiny, tmp_path):
    for most in (1, 5):
        train(tiny(train__steps_per_dispatch=most, train__epochs=2), tmp_path / str(most))
    (one, _), (many, _) = trace(tmp_path / "1"), trace(tmp_path / "5")
    for single, several in zip(one, many, strict=True):
        assert single == pytest.approx(several, rel=1e-4)
    single, several = (open_run(tmp_path / most, checkpoint="last").variables for most in ("1", "5"))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), single, several)
