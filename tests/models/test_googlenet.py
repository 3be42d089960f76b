"""GoogLeNet as in the paper: maps of its table 1, and auxiliary heads where they are asked for."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

from cnnjax.core import trees
from cnnjax.models import create_model, summarize
from cnnjax.models.googlenet import GoogLeNet

KEY = jax.random.key(0)


def test_maps_of_the_paper():
    rows = {row.name: row.output_shape for row in summarize(create_model("googlenet_paper")).rows}
    assert [rows[f"maxpool{number}"] for number in range(1, 5)] == [
        (56, 56, 64),
        (28, 28, 192),
        (14, 14, 480),
        (7, 7, 832),
    ]
    assert rows["inception5b.branch1.conv"] == (7, 7, 384)
    assert rows["avgpool"] == (1024,)


@pytest.mark.parametrize(("style", "counted"), [("paper", 13_378_280), ("torchvision", 13_004_888)])
def test_auxiliary_heads_are_counted_and_run_in_training_only(style, counted):
    net = GoogLeNet(num_classes=1000, style=style, auxiliary_heads=True)
    images = jnp.zeros((1, 224, 224, 3))
    variables = jax.eval_shape(partial(net.init, KEY), images)
    assert trees.size(variables["params"]) == counted
    kept = {key: variables[key] for key in ("params", "batch_stats") if key in variables}

    def run(variables, images, train):
        return net.apply(variables, images, train=train, rngs={"dropout": KEY}, mutable=["auxiliary", "batch_stats"])[1]

    trained = jax.eval_shape(partial(run, train=True), kept, images)
    assert [logits.shape for logits in trained["auxiliary"].values()] == [(1, 1000), (1, 1000)]
    assert "auxiliary" not in jax.eval_shape(partial(run, train=False), kept, images)


def test_the_paper_form_has_none_by_default():
    assert not [path for path in trees.flatten(create_model("googlenet_paper").shapes()) if "aux" in path]
