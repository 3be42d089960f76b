"""Every kind of mistake in a config is answered by its one sentence; every value survives the way to JSON and back."""

import dataclasses
import json
import math
import sys

import pytest

from cnnjax import recipes
from cnnjax.config import (
    AugmentConfig,
    DataConfig,
    Experiment,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    differences,
    flat,
    from_json,
    options,
    override,
    to_json,
    validate,
)
from cnnjax.core.errors import UserError
from cnnjax.recipes import load

RECIPE = """
from cnnjax.config import DataConfig, Experiment, OptimizerConfig
config = Experiment(data=DataConfig(source="mnist", batch_size=64), optimizer=OptimizerConfig(lr=0.5))
variants = {"smoke": {"train.steps": 3, "data.source": "fake:imagenet"}, "wide": {"data.batch_size": 256}}
"""


def sentence(action, *arguments, **options):
    """The message of the UserError that an action must end with."""
    with pytest.raises(UserError) as caught:
        action(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_to(key, value):
    """The value of a key after an override."""
    roomy = Experiment(data=DataConfig(source="arrays:/a.npz", resize="auto"))
    return flat(validate(override(roomy, {key: value})))[key]


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "my_recipe.py"
    path.write_text(RECIPE)
    return path


# ---------------------------------------------------------------- loading


def test_recipe_has_its_name_values_and_their_origin(recipe):
    loaded = load(str(recipe))
    assert (loaded.name, loaded.config.data.batch_size, loaded.config.optimizer.lr) == ("my_recipe", 64, 0.5)
    assert loaded.config.train == TrainConfig()
    assert loaded.origin == dict.fromkeys(["data.source", "data.batch_size", "optimizer.lr"], str(recipe))
    assert recipes.load_config(str(recipe)) == loaded.config


def test_a_recipe_imports_modules_of_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "rates_of_mine.py").write_text("RATE = 0.25\n")
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "mine.py"
    path.write_text(
        "import rates_of_mine\nfrom cnnjax.config import Experiment, OptimizerConfig\n"
        "config = Experiment(optimizer=OptimizerConfig(lr=rates_of_mine.RATE))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry])  # as the console script starts
    assert load(str(path)).config.optimizer.lr == 0.25


def test_variant_lies_over_the_recipe_and_overrides_over_both(recipe):
    loaded = load(f"{recipe}:smoke", {"train.steps": "5", "data.batch_size": "32"})
    assert loaded.name == "my_recipe_smoke"
    assert (loaded.config.train.steps, loaded.config.data.batch_size, loaded.config.optimizer.lr) == (5, 32, 0.5)
    assert loaded.config.data.source == "fake:imagenet"
    assert loaded.origin == {
        "data.source": "variant smoke",
        "optimizer.lr": str(recipe),
        "train.steps": "command line",
        "data.batch_size": "command line",
    }


def test_file_that_is_not_there(recipe):
    there = recipe.parent / "my_recip.py"
    assert sentence(load, str(there)) == f"no config file {there}; did you mean {recipe}?"
    assert sentence(load, "nowhere/x.py") == (
        "no config file nowhere/x.py; name a Python file such as configs/lenet_digits.py"
    )
    assert sentence(load, str(recipe.parent)).startswith(f"no config file {recipe.parent}; ")


def test_variant_that_is_not_there(recipe, tmp_path):
    assert sentence(load, f"{recipe}:smok") == f"{recipe} has no variant smok; did you mean smoke?"
    plain = tmp_path / "plain.py"
    plain.write_text("from cnnjax.config import Experiment\nconfig = Experiment()")
    assert sentence(load, f"{plain}:smoke") == f"{plain} has no variant smoke; it has none at all"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("x = 1", "defines no `config = Experiment(...)`"),
        ("config = {}", "defines no `config = Experiment(...)`"),
        ("config = (", "fails with SyntaxError"),
        ("import sys; sys.exit(5)", "fails with SystemExit: 5; mend the config file"),
        ("from cnnjax.config import *; config, variants = Experiment(), {'b': 5}", "give each name its keys and"),
        ("from cnnjax.config import *; config, variants = Experiment(), {'b': {1: 2}}", "variants are no"),
        ("import no_such_module", "fails with ModuleNotFoundError: No module named 'no_such_module'; mend the"),
        ("from cnnjax.config import *\nconfig = Experiment(OptimizerConfig(lrr=1))", "unexpected keyword argument"),
        ("from cnnjax.config import *\nconfig = Experiment(data=None)", "config.data is not a section of options"),
    ],
)  # fmt: skip
def test_file_that_is_no_recipe(tmp_path, text, answer):
    path = tmp_path / "bad.py"
    path.write_text(text)
    assert answer in sentence(load, str(path))


