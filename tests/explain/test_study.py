"""The verb: from a run folder and images to images, and sentences for mistakes."""

import re

import numpy as np
import pytest
from PIL import Image

from cnnjax.cli import main
from cnnjax.config import DataConfig, Experiment, ModelConfig, TrainConfig
from cnnjax.explain import METHODS, Explainer, receptive_fields
from cnnjax.explain.study import study
from cnnjax.models import create_model
from cnnjax.models.base import MODELS
from cnnjax.models.inside import open_up
from cnnjax.run import train
from tests.explain.conftest import make_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(run folder, folder of images) of a little model of two classes, trained for two steps."""
    folder, rng = tmp_path_factory.mktemp("explained"), np.random.default_rng(0)
    for name, level in (("cats", 40), ("dogs", 160)):
        (folder / "pets" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(level, level + 60, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pets" / name / f"{number}.png")
    config = Experiment(
        data=DataConfig(
            source=f"folder:{folder / 'pets'}", resize="pad", size=(12, 12), batch_size=8, val_fraction=0.1
        ),
        model=ModelConfig(name="plain:conv4 >> relu >> gap"),
        train=TrainConfig(steps=2, tensorboard=False),
    )
    train(config, folder / "run", data_dir=folder / "data")
    return folder / "run", folder / "pets"


def call(capsys, *words):
    status = main(["explain", *map(str, words)])
    told = capsys.readouterr()
    return status, told.out, told.err


def test_files(trained, capsys):
    run, pets = trained
    status, out, _ = call(capsys, "--workdir", run, "--image", pets / "cats" / "0.png", pets / "dogs" / "1.png")
    assert status == 0
    folder = run / "figures" / "explain"
    written = {path.name for path in folder.iterdir()}
    expected = {f"{name}_{method}.png" for name in "01" for method in METHODS}
    expected |= {f"{name}_feature_maps_{layer}.png" for name in "01" for layer in ("conv1", "features")}
    assert written == expected | {"overview.png", "first_layer_filters.png"}
    assert sorted(out.split()) == sorted(map(str, folder.iterdir()))
    with Image.open(folder / "0_grad_cam.png") as overlay:
        assert overlay.size == (20, 16)


def test_a_split_a_method_and_a_folder(trained, tmp_path, capsys):
    run, _ = trained
    words = ("--workdir", run, "--split", "test", "--count", 3, "--class", "dogs", "--to", tmp_path / "out")
    status, _, _ = call(capsys, *words, "--method", "occlusion")
    assert status == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["overview_test.png", *(f"test_0000{row}_occlusion.png" for row in (0, 1, 3))]
    with Image.open(tmp_path / "out" / names[1]) as overlay:
        assert overlay.size == (12, 10)  # at the size that the prepared image has on its canvas


def test_fields_and_maximization_need_no_image(trained, capsys):
    run, _ = trained
    status, out, _ = call(capsys, "--workdir", run, "--method", "receptive_field", "--layer", "conv1")
    assert status == 0
    assert re.search(r"conv1\s+12 x 12\s+3 x 3\s+1 x 1\s+rows 5-7, columns 5-7", out)
    found = study(run, methods=["maximize"], layer="relu1")
    assert [path.name for path in found.files] == ["maximized_relu1.png"]


def test_mistakes_are_answered_by_a_sentence_and_nothing_is_written(trained, tmp_path, capsys):
    run, pets = trained
    (tmp_path / "text.png").write_text("no image")
    image = pets / "cats" / "0.png"
    for words, told in (
        ((image, "--layer", "conv2"), "has no layer conv2; did you mean conv1? The layers are conv1, relu1"),
        ((image, "--method", "gradcam"), "unknown method gradcam; did you mean grad_cam?"),
        ((image, "--class", "cat"), "did you mean cats?"),
        ((image, "--layer", "fc1"), "gives no map"),
        ((image, "--split", "test"), "not both"),
        (("--split", "tst"), "did you mean test?"),
        ((), "no image to explain"),
        ((pets,), "is a folder"),
        ((tmp_path / "text.png",), "is no whole image"),
        ((image, "--config.evaluate.views=ten_crop"), "leave out --config.evaluate.views"),
        ((image, "--to", image), "is no folder"),
        ((image, "--method", "filters"), "looks at no image"),
        (("--split", "test", "--method", "maximize,receptive_field"), "leave out --split"),
        ((image, "--method", "saliency,filters", "--layer", "conv1"), "leave out --layer=conv1"),
        ((image, "--method", "cam", "--layer", "conv1"), "leave out --layer=conv1"),
        (("--method", "filters,receptive_field", "--class", "cats"), "is of no class; leave out --class=cats"),
        (("--method", "maximize", "--layer", "conv1", "--class", "cats"), "is of no class"),
        ((image, "--count", "3"), "count=3 is of the images of a split"),
    ):
        status, out, err = call(capsys, "--workdir", run, "--to", tmp_path / "out", *words)
        assert (status, out) == (2, ""), words
        assert told in err
        assert err.splitlines()[-1].startswith("cnnjax: ")
    assert not (tmp_path / "out").exists()


def smallest():
    """The model of fewest parameters of each family, with three classes where it lets itself be given them."""
    found = {}
    for name, entry in MODELS.items():
        if "/" not in name and entry.card.family not in ("own", "plain"):
            params = entry.card.published.params if entry.card.published else 0
            if entry.card.family not in found or params < found[entry.card.family][1]:
                found[entry.card.family] = (name, params)
    return sorted(name for name, _ in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", smallest())
def test_a_member_of_every_family(name, tmp_path):
    size = MODELS[name].card.input_size
    classes = tuple(map(str, range(MODELS[name].card.num_classes)))
    run = make_run(name, size, classes=classes)
    explainer = Explainer(run)
    from cnnjax.explain.images import from_files

    image = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    read = from_files(run, [image])
    targets = explainer.targets(explainer.scores(read))
    for method in ("grad_cam", "saliency", "guided_backprop"):
        maps = explainer.attribute(method, read, targets).maps
        assert np.isfinite(maps).all()
    assert len(receptive_fields(open_up(create_model(name)))) > 1
