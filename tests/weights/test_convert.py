"""Published weights become a run folder like any other, which predicts, evaluates, is trained on, and goes back."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

from cnnjax.cli import main
from cnnjax.config import (
    AugmentConfig,
    DataConfig,
    EvaluateConfig,
    Experiment,
    ModelConfig,
    OptimizerConfig,
    TrainConfig,
    override,
)
from cnnjax.core import keys, trees
from cnnjax.core.rundir import RunDir
from cnnjax.data import prepare
from cnnjax.data.decode import load
from cnnjax.evaluation.views import VIEWS
from cnnjax.models import create_model
from cnnjax.models.base import MODELS
from cnnjax.models.model import from_flat
from cnnjax.run import train
from cnnjax.runs import convert as converted_run
from cnnjax.runs import transfer
from cnnjax.runs.actions import evaluate
from cnnjax.runs.run import open_run, saved_config
from cnnjax.weights import bridge

pytestmark = pytest.mark.usefixtures("no_curves")

SAMPLE = Path(__file__).parents[2].parent / "shared" / "data" / "imagenet_sample"
NAME = "squeezenet1_1"  # 1.2 million parameters, a convolution for a head


def weights_file(path, classes=3, channels=3, seed=0):
    """A file of random weights in torchvision's names; returns the variables they came from."""
    model = create_model(NAME, classes, input_size=(224, 224, channels))
    rng = np.random.default_rng(seed)
    flat = {
        name: rng.standard_normal(leaf.shape, np.float32) * np.float32((2 / np.prod(leaf.shape[:-1])) ** 0.5)
        for name, leaf in trees.flatten(model.shapes()).items()
    }
    variables = {"batch_stats": {}} | trees.unflatten(flat)
    save_file(bridge.write_state(model, variables, "torchvision"), path)
    return variables


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    variables = weights_file(folder / "weights.safetensors")
    (folder / "names.txt").write_text("cats\ndogs\nfish\n")
    words = ("convert", "--arch", NAME, "--from", str(folder / "weights.safetensors"), "--workdir", str(folder / "run"))
    assert main([*words, "--classes", str(folder / "names.txt")]) == 0
    return folder, variables


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """Twelve photographs-like images in three class folders."""
    folder, rng = tmp_path_factory.mktemp("pets"), np.random.default_rng(0)
    for name, level in (("cats", 20), ("dogs", 90), ("fish", 160)):
        (folder / name).mkdir()
        for number in range(8):
            pixels = rng.integers(level, level + 60, (70, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def refused(capsys, *words):
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("cnnjax: ")
    assert told.count("\n") == 1
    return told


@pytest.mark.optimized(True)
def test_a_converted_run_is_a_run(converted, pets, capsys):
    folder, variables = converted
    run = open_run(folder / "run")
    assert run.classes == ("cats", "dogs", "fish")
    images = np.random.default_rng(1).standard_normal((2, 224, 224, 3), np.float32)
    expected = create_model(NAME, 3).apply(variables, images)
    np.testing.assert_allclose(run.logits(images), expected, rtol=1e-5, atol=1e-5)
    config = run.config
    assert (config.data.size, config.data.resize, config.data.interpolation) == ((256, 256), "center", "bilinear")
    assert (config.augment.normalize, config.augment.mean) == ("fixed", (123.675, 116.28, 103.53))
    assert main(["predict", "--workdir", str(folder / "run"), str(pets / "cats" / "0.png"), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert {item["name"] for item in result["classes"]} == {"cats", "dogs", "fish"}

    assert "has no images of its own" in refused(capsys, "evaluate", "--workdir", str(folder / "run"))
    report = evaluate(folder / "run", overrides={"data.source": f"folder:{pets}"})
    assert (report["split"], report["count"]) == ("train", 24)  # the folder is not split up
    assert report["params_digest"] == trees.digest(variables)


def test_a_folder_of_some_classes_is_held_against_the_outputs_of_those_names(converted, pets, tmp_path, capsys):
    folder, _ = converted
    for name in ("fish", "dogs"):  # the run's third and second class
        (tmp_path / "some").mkdir(exist_ok=True)
        (tmp_path / "some" / name).symlink_to(pets / name)
    report = evaluate(folder / "run", overrides={"data.source": f"folder:{tmp_path / 'some'}"})
    shown = [(path, label) for name, label in (("dogs", 1), ("fish", 2)) for path in sorted((pets / name).iterdir())]
    scores = open_run(folder / "run").predict([path for path, _ in shown]).astype(np.float64)
    right = scores[np.arange(16), [label for _, label in shown]]
    assert report["count"] == 16
    assert report["log_loss"] == pytest.approx(-np.log(right).mean(), rel=1e-4)
    assert report["top1"] == pytest.approx((right == scores.max(1)).mean())
    evaluate(folder / "run", overrides={"data.source": f"folder:{tmp_path / 'some'}"}, report=True)
    mistakes = json.loads(RunDir(folder / "run").errors("train").read_text())["mistakes"]
    alike = [other for entry in mistakes for other in entry.get("nearest", [])]
    assert {(Path(other["file"]).parts[0], *other["labels"]) for other in alike} == {("dogs", 1), ("fish", 2)}

    words = ("--workdir", str(folder / "run"), f"--config.data.source=folder:{tmp_path / 'some'}")
    assert main(["robustness", *words, "--count", "2", "--attack", "fgsm", "--epsilon", "0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["attacks"]["fgsm"]["epsilons"] == [0.1]
    (tmp_path / "some" / "birds").symlink_to(pets / "cats")
    assert "has 3 classes, of which birds is none of the run's 3" in refused(capsys, "evaluate", *words)
    (tmp_path / "some" / "cats").symlink_to(pets / "cats")
    told = refused(capsys, "evaluate", *words)
    assert "has 4 classes, of which birds is none of the run's 3" in told


def test_both_sides_are_resized_where_timm_squashes():
    """Its crop_mode is squash: 480 / 1.0 of any aspect, then 300 / 0.9, of which the center is cut."""
    image = np.random.default_rng(0).integers(0, 256, (300, 411, 3), np.uint8)
    for name, tag, side, resized in (
        ("timm/efficientnet_v2_m", "in1k@480", 480, 480),
        ("efficientnet_v2_b3", "in21k_ft_in1k@300", 300, 333),
    ):
        weights = converted_run._published(MODELS[name].card, "timm", tag)
        config, _ = converted_run._describe(create_model(name, input_size=(side, side, 3)), weights, ("a",))
        whole = np.asarray(Image.fromarray(image).resize((resized, resized), Image.Resampling.BICUBIC))
        start = round((resized - side) / 2)
        prepared, _ = load(image, config.data, "image", 3)
        expected = whole[start : start + side, start : start + side]
        np.testing.assert_array_equal(VIEWS["single"](prepared[None], (side, side))[0, 0], expected)


def check_prepared(image, tag, side, name="resnet50"):
    """Resize(side) and CenterCrop of torchvision, with Pillow alone."""
    weights = converted_run._published(MODELS[name].card, "torchvision", tag)
    config, _ = converted_run._describe(create_model(name), weights, ("a",))
    height, width = image.shape[:2]
    size = (side, side * height // width) if width <= height else (side * width // height, side)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    left, top = (round((one - weights.side) / 2) for one in size)
    expected = np.asarray(resized.crop((left, top, left + weights.side, top + weights.side)))
    prepared, _ = load(image, config.reading, "image", 3)
    np.testing.assert_array_equal(VIEWS["single"](prepared[None], (weights.side,) * 2)[0, 0], expected)


@pytest.mark.parametrize(
    ("name", "tag", "side"),
    [
        ("resnet50", "IMAGENET1K_V1", 256),
        ("resnet50", "IMAGENET1K_V2", 232),
        ("inception_v3", "IMAGENET1K_V1", 342),  # a margin of 43 pixels, rounded twice where it is cut twice
        ("convnext_small", "IMAGENET1K_V1", 230),  # a margin of 6, half of which is odd
    ],
)
def test_images_are_prepared_as_torchvision_does(name, tag, side):
    for width in (408, 411, 414, 417):
        noise = np.random.default_rng(0).integers(0, 256, (300, width, 3), np.uint8)
        check_prepared(noise, tag, side, name)
        check_prepared(noise.transpose(1, 0, 2), tag, side, name)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the ImageNet sample is not beside the checkout")
def test_photographs_are_prepared_as_torchvision_does():
    for path in sorted(SAMPLE.glob("*/*"))[::20]:
        check_prepared(np.asarray(Image.open(path).convert("RGB")), "IMAGENET1K_V2", 232)


@pytest.mark.parametrize("name", ["resnet50", "convnext_tiny", "inception_v3"])
def test_resized_sides_are_torchvisions(name):
    sides = {
        "resnet50": {"IMAGENET1K_V1": 256, "IMAGENET1K_V2": 232, "resnet50.a1_in1k@224": 235},
        "convnext_tiny": {"IMAGENET1K_V1": 236},
        "inception_v3": {"IMAGENET1K_V1": 342},
    }[name]
    for tag, side in sides.items():
        row = next(row for row in MODELS[name].card.weights if converted_run._has_tag(row, tag))
        config, _ = converted_run._describe(create_model(name, input_size=(row.side, row.side, 3)), row, ("a",))
        assert config.data.size == (side, side)


def test_the_way_back_is_exact(converted, capsys):
    folder, _ = converted
    assert main(["convert", "--workdir", str(folder / "run"), "--to", str(folder / "back.safetensors")]) == 0
    there, back = load_file(folder / "weights.safetensors"), load_file(folder / "back.safetensors")
    assert there.keys() == back.keys()
    for name in there:
        np.testing.assert_array_equal(there[name], back[name])


def test_classes_and_channels_are_read_from_the_file(tmp_path, capsys):
    weights_file(tmp_path / "bands.safetensors", classes=5, channels=13)
    words = ["convert", "--arch", NAME, "--from", str(tmp_path / "bands.safetensors"), "--workdir"]
    assert main([*words, str(tmp_path / "run")]) == 0
    run = open_run(tmp_path / "run")
    assert (run.model.num_classes, run.model.input_size) == (5, (224, 224, 13))
    assert run.config.augment.mean == run.config.augment.std == (127.5,) * 13
    assert "normalized to -1 .. 1, since the means of 13 channels are not known" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "other"), "--num_classes", "7"]) == 0
    assert "new for 7 classes instead of 5" in capsys.readouterr().err
    assert open_run(tmp_path / "other").model.num_classes == 7


def test_whatever_does_not_fit_is_listed_and_nothing_is_written(converted, tmp_path, capsys):
    folder, _ = converted
    good = load_file(folder / "weights.safetensors")
    state = dict(good)
    state["features.0.weight"] = state["features.0.weight"][:, :, :2, :2].copy()
    state["surplus.weight"] = state.pop("features.3.squeeze.bias")
    save_file(state, tmp_path / "bad.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((folder / "weights.safetensors").read_bytes()[:999])
    (tmp_path / "pickle.pth").write_bytes(b"x")
    run = str(tmp_path / "run")

    def convert(file, *more, arch=NAME):
        return refused(capsys, "convert", "--arch", arch, "--from", str(tmp_path / file), "--workdir", run, *more)

    told = convert("bad.safetensors")
    for part in ("1 missing: features.3.squeeze.bias", "1 unknown: surplus.weight", "features.0.weight is 2x2x3x64"):
        assert part in told
    assert "cannot be read" in convert("cut.safetensors")
    assert "--allow_pickle" in convert("pickle.pth")
    assert "there is no file of weights" in convert("nothing.safetensors")
    assert "did you mean squeezenet1_1" in convert("bad.safetensors", arch="squeezenet11")
    assert "did you mean IMAGENET1K_V1" in convert("bad.safetensors", "--tag", "IMAGENET1K_V9")
    assert "none of torchvision" in convert("bad.safetensors", "--source", "pytorch")
    assert not (tmp_path / "run").exists()
    assert "is not empty" in refused(
        capsys, "convert", "--arch", NAME, "--from", str(folder / "weights.safetensors"), "--workdir", str(folder)
    )


def test_flags_that_cannot_be_meant_are_refused(converted, tmp_path, capsys):
    folder, _ = converted
    words = ["convert", "--arch", NAME, "--from", str(folder / "weights.safetensors"), "--workdir"]
    for content, told in (
        ("caf\xe9\nb\nc\n".encode("latin-1"), "is no text in UTF-8; give one with a class name a line"),
        (b"", "is empty; give one with a class name a line"),
        (b"\n \n", "is empty; give one with a class name a line"),
        (b"cat\ndog\ncat\n", "the class name cat stands for several outputs; give each a name of its own"),
    ):
        (tmp_path / "names.txt").write_bytes(content)
        names = ("--classes", str(tmp_path / "names.txt"))
        assert told in refused(capsys, *words, str(tmp_path / "run"), *names)
    inside = str(tmp_path / "names.txt" / "a" / "run")
    assert "names.txt is no folder; name another folder with --workdir" in refused(capsys, *words, inside)
    out = ("convert", "--workdir", str(folder / "run"), "--to", str(tmp_path / "x.safetensors"))
    (tmp_path / "x.safetensors").mkdir()
    assert "x.safetensors is a folder; name a file to write" in refused(capsys, *out)
    (tmp_path / "x.safetensors").rmdir()
    for more in (("--arch", NAME), ("--num_classes", "3"), ("--classes", "x"), ("--tag", "x"), ("--allow_pickle",)):
        assert f"--to writes a run as it is and takes no {more[0]}; leave that out" in refused(capsys, *out, *more)
    assert [path.name for path in tmp_path.iterdir()] == ["names.txt"]


def test_weights_without_a_head(converted, tmp_path, capsys, monkeypatch):
    folder, variables = converted
    state = {f"module.{key}": value for key, value in load_file(folder / "weights.safetensors").items()}
    bare = {key: value for key, value in state.items() if "classifier" not in key}
    save_file(state, tmp_path / "parallel.safetensors")
    save_file(bare, tmp_path / "bare.safetensors")
    words = ["convert", "--arch", NAME, "--workdir", str(tmp_path / "run"), "--from"]
    told = refused(capsys, *words, str(tmp_path / "bare.safetensors"))
    assert "has no classifier; give --num_classes=N" in told
    assert main([*words, str(tmp_path / "bare.safetensors"), "--num_classes", "4"]) == 0
    assert "new for 4 classes where the file has no head" in capsys.readouterr().err
    run = open_run(tmp_path / "run")
    assert (len(run.classes), run.model.num_classes) == (4, 4)
    old, new = trees.flatten(variables), trees.flatten(run.variables)
    assert {path for path in old if not np.array_equal(old[path], new[path])} == {
        "params/classifier_1/kernel",
        "params/classifier_1/bias",
    }
    with monkeypatch.context() as patch:  # the head alone is drawn, as a whole model's is
        patch.setattr("cnnjax.models.model.Model.init", None)
        words[4] = str(tmp_path / "again")
        assert main([*words, str(tmp_path / "bare.safetensors"), "--num_classes", "4"]) == 0
    whole = trees.flatten(create_model(NAME, 4).init(keys.key(0, "init")))
    for path in ("params/classifier_1/kernel", "params/classifier_1/bias"):
        np.testing.assert_allclose(new[path], whole[path], rtol=1e-6)
    words[4] = str(tmp_path / "parallel")
    assert main([*words, str(tmp_path / "parallel.safetensors")]) == 0
    assert trees.digest(open_run(tmp_path / "parallel").variables) == trees.digest(variables)


def test_all_that_another_net_has_otherwise_is_listed(converted, tmp_path, capsys):
    folder, _ = converted
    words = ("--from", str(folder / "weights.safetensors"), "--workdir", str(tmp_path / "run"))
    told = refused(capsys, "convert", "--arch", "squeezenet1_0", *words)
    assert "features.0.weight is 3x3x3x64 where the model has 7x7x3x96" in told
    told = refused(capsys, "convert", "--arch", "resnet18", *words)
    assert "no classifier" not in told
    there = bridge.keys_of(create_model("resnet18", 3), "torchvision").values()
    assert set(told.split("102 missing: ")[1].split("; ")[0].split(", ")) == set(there)
    assert set(told.split("52 unknown: ")[1].strip().split(", ")) == set(load_file(folder / "weights.safetensors"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("googlenet", ""),
        pytest.param("inception_v3", "; --arch timm/inception_v3 is the model of timm", marks=pytest.mark.slow),
    ],
)
def test_auxiliary_heads_that_the_file_lacks_begin_anew(name, hint, tmp_path, capsys):
    """torchvision drops GoogLeNet's once its weights are loaded; timm's Inception-v3 has none and the same names."""
    model = create_model(name, 3)
    flat = {path: np.zeros(leaf.shape, np.float32) for path, leaf in trees.flatten(model.shapes()).items()}
    state = bridge.write_state(model, from_flat(flat), "torchvision")
    save_file({key: state[key] for key in state if key[:3].lower() != "aux"}, tmp_path / "bare.safetensors")
    words = ("--from", str(tmp_path / "bare.safetensors"), "--workdir", str(tmp_path / name))
    assert main(["convert", "--arch", name, *words]) == 0
    beside = ", ".join(sorted(model.auxiliary_leaves))
    assert f"new for 3 classes, since auxiliary heads are missing: {beside}{hint}" in capsys.readouterr().err
    found = trees.flatten(open_run(tmp_path / name).variables)
    assert {path for path in found if path.endswith("/kernel") and found[path].any()} == {
        path for path in model.auxiliary_leaves if path.endswith("/kernel")
    }


def test_forms_tags_and_damaged_values(converted, tmp_path, capsys):
    folder, _ = converted
    state = load_file(folder / "weights.safetensors")
    state["classifier.1.bias"] = np.full_like(state["classifier.1.bias"], np.nan)
    save_file(state, tmp_path / "nan.safetensors")
    words = ("--from", str(tmp_path / "nan.safetensors"), "--workdir", str(tmp_path / "run"))
    assert "not finite: classifier.1.bias" in refused(capsys, "convert", "--arch", NAME, *words)
    assert not (tmp_path / "run").exists()

    state["classifier.1.bias"] = np.zeros(3, np.int8)  # of a quantized model, whose scales stand elsewhere
    state["classifier.1.weight"] = state["classifier.1.weight"].astype(np.complex64)
    save_file(state, tmp_path / "nan.safetensors")
    told = refused(capsys, "convert", "--arch", NAME, *words)
    assert "2 no floating-point numbers: classifier.1.bias (int8), classifier.1.weight (complex64)" in told
    save_file({"classifier.1.weight": np.zeros((4096, 1000), np.float32)}, tmp_path / "map.safetensors")
    words = ("--from", str(tmp_path / "map.safetensors"), "--workdir", str(tmp_path / "run"))  # behind no 6 x 6 map
    assert "classifier.1.weight is 1000x4096 where the model has 9216x4096" in refused(
        capsys, "convert", "--arch", "alexnet", *words
    )
    assert not (tmp_path / "run").exists()

    model = create_model("mobilenet_v3_small", 3)
    flat = {path: np.zeros(leaf.shape, np.float32) for path, leaf in trees.flatten(model.shapes()).items()}
    variables = {"batch_stats": {}} | trees.unflatten(flat)
    save_file(bridge.write_state(model, variables, "timm"), tmp_path / "timm.safetensors")
    words = ("convert", "--from", str(tmp_path / "timm.safetensors"), "--workdir", str(tmp_path / "run"), "--arch")
    assert "take timm/mobilenet_v3_small or timm/tf_mobilenet_v3_small for it" in refused(
        capsys, *words, "mobilenet_v3_small"
    )
    assert main([*words, "timm/mobilenet_v3_small"]) == 0
    capsys.readouterr()
    told = refused(
        capsys, "convert", "--workdir", str(tmp_path / "run"), "--to", str(tmp_path / "x"), "--source", "torchvision"
    )
    assert "take another form for it" in told


def test_a_conversion_that_fails_leaves_nothing(converted, tmp_path, capsys, monkeypatch):
    folder, _ = converted

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr("cnnjax.runs.convert.describe_run", full)
    words = ("convert", "--arch", NAME, "--from", str(folder / "weights.safetensors"), "--workdir")
    assert main([*words, str(tmp_path / "run")]) == 1
    assert not (tmp_path / "run").exists()


def test_training_begins_with_the_weights_and_a_new_head(converted, pets, tmp_path, capsys):
    folder, variables = converted
    for name in ("cats", "dogs"):
        (tmp_path / "pets").mkdir(exist_ok=True)
        (tmp_path / "pets" / name).symlink_to(pets / name)
    config = Experiment(
        data=DataConfig(source=f"folder:{tmp_path / 'pets'}", batch_size=8, resize="auto"),
        model=ModelConfig(name=NAME, init=str(folder / "run")),
        optimizer=OptimizerConfig(name="sgd", lr=0.0),
        train=TrainConfig(steps=2, log_every=1, tensorboard=False),
        evaluate=EvaluateConfig(report=False),
    )
    train(config, tmp_path / "tuned")
    told = capsys.readouterr().err
    assert "classifier_1" in told.split("new: ")[1].splitlines()[0]
    tuned, old = open_run(tmp_path / "tuned", checkpoint="last"), trees.flatten(variables)
    for path, leaf in trees.flatten(tuned.variables).items():
        if "classifier_1" not in path:  # the rate is zero: what was taken over is still there
            np.testing.assert_array_equal(leaf, old[path])
    saved = saved_config(RunDir(tmp_path / "tuned"))
    assert (saved.data.size, saved.data.resize) == ((256, 256), "center")
    assert (saved.model.input_size, saved.augment.normalize) == ((224, 224, 3), "fixed")
    again = override(config, {"train.steps": 3})
    with pytest.raises(Exception, match="another config"):
        train(again, tmp_path / "tuned")
    assert train(config, tmp_path / "tuned")["count"] == 4  # finished: needs no other look at the first run

    unconverted = override(config, {"model.init": str(folder / "weights.safetensors")})
    with pytest.raises(Exception, match=r"weights.safetensors is a file and no run folder; .* with cnnjax convert"):
        train(unconverted, tmp_path / "wrong")
    wrong = override(config, {"model.name": "squeezenet1_0"})
    with pytest.raises(Exception, match="holds a squeezenet1_1"):
        train(wrong, tmp_path / "wrong")


def test_gray_images_go_on_as_they_began(converted, pets, tmp_path):
    folder, _ = converted
    config = Experiment(
        data=DataConfig(source=f"folder:{pets}", batch_size=8, channels=1, resize="center", size=(64, 64)),
        model=ModelConfig(name=NAME, init=str(folder / "run"), input_size=(56, 56, 1)),
        optimizer=OptimizerConfig(name="sgd", lr=0.0),
        train=TrainConfig(steps=2, log_every=1, tensorboard=False, time_budget=1e-9),
        evaluate=EvaluateConfig(report=False),
    )
    train(config, tmp_path / "gray")  # stops after the first step, for want of time
    again = override(config, {"train.time_budget": 0.0})
    train(again, tmp_path / "gray")
    assert open_run(tmp_path / "gray", checkpoint="last").step == 2


def test_a_head_for_the_same_classes_is_kept(converted):
    folder, variables = converted
    model = create_model(NAME, 3)
    fresh = jax.device_get(model.init(jax.random.key(0)))
    kept = transfer.begin(fresh, model, str(folder / "run"), ("cats", "dogs", "fish"))
    assert trees.digest(kept) == trees.digest(variables)
    renewed = trees.flatten(transfer.begin(fresh, model, str(folder / "run"), ("a", "b", "c")))
    np.testing.assert_array_equal(renewed["params/classifier_1/kernel"], fresh["params"]["classifier_1"]["kernel"])
    single = create_model(NAME, 1)  # as the sigmoid loss makes of two classes
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), single.shapes())
    begun = trees.flatten(transfer.begin(fresh, single, str(folder / "run"), ("cats", "dogs", "fish")))
    assert not begun["params/classifier_1/kernel"].any()
    np.testing.assert_array_equal(begun["params/features_0/kernel"], variables["params"]["features_0"]["kernel"])


@pytest.mark.parametrize(
    ("normalize", "channels", "other"), [("unit", 3, True), ("imagenet", 3, False), ("fixed", 13, False)]
)
def test_a_recipe_that_normalizes_otherwise_is_told(converted, tmp_path, capsys, normalize, channels, other):
    figures = {"mean": (0.0,) * channels, "std": (1.0,) * channels} if normalize == "fixed" else {}
    config = Experiment(
        augment=AugmentConfig(normalize=normalize, **figures),
        model=ModelConfig(name=NAME, init=str(converted[0] / "run")),
    )
    assert transfer.inherit(config, RunDir(tmp_path / "new")).augment == config.augment
    said = f"config.augment.normalize={normalize} makes other values of images than the weights of"
    assert (said in capsys.readouterr().err) == other


@pytest.mark.parametrize(
    ("channels", "how"), [(1, "each their sum / 1"), (13, "these in turn, each divided by how often it comes")]
)
def test_what_becomes_of_the_first_convolution_is_said(converted, capsys, channels, how):
    folder, _ = converted
    model = create_model(NAME, 3, input_size=(224, 224, channels))
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), model.shapes())
    transfer.begin(fresh, model, str(folder / "run"), ("cats", "dogs", "fish"))
    assert f"params/features_0/kernel: made from 3 channels for {channels}, {how}" in capsys.readouterr().err


def test_numbers_are_names_where_a_run_was_trained_on_digits(tmp_path):
    """Converted weights are called by numbers where nobody named them, and then serve any classes as many."""
    weights_file(tmp_path / "weights.safetensors")
    converted_run.convert(NAME, tmp_path / "weights.safetensors", tmp_path / "unnamed")
    config = Experiment(
        data=DataConfig(source="digits"),
        model=ModelConfig(name="softmax"),
        train=TrainConfig(steps=1, tensorboard=False),
        evaluate=EvaluateConfig(report=False),
    )
    train(config, tmp_path / "digits")
    for run, name, classes, head, new in (
        ("unnamed", NAME, "abc", "params/classifier_1/kernel", False),
        ("digits", "softmax", "abcdefghij", "params/fc1/kernel", True),
        ("digits", "softmax", "0123456789", "params/fc1/kernel", False),
    ):
        model = create_model(name, len(classes), input_size=open_run(tmp_path / run).model.input_size)
        fresh = jax.device_get(model.init(jax.random.key(0)))
        begun = trees.flatten(transfer.begin(fresh, model, str(tmp_path / run), tuple(classes)))
        assert np.array_equal(begun[head], trees.flatten(fresh)[head]) == new


def test_damaged_and_quantized_files_of_pytorch(converted, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    state = load_file(converted[0] / "weights.safetensors")
    words = ("--allow_pickle", "--workdir", str(tmp_path / "run"), "--from", str(tmp_path / "weights.pth"))
    for content, told in ((b"", "cannot be read as .pth: it ends too early"), (b"<html>", "is no file of PyTorch's")):
        (tmp_path / "weights.pth").write_bytes(content)
        assert told in refused(capsys, "convert", "--arch", NAME, *words)
    state = {key: torch.from_numpy(value).bfloat16() for key, value in state.items()}
    torch.save(state | {"classifier.1.bias": torch.zeros(3, dtype=torch.int8)}, tmp_path / "weights.pth")
    told = refused(capsys, "convert", "--arch", NAME, *words)
    assert "1 no floating-point numbers: classifier.1.bias (int8)" in told
    # Parameters, as dict(net.named_parameters()) has them, are tensors that ask for a gradient.
    torch.save({key: torch.nn.Parameter(value) for key, value in state.items()}, tmp_path / "weights.pth")
    assert main(["convert", "--arch", NAME, *words]) == 0


@pytest.mark.optimized(True)
def test_another_resolution_has_its_images_prepared_for_it(converted, pets):
    """224 of an image of 256 and 56 of one of 64 show the same, and nothing is resized twice."""
    run = open_run(converted[0] / "run", overrides={"evaluate.input_size": (56, 56)})
    assert (run.config.data.size, run.dataset.shape, run.model.input_size) == ((64, 64), (64, 64, 3), (56, 56, 3))
    image = Image.open(pets / "cats/0.png")  # 80 x 70
    resized = image.resize((64 * 80 // 70, 64), Image.Resampling.BILINEAR)
    square = np.asarray(resized.crop((4, 0, 68, 64)), np.float32)  # half of the 9 pixels over, rounded to even
    mean, std = np.asarray(run.config.augment.mean), np.asarray(run.config.augment.std)
    logits = run.logits((square[None, 4:60, 4:60] - mean) / std)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(run.predict([pets / "cats/0.png"]), expected, atol=1e-5)


def test_a_crop_of_an_odd_margin_lies_where_torchvision_has_it(converted, pets, tmp_path):
    """60 x 60 of 74 x 65 pixels, in prediction and in evaluation alike."""
    overrides = {"data.size": (65, 65), "evaluate.input_size": (60, 60), "data.source": f"folder:{pets}"}
    run = open_run(converted[0] / "run", overrides=overrides)
    image = Image.open(pets / "cats/0.png")  # 80 x 70
    resized = np.asarray(image.resize((65 * 80 // 70, 65), Image.Resampling.BILINEAR))
    top, left = (round((side - 60) / 2) for side in resized.shape[:2])
    expected = resized[top : top + 60, left : left + 60]
    fitted, _ = run.fit(pets / "cats/0.png")
    np.testing.assert_array_equal(VIEWS["single"](fitted[None], (60, 60))[0, 0], expected)
    split = prepare(run.reading, tmp_path).split("train")
    row = next(row for row, name in enumerate(split.names) if "cats/0.png" in name)
    np.testing.assert_array_equal(VIEWS["single"](split.gather(np.asarray([row])), (60, 60))[0, 0], expected)