def test_bad_value_in_a_variant_names_its_key(tmp_path):
    path = tmp_path / "bad.py"
    path.write_text("from cnnjax.config import *\nconfig = Experiment()\nvariants = {'a': {'train.step': 3}}")
    assert sentence(load, f"{path}:a") == "unknown key config.train.step; did you mean config.train.steps?"


# ---------------------------------------------------------------- reading texts by type


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("data.batch_size", "256", 256),
        ("optimizer.lr", "1e-3", 0.001),
        ("optimizer.lr", "1", 1.0),
        ("augment.flip", "true", True),
        ("augment.flip", "Yes", True),
        ("augment.flip", "0", False),
        ("augment.flip", "off", False),
        ("data.source", "folder:/a,b=c", "folder:/a,b=c"),
        ("augment.crop", "resized", "resized"),
        ("data.size", "256", (256, 256)),
        ("data.size", "256,192", (256, 192)),
        ("data.size", "256x192", (256, 192)),
        ("data.size", "(256, 192)", (256, 192)),
        ("data.size", "None", None),
        ("model.input_size", "32x32x3", (32, 32, 3)),
        ("augment.scale", "0.25,1", (0.25, 1.0)),
        ("optimizer.drop_epochs", "30,60,80", (30.0, 60.0, 80.0)),
        ("optimizer.drop_epochs", "30", (30.0,)),
        ("optimizer.drop_epochs", "", ()),
        ("data.class_names", "cat,dog", ("cat", "dog")),
        ("data.class_names", "Apple (red), Pear [green]", ("Apple (red)", "Pear [green]")),
        ("data.class_names", "[Apple (red), Pear [green]]", ("Apple (red)", "Pear [green]")),
        ("data.class_names", "(a),(b)", ("(a)", "(b)")),
        ("data.size", "[32, 48]", (32, 48)),
        ("optimizer.drop_epochs", "(30,)", (30.0,)),
        ("train.steps", "none", None),
        ("model.dropout", "0.5", 0.5),
    ],
)
def test_text_is_read_by_the_type_of_its_field(key, text, value):
    ours = set_to(key, text)
    assert ours == value
    assert type(ours) is type(value)
    if isinstance(value, tuple):
        assert [type(part) for part in ours] == [type(part) for part in value]


def test_values_of_a_recipe_take_the_type_of_their_field():
    config = Experiment(
        data=DataConfig(resize="squash", size=[32, 48]), optimizer=OptimizerConfig(lr=1, drop_epochs=[3, 5])
    )
    checked = validate(config)
    assert checked.data.size == (32, 48)
    assert [type(number) for number in (checked.optimizer.lr, *checked.optimizer.drop_epochs)] == [float] * 3


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("data.batch_size", "many", "config.data.batch_size=many is not a whole number"),
        ("data.batch_size", "12.5", "config.data.batch_size=12.5 is not a whole number"),
        ("data.batch_size", True, "config.data.batch_size=True is not a whole number"),
        ("train.seed", math.inf, "config.train.seed=inf is not a whole number"),
        ("optimizer.lr", "fast", "config.optimizer.lr=fast is not a number"),
        ("optimizer.lr", "nan", "config.optimizer.lr=nan is not a number"),
        ("optimizer.lr", "inf", "config.optimizer.lr=inf is not a number"),
        ("optimizer.lr", None, "config.optimizer.lr=None is not a number"),
        ("augment.flip", "maybe", "config.augment.flip=maybe is not true or false"),
        ("augment.flip", 1, "config.augment.flip=1 is not true or false"),
        ("data.source", 5, "config.data.source=5 is not a text"),
        ("augment.crop", "randm", "config.augment.crop=randm is not one of center, random, resized, scaled"),
        ("train.steps", "few", "config.train.steps=few is not a whole number or none"),
        ("data.size", "1,2,3", "config.data.size=1,2,3 is not 2 whole numbers separated by commas or none"),
        ("model.input_size", "28", "config.model.input_size=28 is not 3 whole numbers separated by commas or none"),
        ("optimizer.drop_epochs", "30,soon", "config.optimizer.drop_epochs=soon is not a number"),
        ("augment.scale", {}, "config.augment.scale={} is not 2 numbers separated by commas"),
    ],
)
def test_wrong_type(key, value, answer):
    assert sentence(set_to, key, value) == answer


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        ("optimizer.lrr", "unknown key config.optimizer.lrr; did you mean config.optimizer.lr?"),
        ("lr", "unknown key config.lr; did you mean config.optimizer.lr?"),
        ("train.batch_size", "unknown key config.train.batch_size; did you mean config.data.batch_size?"),
        ("learning_rate", "unknown key config.learning_rate; did you mean config.optimizer.lr?"),
        ("train.num-workers", "unknown key config.train.num-workers; did you mean config.data.threads?"),
        ("class_weights", "unknown key config.class_weights; cnnjax train --config FILE --print_config lists all"),
        ("freeze", "unknown key config.freeze; cnnjax train --config FILE --print_config lists all"),
        ("optimizer.momentun", "unknown key config.optimizer.momentun; did you mean config.optimizer.momentum?"),
    ],
)
def test_unknown_key(key, answer):
    assert sentence(override, Experiment(), {key: "1"}) == answer


