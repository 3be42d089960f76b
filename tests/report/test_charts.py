"""The curves image: what matplotlib is told to draw, and a PNG that Pillow reads."""

import itertools
import json
import sys

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from cnnjax.core.errors import UserError
from cnnjax.report import bubbles, curves


def records(count=20, **changes):
    lines = []
    for step in range(1, count + 1):
        line = {"step": step, "epoch": step / 4, "train/loss": 2 / step, "train/top1": 1 - 1 / step, "lr": 0.1}
        if step % 4 == 0:
            line |= {"val/loss": 2.5 / step, "val/top1": 1 - 1.5 / step}
        lines.append(line | changes)
    return lines


@pytest.fixture
def figures(monkeypatch):
    """Every figure that is made, to be looked into after it was saved."""
    made = []
    create = matplotlib.figure.Figure.__init__

    def remember(self, *args, **options):
        made.append(self)
        create(self, *args, **options)

    monkeypatch.setattr(matplotlib.figure.Figure, "__init__", remember)
    return made


def texts(panel):
    return {text.get_text() for text in panel.texts}


def test_curves_are_those_of_the_log(tmp_path, figures):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in records()))
    curves(path, tmp_path / "figures" / "curves.png")
    with Image.open(tmp_path / "figures" / "curves.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert np.asarray(image.convert("L")).std() > 5  # not an empty sheet
    (figure,) = figures
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["Loss", "Accuracy (top-1)"]
    for panel, name in zip(figure.axes, ("loss", "top1"), strict=True):
        training, validation = panel.lines
        np.testing.assert_array_equal(training.get_xdata(), [line["epoch"] for line in records()])
        np.testing.assert_array_equal(training.get_ydata(), [line[f"train/{name}"] for line in records()])
        np.testing.assert_array_equal(validation.get_xdata(), [1, 2, 3, 4, 5])
        np.testing.assert_array_equal(validation.get_ydata(), [line[f"val/{name}"] for line in records()[3::4]])
    assert texts(figure.axes[0]) == {"training 0.1", "validation 0.125"}
    assert texts(figure.axes[1]) == {"training 95.0%", "validation 92.5%"}


def test_test_result_is_marked_at_the_end(tmp_path, figures):
    curves(records(), tmp_path / "curves.png", test={"top1": 0.9, "log_loss": 0.3})
    loss, accuracy = figures[0].axes
    assert "test 0.3" in texts(loss)
    assert "test 90.0%" in texts(accuracy)
    assert (accuracy.lines[-1].get_xdata()[0], accuracy.lines[-1].get_ydata()[0]) == (5, 0.9)


def test_labels_never_cover_one_another(tmp_path, figures):
    curves(records(), tmp_path / "curves.png", test={"top1": 0.949, "log_loss": 0.101})
    for panel in figures[0].axes:
        boxes = sorted((text.get_window_extent() for text in panel.texts), key=lambda box: box.y0)
        assert len(boxes) == 3
        assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))


def test_rate_has_a_panel_when_it_changes(tmp_path, figures):
    lines = records()
    for line in lines[10:]:
        line["lr"] = 0.01
    curves(lines, tmp_path / "curves.png")
    assert [panel.get_title(loc="left") for panel in figures[0].axes][2:] == ["Learning rate"]
    assert figures[0].axes[2].get_yscale() == "log"
    np.testing.assert_array_equal(figures[0].axes[2].lines[0].get_ydata(), [0.1] * 10 + [0.01] * 10)
    lines = [line | {"lr": 0.1 * (1 - line["step"] / 20)} for line in records()]
    curves(lines, tmp_path / "curves.png")
    assert figures[1].axes[2].get_yscale() == "linear"


def test_one_line_without_validation_is_enough(tmp_path, figures):
    curves(records(1), tmp_path / "curves.png")
    assert texts(figures[0].axes[0]) == {"training 2"}
    assert figures[0].axes[0].lines[0].get_marker() == "o"  # a line of one point would not be seen
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_a_log_without_lines_is_a_user_error(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl has no log lines"):
        curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_no_backend_is_chosen(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    curves(records(), tmp_path / "curves.png")
    assert "matplotlib.pyplot" not in sys.modules


def test_names_of_bubbles_do_not_overlap(figures):
    """Seeds of one model lie on one place, and published models close together."""
    own = [{"name": f"net-{seed}", "macs": 3e7, "params": 2e6, "top1": 0.93 + seed / 1000} for seed in range(6)]
    others = [
        {"name": f"known-{one}", "macs": 4e9 + 1e8 * one, "params": 2e7, "top1": 0.7 + one / 500} for one in range(9)
    ]
    bubbles.bubbles_svg([row | {"published": False} for row in own] + [row | {"published": True} for row in others])
    [panel] = figures[-1].axes
    names = {text.get_text(): text.get_window_extent() for text in panel.texts}
    assert {row["name"] for row in own} <= set(names)
    assert "known-0" in names
    assert len(names) < len(own + others)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(names.values(), 2))
