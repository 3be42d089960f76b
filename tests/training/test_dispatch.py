"""Several steps a dispatch are the same steps: nothing that is logged, saved or learned depends on where it is cut."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.config import TrainConfig, override
from cnnjax.core.logs import read_metrics
from cnnjax.core.rundir import RunDir
from cnnjax.data import prepare
from cnnjax.models import create_model
from cnnjax.models.norm import BatchNorm
from cnnjax.run import train
from cnnjax.runs.actions import evaluate
from cnnjax.runs.run import open_run
from cnnjax.training.build import build_parts, resolve, steps_per_dispatch
from cnnjax.training.loop import Length

pytestmark = pytest.mark.usefixtures("no_curves")

TIMING = ("images_per_s", "data_wait")


def trace(workdir):
    records = [{k: v for k, v in r.items() if k not in TIMING} for r in read_metrics(RunDir(workdir).metrics)]
    return records, evaluate(workdir, checkpoint="last")["params_digest"]


def test_dispatches_end_where_something_is_told():
    length = Length.of(TrainConfig(epochs=2.5, eval_every=1.5), images=70, batch_size=10)
    spans = list(length.dispatches(3, 4, 5))
    steps = [step for first, last in spans for step in range(first, last + 1)]
    assert steps == list(range(4, 19)), "ceil(2.5 * 7) = 18 steps, each once"
    ends = {last for _, last in spans}
    assert ends >= {5, 10, 15, 7, 14, 11, 18}, "log lines, epochs, a validation at 10.5 steps, the end"
    assert max(last - first + 1 for first, last in length.dispatches(0, 4, 100)) == 4
    assert [last for _, last in length.dispatches(15, 1, 100)] == [16, 17, 18]


def test_bits_do_not_depend_on_the_cut(tiny, tmp_path):
    """Also where a run broke off within what another would have taken in one go."""
    changes = {"augment__alternate": True, "augment__pad": 1, "train__ema": 0.9, "train__epochs": 4}
    changes["model__name"] = "plain:fc16 >> bn >> relu >> drop0.2"
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
            callbacks=[killed],
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


def test_a_run_that_goes_on_with_other_dispatches_says_so(tiny, tmp_path, capsys):
    several = {"train__steps_per_dispatch": 4}
    train(tiny(data__loader="resident", train__epochs=1, **several), tmp_path / "run")
    kept = json.loads(RunDir(tmp_path / "run").environment.read_text())
    assert (kept["loader"], kept["steps_per_dispatch"]) == ("resident", 4)
    train(tiny(data__loader="streamed", train__epochs=2, **several), tmp_path / "run")
    told = (
        "environment has changed (loader was resident, steps_per_dispatch was 4): the run goes on, but not to the bit"
    )
    assert told in capsys.readouterr().err
    train(tiny(data__loader="resident", train__epochs=1), tmp_path / "single")
    train(tiny(data__loader="streamed", train__epochs=2), tmp_path / "single")
    assert "has changed" not in capsys.readouterr().err, "single steps are the same to the bit"


def test_trace_of_some_steps_is_one_that_profilers_read(tiny, tmp_path):
    """Step 6 lies in a dispatch with others; the trace holds the dispatches that touch 6 and 7."""
    profile = RunDir(tmp_path / "run").profile
    train(tiny(train__epochs=2, train__profile=(6, 7), train__steps_per_dispatch=5), tmp_path / "run")
    (session,) = (profile / "plugins/profile").iterdir()
    assert [path.stat().st_size > 1000 for path in session.glob("*.xplane.pb")] == [True]


def test_bfloat16_keeps_statistics_logits_and_loss_in_float32():
    """Means that bfloat16 cannot hold, 1,000 and 1,001, stay apart; every leaf of the state is float32."""
    model = create_model("plain:conv4 >> bn >> relu >> pool", 3, input_size=(8, 8, 1), dtype="bfloat16")
    variables = model.init(jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    traced = jax.make_jaxpr(lambda v, x: model.apply_train(v, x, jax.random.key(2)))(variables, images)
    text = str(traced)
    assert "bf16" in text.split("conv_general_dilated")[0], "convolutions take bfloat16"
    forward = model.apply_train(variables, images, jax.random.key(2))
    assert {leaf.dtype for leaf in jax.tree.leaves((forward.logits, forward.batch_stats))} == {jnp.dtype("float32")}

    layer, values = BatchNorm(momentum=1.0), np.full((4, 2, 2, 2), 1000.0) + np.arange(2) * 8
    values[0] += 8.0
    half = jnp.asarray(values, jnp.bfloat16)
    np.testing.assert_array_equal(np.float64(half), values, "these numbers bfloat16 has, but not their means")
    _, changed = layer.init_with_output(jax.random.key(0), half, train=False)
    _, changed = layer.apply(changed, half, train=True, mutable=["batch_stats"])
    np.testing.assert_allclose(changed["batch_stats"]["mean"], [1002.0, 1010.0])
    np.testing.assert_allclose(changed["batch_stats"]["var"], [12.8, 12.8], rtol=1e-5)


def test_deterministic_mode_changes_nothing_on_a_cpu(tiny, tmp_path):
    for name, on in (("plain", False), ("deterministic", True)):
        train(tiny(train__epochs=1, train__deterministic=on), tmp_path / name)
    assert trace(tmp_path / "plain") == trace(tmp_path / "deterministic")


def test_a_run_goes_on_to_the_bit_with_other_log_lines(tiny, tmp_path, capsys):
    usual = {"train__steps_per_dispatch": None, "train__log_every": 50}
    train(tiny(train__epochs=2, **usual), tmp_path / "whole")
    train(tiny(train__epochs=1, **usual), tmp_path / "run")
    train(tiny(train__epochs=2, **usual | {"train__log_every": 1}), tmp_path / "run")
    assert "has changed" not in capsys.readouterr().err
    assert trace(tmp_path / "run")[1] == trace(tmp_path / "whole")[1]


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 16),
        ({"train.log_every": 1}, 16),  # which may differ where a run goes on, and must not change its bits
        ({"train.steps_per_dispatch": 3}, 3),
        ({"data.loader": "streamed"}, 1),
        ({"data.batch_size": 100_000}, 1),
        ({"model.name": "plain:conv4s2 >> relu >> fc8"}, 1),
        ({"model.name": "mobilenet_v2_cifar"}, 1),
    ],
)
def test_a_cpu_takes_several_steps_of_light_nets_without_strides(tiny, changes, most):
    config = override(tiny(train__log_every=100), {"train.steps_per_dispatch": None, **changes})
    dataset = prepare(config.data)
    config = resolve(config, dataset)
    parts = build_parts(config, dataset, Length.of(config.train, images=48, batch_size=16))
    assert steps_per_dispatch(parts, dataset) == most
