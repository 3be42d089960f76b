"""One's own models: registered, imported by package.module:Class, and what is said when they do not fit."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.core.errors import UserError
from cnnjax.models import base, create_model, list_models, register_model, summarize

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    registry = base.Registry("model", base._adopt)
    for name in list_models():
        registry.register(name, base.MODELS[name])
    monkeypatch.setattr(base, "MODELS", registry)


class Mine(nn.Module):
    """A model in plain Flax, with its own dropout and BatchNorm, and no __call__."""

    num_classes: int

    def setup(self):
        self.stem = nn.Conv(4, (3, 3), padding="VALID")
        self.norm = nn.BatchNorm()
        self.drop = nn.Dropout(0.5)
        self.out = nn.Dense(self.num_classes)

    def features(self, images, train=False):
        maps = nn.max_pool(nn.relu(self.norm(self.stem(images), use_running_average=not train)), (2, 2), (2, 2))
        return self.drop(maps, deterministic=not train)

    def head(self, features, train=False):
        return self.out(features.reshape(len(features), -1))


def test_a_registered_flax_module_is_a_model_like_any_other():
    cnnjax.register_model("mine", input_size=(10, 10, 3), num_classes=4)(Mine)
    assert "mine" in list_models()
    model = create_model("mine")
    variables = model.init(KEY)
    images = jax.random.normal(KEY, (2, 10, 10, 3))
    assert model.apply(variables, images).shape == (2, 4)
    logits, stats, observed, *_ = model.apply_train(variables, images, KEY, observe=True)
    assert observed == {}
    assert np.any(stats["norm"]["mean"] != 0)
    again = create_model("mine", dropout=0.0).apply_train(variables, images, jax.random.key(1))[0]
    assert np.any(logits != again)
    np.testing.assert_array_equal(again, create_model("mine", dropout=0.0).apply_train(variables, images, KEY)[0])
    rows = [(row.name, row.output_shape, row.params, row.macs) for row in summarize(model).rows]
    assert rows == [
        ("input", (10, 10, 3), 0, 0),
        ("stem", (8, 8, 4), 3 * 3 * 3 * 4 + 4, 3 * 3 * 3 * 4 * 64),
        ("norm", (8, 8, 4), 8, 0),
        ("out", (4,), 64 * 4 + 4, 256),
    ]


def test_too_small_is_found_in_plain_flax_as_well():
    register_model("mine", input_size=(10, 10, 3))(Mine)
    with pytest.raises(UserError, match=r"mine needs images of at least 4 x 4; config.model.input_size is 3 x 3"):
        create_model("mine", input_size=(3, 3, 3))


def test_a_cell_run_twice_replaces_and_a_name_of_another_module_is_refused():
    register_model("mine", input_size=(10, 10, 3))(Mine)
    register_model("mine", input_size=(12, 12, 3))(Mine)
    assert create_model("mine").input_size == (12, 12, 3)
    with pytest.raises(UserError, match=r"model lenet5 is registered already, by cnnjax.*; choose another name"):
        register_model("lenet5", input_size=(10, 10, 3))(Mine)


def test_options_a_net_has_no_attribute_for():
    register_model("mine", input_size=(10, 10, 3))(Mine)
    with pytest.raises(UserError, match="remat=True needs a model with an attribute remat: bool, which mine lacks"):
        create_model("mine", remat=True)

    class Typed(Mine):
        dtype: jnp.dtype = jnp.float32

    register_model("typed", input_size=(10, 10, 3))(Typed)
    assert create_model("typed", dtype="bfloat16").module.dtype == jnp.bfloat16


def test_a_module_without_the_contract_is_refused():
    class NoHead(nn.Module):
        num_classes: int

        def features(self, images, train=False):
            return images

    class NoTrain(NoHead):
        def head(self, features):
            return features

    class NoClasses(nn.Module):
        def features(self, images, train=False):
            return images

        def head(self, features, train=False):
            return features

    for module, sentence in [
        (NoHead, r"bad needs a method head\(self, features, train=False\)"),
        (NoTrain, r"bad needs a method head\(self, features, train=False\)"),
        (NoClasses, "bad needs an attribute num_classes: int"),
        (dict, "bad is no Flax module class"),
    ]:
        with pytest.raises(UserError, match=sentence):
            register_model("bad", input_size=(4, 4, 1))(module)


def test_outputs_of_another_width_are_refused():
    class Fixed(Mine):
        def head(self, features, train=False):
            return features.mean((1, 2))

    register_model("fixed", input_size=(10, 10, 3))(Fixed)
    with pytest.raises(UserError, match=r"outputs of shape \[1, 4\] for one image; its head must give .* \[1, 9\]"):
        create_model("fixed", 9)


def test_a_mistake_in_ones_own_net_keeps_its_traceback():
    class Wrong(Mine):
        def head(self, features, train=False):
            return features + jnp.zeros(7)

    register_model("wrong", input_size=(10, 10, 3))(Wrong)
    with pytest.raises(ValueError, match="Incompatible shapes"):
        create_model("wrong")


NET = """
import flax.linen as nn

class Net(nn.Module):
    num_classes: int

    def setup(self):
        self.out = nn.Dense(self.num_classes)

    def features(self, images, train=False):
        return images.mean((1, 2))

    def head(self, features, train=False):
        return self.out(features)
"""


def test_a_class_by_its_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_nets_here.py").write_text(NET)
    (tmp_path / "own_broken.py").write_text("import no_such_package_at_all\n")
    (tmp_path / "own_failing.py").write_text("1 / 0\n")
    model = create_model("own_nets_here:Net", 3, input_size=(8, 8, 3))
    assert model.apply(model.init(KEY), jnp.ones((2, 8, 8, 3))).shape == (2, 3)
    for name, sentence in [
        ("own_nets_here:Nett", "own_nets_here has no Nett and registers no such model"),
        ("own_nets_here:nn", "is no Flax module class"),
        ("own_nowhere:Net", "there is no module own_nowhere in "),
        (
            "own_broken:Net",
            "importing own_broken fails with ModuleNotFoundError: No module named 'no_such_package_at_all'",
        ),
        ("own_failing:Net", "importing own_failing fails with ZeroDivisionError: division by zero"),
    ]:
        with pytest.raises(UserError, match=sentence):
            create_model(name)


def test_a_registered_net_has_a_name_that_lasts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_variants.py").write_text(
        f"import functools, cnnjax\n{NET}\n    width: int = 0\n"
        "cnnjax.register_model('wide', input_size=(8, 8, 3), num_classes=5)(functools.partial(Net, width=7))\n"
    )
    model = create_model("own_variants:wide")
    assert (model.num_classes, model.module.width) == (5, 7)
    assert base.MODELS.importable_name("wide") == "own_variants:wide"
    assert base.MODELS.importable_name("lenet5") == "lenet5"
    assert create_model("own_variants:wide").input_size == (8, 8, 3), "found again without an import"


def test_unknown_name():
    with pytest.raises(UserError, match=r"unknown model alexnett; did you mean alexnet\?"):
        create_model("alexnett")
