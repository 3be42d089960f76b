"""The fixed filters against SciPy, and their verb."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cnnjax.cli import main
from cnnjax.explain.fixed import FILTERS, SOBEL, filtered


def test_against_scipy():
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    found = filtered(image)
    exact = {
        name: np.stack(
            [ndimage.correlate(image[..., c].astype(np.float64), kernel, mode="nearest") for c in range(3)], -1
        )
        for name, kernel in FILTERS.items()
    }
    bands = [image[..., c].astype(np.float64) for c in range(3)]
    sobel = np.stack([np.hypot(*(ndimage.sobel(band, axis, mode="nearest") for axis in (0, 1))) for band in bands], -1)
    for name, values in (exact | {SOBEL: sobel}).items():
        difference = found[name].astype(np.float64) - np.clip(values, 0, 255)
        assert np.abs(difference).max() <= 0.51, name
    np.testing.assert_array_equal(found["identity"], image)
    assert {name: kernel.sum().round(5) for name, kernel in FILTERS.items() if kernel.sum() > 0.5} == {
        "identity": 1,
        "sharpen": 1,
        "box blur": 1,
        "Gaussian blur": 1,
    }


def test_the_verb(tmp_path, capsys):
    Image.fromarray(np.full((20, 30), 99, np.uint8)).save(tmp_path / "gray.png")
    (tmp_path / "text.png").write_text("no image")
    assert main(["filters", str(tmp_path / "gray.png"), "--to", str(tmp_path / "grid.png")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 500
    before = sorted(tmp_path.iterdir())
    for words, told in (
        ([str(tmp_path)], "is a folder"),
        ([str(tmp_path / "text.png")], "is no whole image"),
        ([str(tmp_path / "none.png")], "there is no file"),
        ([str(tmp_path / "gray.png"), "--to", str(tmp_path / "grid.jpg")], "does not end in .png"),
        ([str(tmp_path / "gray.png"), "--to", str(tmp_path / "text.png" / "grid.png")], "is no folder"),
        ([], "takes one image file"),
    ):
        assert main(["filters", *words]) == 2, words
        assert told in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("shape", [(5, 6, 1), (5, 6, 13)])
def test_any_number_of_bands(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert {values.shape for values in filtered(image).values()} == {shape}
