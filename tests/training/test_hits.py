"""Training's accuracy where targets are mixed and smoothed in the step that counts it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.augment import train_pipeline
from cnnjax.config import AugmentConfig, Experiment, OptimizerConfig, TrainConfig
from cnnjax.core.statistics import Statistics
from cnnjax.models import create_model
from cnnjax.optim import optimizer, schedule
from cnnjax.training.inference import Inference
from cnnjax.training.state import create_state
from cnnjax.training.step import Parts, _hits, train_step

pytestmark = pytest.mark.usefixtures("no_curves")

STATISTICS = Statistics.from_moments(2, np.ones(1), np.ones((1, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("augment", [{"mixup": 1.0}, {"cutmix": 1.0}])
def test_every_mixed_image_is_a_hit_for_one_class(augment):
    """A model that gives one class whatever it sees hits the images of which that class is the heaviest."""
    config = Experiment(
        optimizer=OptimizerConfig(name="sgd", lr=0.0),
        augment=AugmentConfig(crop="center", normalize="unit", **augment),
        train=TrainConfig(label_smoothing=0.1),
    )
    model, rule = create_model("plain:fc5", 3, input_size=(8, 8, 1)), optimizer(config.optimizer)
    pipeline = train_pipeline(config.augment, seed=0, statistics=STATISTICS, input_size=(8, 8))
    rate = schedule(config.optimizer, steps=9, steps_per_epoch=3.0)
    inference = Inference(model, "softmax", lambda values: values, lambda images, *_: images[None])
    step = jax.jit(functools.partial(train_step, parts=Parts(config, inference, rule, rate, pipeline)))
    rng = np.random.default_rng(0)
    batch = {"images": rng.integers(0, 256, (64, 8, 8, 1), np.uint8), "labels": rng.integers(0, 3, 64).astype(np.int32)}
    batch["position"] = np.arange(64, dtype=np.uint32)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), model.shapes())

    def hits(number):
        def one(leaf):
            return leaf.at[number].set(1) if leaf.shape == (3,) else leaf

        state = create_state(zeros | {"params": jax.tree.map(one, zeros["params"])}, rule, average=False)
        return float(step(state, batch)[1]["top1"])

    _, targets = pipeline(batch["images"], jax.nn.one_hot(batch["labels"], 3), batch["position"])
    heaviest = np.isclose(targets, targets.max(1, keepdims=True), rtol=1e-5)
    assert [hits(number) for number in range(3)] == heaviest.sum(0).tolist()


def test_a_difference_of_rounding_is_none():
    """What XLA computes twice may differ in the last bits; two classes that differ by more are not equal."""
    targets = jnp.array([[0.5, np.nextafter(np.float32(0.5), 1), 0], [0.4999, 0.5001, 0], [0, 1, 1], [0, 0, 0]])
    scores = jnp.array([[2.0, 1, 0], [2, 1, 0], [0, 1, 2], [1, 2, 3]])
    np.testing.assert_array_equal(_hits(scores, targets), [1, 0, 1, 0])
