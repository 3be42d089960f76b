"""A CPU's devices take a light model's gradient each of its own images: the same step, with one sum."""

import dataclasses

import flax.linen as nn
import jax
import numpy as np
import pytest

from cnnjax.core.mesh import by_batch, replicated
from cnnjax.data import prepare
from cnnjax.models import create_model
from cnnjax.training import build
from cnnjax.training.loop import Length
from cnnjax.training.step import train_step

pytestmark = pytest.mark.usefixtures("no_curves")

ALONE = "plain:conv8 >> relu >> pool >> fc16 >> relu"


class Mixing(nn.Module):
    """Keeps no statistics and draws nothing, but looks at all images together."""

    num_classes: int

    def setup(self):
        self.out = nn.Dense(self.num_classes)

    def features(self, images, train=False):
        return images.reshape(len(images), -1) - images.mean()

    def head(self, features, train=False):
        return self.out(features)


@pytest.fixture
def made(tiny, mesh):
    """Returns f(devices, **changes) -> (parts, mesh)."""

    def make(count, **changes):
        config = tiny(**{"model__name": ALONE} | changes)
        dataset = prepare(config.data)
        config = build.resolve(config, dataset)
        parts = build.build_parts(config, dataset, Length.of(config.train, images=80, batch_size=16))
        return parts, build.mesh_of(parts, mesh(count))

    return make


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer__l2": 0.1, "train__accumulate": 2},
        {"optimizer__name": "sam"},
        {"train__overfit": 16, "train__loss": "mse"},
    ],
)
def test_the_step_is_the_same(made, changes):
    parts, mesh = made(4, **changes)
    assert build._learn_apart(parts, mesh)
    rng = np.random.default_rng(0)
    batch = {
        "images": rng.integers(0, 256, (16, 12, 12, 1), np.uint8),
        "labels": rng.integers(0, 3, 16).astype(np.int32),
        "position": np.arange(16, dtype=np.uint32),
    }
    batch = jax.device_put(batch, by_batch(mesh))
    state = jax.device_put(build.first_state(parts), replicated(mesh))
    apart = jax.jit(train_step, static_argnames="parts")
    got = apart(state, batch, parts=dataclasses.replace(parts, apart=mesh))
    wanted = apart(state, batch, parts=parts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), got, wanted)
    assert got[1]["count"] == 16
    text = build.compiled(train_step, parts, state, batch, mesh).as_text()
    sums = [line for line in text.splitlines() if " all-reduce(" in line]
    gradients = 2 if "optimizer__name" in changes else 1
    assert len(sums) == gradients, sums
    assert not any("(f32" in line.split(" all-reduce(")[0] for line in sums), "one array each, not one a parameter"


@pytest.mark.parametrize(
    "changes",
    [
        {"model__name": f"{ALONE} >> drop0.5"},
        {"model__name": "plain:conv8 >> bn >> relu >> pool"},
        {"model__name": f"{__name__}:Mixing"},
        {"train__log_dead_relu": True},
        {"data__batch_size": 100_000},
    ],
)
def test_nets_in_which_images_meet_are_left_to_xla(made, changes):
    assert not build._learn_apart(*made(4, **changes))


def test_one_device_has_nothing_to_sum(made):
    assert not build._learn_apart(*made(1))


def test_a_net_is_solitary_by_what_it_does():
    assert create_model("lenet5").solitary
    assert create_model("vit_b_16", dropout=0.0, input_size=(32, 32, 3)).solitary
    assert not create_model("cnn1").solitary, "it draws its dropout"
    assert create_model("cnn1", dropout=0.0).solitary
    assert not create_model("resnet20_cifar").solitary, "BatchNorm looks at all images"
