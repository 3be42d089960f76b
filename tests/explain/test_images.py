"""Where what the model sees lies on an image, and how a map is laid over it."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.config import AugmentConfig
from cnnjax.core.errors import UserError
from cnnjax.explain import drawing, images
from cnnjax.explain.methods import Explainer, attribute
from tests.explain.conftest import PLANTED, SQUARE, make_run

FIXED = {"normalize": "fixed", "mean": (0.0,), "std": (1.0,)}
RULES = {
    "none": ({"resize": "none", "size": (60, 80)}, {"crop": "center"}),
    "center": ({"resize": "center", "size": (32, 32)}, {"crop": "center"}),
    "squash": ({"resize": "squash", "size": (40, 30)}, {"crop": "center"}),
    "canvas": ({"resize": "pad", "size": (64, 64)}, {"crop": "center"}),
    "resized": ({"resize": "squash", "size": (48, 48)}, {"crop": "resized", "eval_resize": 0.875}),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_place_is_where_the_pipeline_looks(rule):
    """A ramp comes out as a ramp, so the levels that the model sees tell where they came from."""
    data, augment = RULES[rule]
    run = make_run("plain:conv1 >> relu", (24, 24, 1), augment=AugmentConfig(**augment, **FIXED), **data)
    height, width = 60, 80
    for axis, side in ((0, height), (1, width)):
        ramp = 3.0 * (np.arange(side) + 0.5)
        image = np.broadcast_to(ramp[:, None] if axis == 0 else ramp, (height, width))[..., None].astype(np.uint8)
        read = images.from_files(run, [image])
        levels = np.asarray(read.images)[0, :, :, 0]
        start, end = read.places[0][axis], read.places[0][axis + 2]
        where = start + (np.arange(24) + 0.5) / 24 * (end - start)
        expected = 3.0 * where
        found = levels.mean(1 - axis) if axis == 0 else levels.mean(0)
        np.testing.assert_allclose(found[3:-3], expected[3:-3], atol=3.0)


def test_stretch_is_exact_at_equal_size_and_blind_outside():
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(drawing.stretch(values, (0, 0, 3, 4), (3, 4)), values, atol=1e-6)
    found = drawing.stretch(values, (2, 1, 5, 5), (6, 7))
    np.testing.assert_allclose(found[2:5, 1:5], values, atol=1e-6)
    assert np.isnan(found).sum() == 42 - 12


def test_an_overlay_has_the_images_own_size(planted):
    _, variables, image = planted
    run = make_run(PLANTED, (24, 24, 1), variables=variables, resize="center", size=(24, 24))
    large = (255 * np.kron(image[0, :, :, 0], np.ones((4, 4)))).astype(np.uint8)
    wide = np.pad(large, ((0, 0), (20, 20)))[..., None]
    found = attribute(run, [wide], "grad_cam")
    assert found.classes == ("yes",)
    (values,), (overlay,) = found.at_own_size(), found.overlays()
    assert overlay.shape == (96, 136, 3)
    assert np.isnan(values[:, :19]).all()
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    assert 4 * SQUARE[0].start <= row < 4 * SQUARE[0].stop
    assert 20 + 4 * SQUARE[1].start <= column < 20 + 4 * SQUARE[1].stop
    np.testing.assert_array_equal(overlay[:, 0], 0)
    inside, beside = overlay[32, 80].astype(int), overlay[32, 30].astype(int)
    assert inside[0] - inside[2] > 100  # hot
    assert abs(beside[0] - beside[2]) < 60


@pytest.mark.parametrize("channels", [1, 2, 3, 13])
def test_any_number_of_bands(channels):
    run = make_run("plain:conv3 >> relu >> gap", (12, 12, channels))
    image = np.random.default_rng(0).integers(0, 256, (12, 12, channels), dtype=np.uint8)
    assert attribute(run, [image], "saliency").overlays()[0].shape == (12, 12, 3)
    assert drawing.as_rgb(image).shape == (12, 12, 3)


def test_what_is_refused(tmp_path):
    run = make_run(PLANTED, (12, 12, 1))
    (tmp_path / "text.png").write_text("no image")
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "black.png")
    for items, told in (
        ([], "no image to explain"),
        ([tmp_path], "is a folder; name image files"),
        ([tmp_path / "text.png"], "is no whole image"),
        ([tmp_path / "none.png"], "there is no file"),
    ):
        with pytest.raises(UserError, match=told):
            images.from_files(run, items)
    with pytest.raises(UserError, match="no class maybe; known: no, yes"):
        attribute(run, [tmp_path / "black.png"], class_name="maybe")
    with pytest.raises(UserError, match="did you mean grad_cam"):
        attribute(run, [tmp_path / "black.png"], "gradcam")
    with pytest.raises(UserError, match=r"fc1 of .* gives no map; take one of conv1, relu1, features"):
        attribute(run, [tmp_path / "black.png"], layer="fc1")
    assert images.from_files(run, [tmp_path / "black.png"] * 2).names == ("black", "black_2")


def test_maximization_finds_what_a_linear_net_likes():
    """The best image of one dense layer is white where a weight is positive and black where it is negative."""
    run = make_run("softmax", (6, 6, 1))
    weights = np.asarray(run.variables["params"]["fc1"]["kernel"])[:, 1].reshape(6, 6)
    image = Explainer(run).maximize(["yes"], steps=64, smoothness=0.0, jitter=0)[0, :, :, 0]
    clear = np.abs(weights) > 0.3 * np.abs(weights).max()
    np.testing.assert_array_equal(image[clear] > 200, weights[clear] > 0)
    np.testing.assert_array_equal(image[clear] < 55, weights[clear] < 0)
    smooth = Explainer(run).maximize(["yes"], steps=64, smoothness=2.0, jitter=0)[0, :, :, 0]
    assert np.abs(np.diff(smooth.astype(int))).mean() < np.abs(np.diff(image.astype(int))).mean()


def test_a_sheet_of_strips_stays_a_page(tmp_path):
    strip = np.zeros((3000, 12, 3), np.uint8)
    drawing.sheet([[strip, strip], [strip, strip]], ["a", "b"], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert max(sheet.size) < 2000
