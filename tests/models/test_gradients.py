"""The gradient of the compiled training step, as `cnnjax train` runs it, against float64 and XLA's plain operations."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from cnnjax.models import list_models
from cnnjax.models.base import MODELS, Classifier
from cnnjax.models.blocks import Conv, Dense, ReLU, SqueezeExcite, activation
from cnnjax.models.convolution.forms import Case as Shape
from cnnjax.models.norm import LRN, BatchNorm, GroupNorm, LayerNorm
from cnnjax.models.pooling import AvgPool, GlobalAvgPool, MaxPool

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import gradients
from gradients import CASES
from step_gradients import Case, by_products


class EveryLayer(Classifier):
    """LRN and groups as AlexNet has them, a block of Inception, one of MobileNetV3, one of ConvNeXt, one of BiT."""

    def setup(self):
        self.stem, self.lrn, self.pool = Conv(16, 5, stride=2, padding=2), LRN(), MaxPool(3, stride=2, ceil=True)
        self.split, self.groups, self.relu = Conv(32, 3, padding=1, groups=2), Conv(32, 3, padding=1, groups=8), ReLU()
        self.narrow, self.bn1 = Conv(16, 1, use_bias=False), BatchNorm()
        self.pooled, self.wide, self.bn2 = MaxPool(3, stride=1, padding=1), Conv(16, 3, padding=1), BatchNorm()
        self.depthwise, self.bn3 = Conv(32, 3, stride=2, padding=1, groups=32, use_bias=False), BatchNorm()
        self.swish, self.se = activation("hard_swish"), SqueezeExcite(8)
        self.again, self.ln, self.gelu = Conv(32, 3, padding=1, groups=32), LayerNorm(), activation("gelu")
        self.mean, self.gn, self.winograd = AvgPool(3, stride=1, padding=1), GroupNorm(8), Conv(64, 3, padding=1)
        self.average, self.fc = GlobalAvgPool(), Dense(self.num_classes)

    def features(self, images, train=False):
        values = self.chain(("stem", "relu", "lrn", "pool", "split", "relu", "groups"), images, train)
        branches = [self.chain(("narrow", "bn1", "relu"), values, train)]
        branches.append(self.chain(("pooled", "wide", "bn2", "relu", "pooled"), values, train))
        values = jnp.concatenate(branches, -1)
        values = self.chain(("depthwise", "bn3", "swish", "se"), values, train)
        values += self.chain(("again", "ln", "gelu"), values, train)
        return self.chain(("gn", "relu", "mean", "winograd"), values, train)

    def head(self, features, train=False):
        return self.chain(("average", "fc"), features, train)


SMALL = (
    Case("plain:conv16 >> bn >> relu >> pool >> conv32 >> bn >> relu >> pool >> fc64 >> relu", 16, 28),
    Case(f"{__name__}:EveryLayer", 8, 32),
    Case("lenet5", 16),  # each device takes the gradient of its own images
)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_small_nets(case):
    result = gradients.measure(case)
    assert not gradients.wrong(result)
    assert result.steps == (1 if case.name.endswith("EveryLayer") else 16), "steps a dispatch, strides in the one model"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_family(case):
    """The rows of benchmarks/results/gradients.txt."""
    result = gradients.measure(case)
    print("\n".join(gradients.table([gradients.line(result)])))
    assert not gradients.wrong(result)


def test_no_family_is_left_out():
    families = {MODELS[name].card.family for name in list_models()} - {"own"}
    assert {MODELS[case.name].card.family for case in CASES} == families


@pytest.mark.parametrize(
    ("channels", "outputs", "groups", "stride", "around"),
    [
        (4, 6, 1, (1, 1), ((1, 1), (1, 1))),
        (4, 6, 2, (2, 1), ((0, 2), (1, 0))),
        (6, 6, 6, (2, 2), ((1, 1), (1, 1))),
        (4, 8, 4, (1, 2), ((1, 1), (2, 1))),
        (4, 6, 1, (2, 2), ((-1, 1), (0, -2))),
    ],
)
def test_products_of_the_reference_are_convolutions(channels, outputs, groups, stride, around):
    rng = np.random.default_rng(0)
    inputs, kernel = rng.normal(size=(2, 9, 8, channels)), rng.normal(size=(3, 2, channels // groups, outputs))
    with jax.enable_x64(True):
        wanted = lax.conv_general_dilated(
            *(inputs, kernel, stride, around),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )
        found = by_products(inputs, kernel, Shape(inputs.shape, kernel.shape, stride, around, groups))
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)