# ---------------------------------------------------------------- checking


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("data.batch_size", "0", "config.data.batch_size=0 is out of range; it must be 1 or more"),
        ("optimizer.lr", "-1", "config.optimizer.lr=-1.0 is out of range; it must be 0 or more"),
        ("train.seed", "-1", "config.train.seed=-1 is out of range; it must be between 0 and 4294967295"),
        ("data.max_pixels", "0", "config.data.max_pixels=0 is out of range; it must be 1 or more"),
        ("data.val_fraction", "1.5", "config.data.val_fraction=1.5 is out of range; it must be between 0 and 0.9"),
        ("augment.scale", "0.5,2", "config.augment.scale=(0.5, 2.0) is out of range; it must be between 0.001 and 1"),
    ],
)
def test_out_of_range(key, value, answer):
    assert sentence(set_to, key, value) == answer


@pytest.mark.parametrize("key", [key for key, item in options().items() if item.metadata["low"] is not None])
def test_both_ends_of_every_range_are_kept(key):
    low, high = (options()[key].metadata[end] for end in ("low", "high"))
    fitting = {"data.val_fraction": 0, "data.test_fraction": 0, "data.resize": "auto", "augment.normalize": "fixed"}
    roomy = override(Experiment(), fitting)
    default = flat(roomy)[key]
    length = {"data.size": 2, "data.center_crop": 2, "model.input_size": 3, "optimizer.drop_epochs": 1}.get(
        key, len(default) if isinstance(default, tuple) else None
    )

    def check(number):
        return validate(override(roomy, {key: number if length is None else [number] * length}))

    assert "is out of range" in sentence(check, low - 1)
    if high is not None:
        check(high)
        assert "is out of range" in sentence(check, high + 1)


@pytest.mark.parametrize(
    ("config", "answer"),
    [
        (Experiment(data=DataConfig(resize="center")), "config.data.resize=center needs a size; give config.data.size"),
        (
            Experiment(data=DataConfig(size=(8, 8))),
            "config.data.size belongs to a rule of resizing; give config.data.resize",
        ),
        (
            Experiment(data=DataConfig(resize="squash", size=(8, 8), center_crop=(6, 6))),
            "config.data.center_crop belongs to config.data.resize=center, not to squash",
        ),
        (Experiment(data=DataConfig(class_names=("a", "b"))), "belongs to idx: and arrays:, not to digits"),
        (Experiment(data=DataConfig(val_fraction=0.6, test_fraction=0.4)), "leave nothing to train on"),
        (Experiment(augment=AugmentConfig(scale=(1.0, 0.5))), "are (smallest, largest)"),
        (
            Experiment(data=DataConfig(batch_size=10), train=TrainConfig(accumulate=4)),
            "config.train.accumulate=4 does not divide",
        ),
        (
            Experiment(optimizer=OptimizerConfig(schedule="step")),
            "needs config.optimizer.drop_epochs, such as 30,60,80",
        ),
        (Experiment(optimizer=OptimizerConfig(drop_epochs=(60.0, 30.0))), "config.optimizer.drop_epochs must rise"),
        (Experiment(train=TrainConfig(epochs=0.0)), "config.train.epochs=0 trains nothing"),
        (
            Experiment(augment=AugmentConfig(std=(255.0,))),
            "mean and std belong to config.augment.normalize=fixed, not to auto",
        ),
        (
            Experiment(train=TrainConfig(loss="mse", label_smoothing=0.1)),
            "belongs to config.train.loss=softmax, not to mse",
        ),
    ],
)
def test_keys_that_do_not_go_together(config, answer):
    assert answer in sentence(validate, config)


