"""The summary's table: the worked one of the decks, its JSON and its text."""

import json

import flax.linen as nn
import jax.numpy as jnp

from cnnjax.models import Model, create_model, summarize
from cnnjax.models.cards import Card


def test_the_worked_table():
    table = summarize(create_model("table_cnn"))
    assert [row.activation_size for row in table.rows] == [784, 6272, 1568, 1600, 400, 400, 120, 64, 10]
    assert [row.params for row in table.rows if row.params] == [80, 3216, 48120, 7744, 650]
    assert [row.kind for row in table.rows] == [
        *("Input", "Conv", "MaxPool", "Conv", "MaxPool", "Flatten", "Dense", "Dense", "Dense"),
    ]
    assert [row.macs for row in table.rows if row.macs] == [
        9 * 8 * 28 * 28,
        25 * 8 * 16 * 10 * 10,
        400 * 120,
        120 * 64,
        64 * 10,
    ]
    assert (table.params, table.params_total, table.macs) == (59_810, 59_810, 432_768)


def test_json_is_the_contract():
    document = json.loads(json.dumps(summarize(create_model("vgg_small_bn", 3, input_size=(32, 32, 3))).to_json()))
    assert set(document) == {"name", "input", "params", "params_total", "macs", "layers"}
    assert document["name"] == "vgg_small_bn"
    assert document["input"] == [32, 32, 3]
    assert document["params_total"] - document["params"] == 2 * (2 * (32 + 64 + 128) + 3 * 256 + 512)
    assert document["layers"][1] == {
        "name": "conv1",
        "output_shape": [32, 32, 32],
        "activation_size": 32768,
        "params": 864,
        "macs": 864 * 1024,
    }
    assert sum(layer["params"] for layer in document["layers"]) == document["params"]


def test_text_is_a_table():
    lines = summarize(create_model("cnn4_bn")).text().splitlines()
    assert lines[0] == "cnn4_bn"
    assert lines[2].split() == ["layer", "kind", "output", "shape", "activation", "size", "parameters", "multiply-adds"]
    assert lines[5].split() == ["conv1", "Conv", "26", "x", "26", "x", "32", "21,632", "320", "194,688"]
    assert lines[-2].split() == ["total", "5,479,466", "25,771,392"]
    assert lines[-1] == "1,664 running statistics beside the parameters"
    assert len({len(line) for line in lines[3:5] + lines[-3:-1]}) == 1  # the columns' right edges meet


def test_shared_and_own_parameters_count_once():
    class Block(nn.Module):
        @nn.compact
        def __call__(self, inputs):
            scale = self.param("scale", nn.initializers.ones, (inputs.shape[-1],))
            return scale * nn.Dense(inputs.shape[-1], name="inner")(inputs)

    class Net(nn.Module):
        num_classes: int

        def setup(self):
            self.block = Block()
            self.out = nn.Dense(self.num_classes)

        def features(self, images, train=False):
            return self.block(self.block(images.reshape(len(images), -1)))

        def head(self, features, train=False):
            return self.out(features)

    model = Model("twice", Card((2, 2, 2)), 3, (2, 2, 2), Net(3))
    table = summarize(model)
    found = [(row.name, row.params, row.macs) for row in table.rows[1:]]
    assert found[:2] == [("block", 8, 0), ("block.inner", 72, 64)]
    assert sum(row.params for row in table.rows) == table.params == 8 + 72 + 27
    assert model.shapes()["params"]["out"]["bias"].dtype == jnp.float32
