"""The tables of published weights: every row of weights.csv is read by the model that it stands for."""

import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnjax.core import trees
from cnnjax.core.errors import UserError
from cnnjax.models import create_model
from cnnjax.models.base import MODELS
from cnnjax.models.cards import aliases, published_weights
from cnnjax.runs.convert import _check_form, convert
from cnnjax.weights import bridge, detect

ROWS = sorted({(name, one.source) for name, rows in published_weights().items() for one in rows})


@pytest.mark.parametrize(("name", "source"), ROWS)
def test_every_row_has_a_table(name, source):
    card = MODELS[name].card
    assert source in bridge.tables_of(name, card.family)
    _check_form(card, name, source)  # or the same names would be read into a model that pads otherwise


def forms():
    """(name elsewhere, library) of each model that the library builds otherwise than ours of its name."""
    for alias, name in aliases().items():
        card = MODELS[name].card
        for source in bridge.tables_of(name, card.family):
            if f"{source}/{name}" in MODELS and source != card.published.source:
                yield alias, source


@pytest.mark.parametrize(("alias", "source"), sorted(forms()))
def test_another_form_is_refused_by_whatever_name(alias, source, tmp_path):
    save_file({"weight": np.zeros(1, np.float32)}, tmp_path / "any.safetensors")
    name = aliases()[alias]
    with pytest.raises(UserError, match=f"is built otherwise than {name}; take {source}/{name}"):
        convert(alias, tmp_path / "any.safetensors", tmp_path / "run", source=source)


def test_polynets_images_are_squashed():
    """Its accuracy was measured on whole images made 378 x 378, of which the middle 331 x 331 were seen."""
    card = MODELS["polynet"].card
    assert (card.resize, card.input_size[0], round(card.input_size[0] / card.crop)) == ("squash", 331, 378)


def zeros(model, source):
    """A file of the model's names and shapes in its layout here, which takes no memory."""
    keys, flat = bridge.keys_of(model, source), trees.flatten(model.shapes())
    return {
        key: bridge.write_layout(np.broadcast_to(np.float32(0), flat[path].shape), path, bridge.table(model, source))
        for path, key in keys.items()
    }


@pytest.mark.parametrize(("name", "head"), [("inception_v3", "AuxLogits/fc"), ("googlenet", "aux1/fc2")])
def test_auxiliary_heads_are_told_from_the_head(name, head):
    model, few = create_model(name), create_model(name, 7)
    state = zeros(model, "torchvision")
    beside = {key for key in state if key.startswith(("aux", "Aux"))}
    assert {bridge.keys_of(model, "torchvision")[path] for path in model.auxiliary_leaves} == beside
    assert detect.new_leaves(model, state, "torchvision") == set()

    tuned = state | {key: value for key, value in zeros(few, "torchvision").items() if key.startswith("fc.")}
    assert detect.classes_in(model, tuned, "torchvision") == 7  # whatever the auxiliary heads were left at
    new = detect.new_leaves(few, tuned, "torchvision")
    assert {f"params/{head}/kernel", f"params/{head}/bias"} <= new < few.head_leaves
    assert not any(path.startswith("params/fc/") for path in new)

    evaluated = {key: value for key, value in state.items() if key not in beside}
    assert not detect.lacks_head(model, evaluated, "torchvision")
    assert detect.new_leaves(model, evaluated, "torchvision") == model.auxiliary_leaves
    bare = {key: value for key, value in evaluated.items() if not key.startswith("fc.")}
    assert detect.lacks_head(model, bare, "torchvision")
    assert detect.new_leaves(model, bare, "torchvision") == model.auxiliary_leaves | model.head_leaves
    del evaluated["conv1.conv.weight" if name == "googlenet" else "Conv2d_1a_3x3.conv.weight"]
    assert detect.new_leaves(model, evaluated, "torchvision") == model.auxiliary_leaves  # and the rest stays missing


def test_a_convolution_for_a_head_tells_its_classes():
    model, few = create_model("resnetv2_50x1_bit", 21843), create_model("resnetv2_50x1_bit", 7)
    state = zeros(few, "timm")
    state["head.fc.weight"] = state["head.fc.weight"][:, :, None, None]
    assert detect.classes_in(model, state, "timm") == 7
    assert detect.new_leaves(model, state, "timm") == model.head_leaves


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_a_densenet_is_read_by_the_names_of_its_published_files(source):
    """Which have a point before the number, norm.1 and conv.2; torchvision renames them as it loads them."""
    model = create_model("densenet121", 2, input_size=(32, 32, 3))
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(?=[12]\.)", r"\1.", key): leaf
        for key, leaf in zeros(model, source).items()
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    assert detect.new_leaves(model, state, source) == set()
    assert trees.flatten(bridge.read_variables(model, state, source)).keys() == trees.flatten(model.shapes()).keys()


def test_names_of_a_keras_convnext_tell_its_classes():
    """Its layers' names begin with the model's."""
    model = create_model("convnext_tiny", 7, input_size=(32, 32, 3))
    keys, flat = bridge.keys_of(model, "keras"), trees.flatten(model.shapes())
    state = {f"convnext_tiny_{key}": np.broadcast_to(np.float32(0), flat[path].shape) for path, key in keys.items()}
    other = create_model("convnext_tiny", input_size=(32, 32, 3))
    assert detect.find_source(other, state) == "keras"
    assert detect.classes_in(other, state, "keras") == 7
    assert not detect.lacks_head(other, state, "keras")
    del state["convnext_tiny_head_dense/kernel"], state["convnext_tiny_head_dense/bias"]
    assert detect.lacks_head(other, state, "keras")