def test_defaults_are_valid_and_stay_as_they_are():
    assert validate(Experiment()) == Experiment()


def test_a_source_is_kept_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text, kept in (
        ("folder:images", f"folder:{tmp_path}/images"),
        ("zip:a/b.zip", f"zip:{tmp_path}/a/b.zip"),
        ("table:/list.csv", "table:/list.csv"),
        ("folder:$HERE/x", "folder:$HERE/x"),
        ("folder:~/x", "folder:~/x"),
        ("folder:", "folder:"),
        ("tfds:toys", "tfds:toys"),
        ("fake:imagenet", "fake:imagenet"),
    ):
        config = validate(Experiment(data=DataConfig(source=text)))
        assert config.data.source == kept
        assert validate(config) == config


def test_every_option_is_documented_on_one_line():
    for key, item in options().items():
        assert item.metadata["doc"].strip(), key
        assert "\n" not in item.metadata["doc"], key
    assert list(options()) == list(flat(Experiment()))


def test_keys_that_scripts_rely_on():
    names = """data.source data.batch_size data.loader data.store data.bad_images model.name model.num_classes
    optimizer.name optimizer.lr train.epochs train.seed train.overfit train.checkpoint_every"""
    assert set(names.split()) <= set(options())
    assert Experiment().train.checkpoint_every == 300


# ---------------------------------------------------------------- comparing and keeping


def test_differences_leave_out_what_cannot_change_the_result():
    old = Experiment()
    new = override(old, {"data.threads": 3, "train.log_every": 7, "optimizer.lr": 0.3, "train.time_budget": 60})
    assert differences(old, new) == {"optimizer.lr": (0.01, 0.3)}
    assert differences(old, old) == {}


def test_json_round_trip():
    config = Experiment(
        data=DataConfig(source="idx:/a", resize="pad", size=(8, 9), class_names=("a", "b")),
        model=ModelConfig(input_size=(8, 9, 1), dropout=0.25),
        optimizer=OptimizerConfig(schedule="step", drop_epochs=(1.5, 3.0)),
    )
    document = json.loads(json.dumps(to_json(config), allow_nan=False))
    assert document["data"]["size"] == [8, 9]
    assert from_json(document) == config
    assert from_json({}) == Experiment()


def test_damaged_json():
    document = to_json(Experiment())
    document["train"]["sed"] = 1
    assert sentence(from_json, document) == "unknown key config.train.sed; did you mean config.train.seed?"
    for damage in ([1], {"data": 3}, "text"):
        assert "restore config.json" in sentence(from_json, damage)


def test_config_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Experiment().data.batch_size = 5


# ---------------------------------------------------------------- in Python


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (
            lambda: DataConfig(resize="squish"),
            "config.data.resize=squish is not one of none, center, squash, pad, auto",
        ),
        (lambda: DataConfig(batch_size="64"), "config.data.batch_size=64 is not a whole number"),
        (lambda: DataConfig(batch_size=0), "config.data.batch_size=0 is out of range; it must be 1 or more"),
        (lambda: TrainConfig(seed=1.5), "config.train.seed=1.5 is not a whole number"),
        (lambda: AugmentConfig(flip="yes"), "config.augment.flip=yes is not true or false"),
        (lambda: ModelConfig(input_size="none"), "config.model.input_size=none is not"),
        (lambda: dataclasses.replace(OptimizerConfig(), momentum=1), "config.optimizer.momentum=1.0 is out of range"),
        (
            lambda: Experiment(data=AugmentConfig()),
            "config.data is not a section of options; it must be DataConfig(...)",
        ),
    ],
)
def test_a_section_checks_its_values_where_it_is_made(make, answer):
    assert answer in sentence(make)


def test_a_section_takes_values_in_the_type_of_their_fields():
    made = DataConfig(size=[32, 48]), OptimizerConfig(lr=1, drop_epochs=[3, 5])
    assert (made[0].size, made[1].lr, made[1].drop_epochs) == ((32, 48), 1.0, (3.0, 5.0))
    assert isinstance(made[1].lr, float)
    assert DataConfig(size=32).size == (32, 32)
