"""report.html: whole, safe, self-contained, and saying what the run folder holds."""

import base64
import io
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from html_check import Page
from PIL import Image
from run_folders import CLASSES, NETWORK, write_run
from sklearn.metrics import roc_auc_score

from cnnjax import report
from cnnjax.cli import main
from cnnjax.core import files
from cnnjax.core.errors import UserError
from cnnjax.core.rundir import RunDir
from cnnjax.evaluation import predictions
from cnnjax.report.collect import collect


@pytest.fixture(scope="module")
def page(reported):
    return Page((reported / "report.html").read_text())


def test_page_is_well_formed_and_asks_nothing_of_a_network(page):
    assert page.faults == []
    outside = [target for target in page.targets if not re.match(r"#|data:|[\w./%-]+$", target)]
    assert outside == []
    assert not re.search(r"(?:https?:)?//(?!\s)", re.sub(r"(?m)^\s*// .*$", "", "".join(page.text)))
    (policy,) = (have["content"] for have in page.all("meta") if have.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_links_lead_somewhere(page, reported):
    for target in (have["href"] for have in page.all("a")):
        if target.startswith("#"):
            assert target[1:] in page.ids, target
        else:
            assert (reported / target).is_file(), target


def test_names_are_text_not_markup(page):
    assert len(page.all("script")) == 1
    assert page.all("b") == [{}] * len(page.all("b"))  # ours, in captions; those of the file names are escaped
    text = "".join(page.text)
    for name in CLASSES:
        assert name in text
    assert any("<b>" in have["alt"] for have in page.all("img"))


def test_cells_lead_to_their_images(page, reported):
    matrix = files.read_json(RunDir(reported).evaluation("test"))["confusion"]
    cells = {have["href"] for have in page.all("a") if have.get("href", "").startswith("#pair-")}
    wrong = {
        f"#pair-{row}-{column}" for row in range(5) for column in range(5) if row != column and matrix[row][column]
    }
    assert cells == wrong
    for row in range(5):
        for column in range(5):
            if row != column and matrix[row][column]:
                (link,) = page.all("a", href=f"#pair-{row}-{column}")
                assert (
                    link["aria-label"] == f"{matrix[row][column]} images: {CLASSES[row]}, taken for {CLASSES[column]}"
                )


def test_images_are_those_of_the_split(page, reported):
    with np.load(RunDir(reported).images("test")) as arrays:
        kept = {images.tobytes() for images in arrays["images"]} | {
            images.tobytes() for images in arrays["train_images"]
        }
    shown = [have["src"] for have in page.all("img") if have.get("class") == "pixels"]
    assert len(shown) > 30
    for source in shown:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).tobytes() in kept
    assert all(have.get("alt") for have in page.all("img"))


def test_figures_of_the_evaluation_are_on_it(page, reported):
    found, text = files.read_json(RunDir(reported).evaluation("test")), "".join(page.text)
    for value in (f"{found['top1']:.2%}", f"{found['log_loss']:.3f}", f"{found['ece']:.3f}", "61.7 k", "grad cam"):
        assert value in text
    low, high = found["intervals"]["top1"]
    assert f"{low:.2%} to {high:.2%}" in text
    for row in found["per_class"]:
        assert f"{row['f1']:.3f}" in text
    labels = {have.get("aria-label") for have in page.all("svg")}
    assert {"ROC curves of the classes", "Precision-recall curves of the classes"} <= labels
    assert "var(--series-0)" in (reported / "report.html").read_text()
    assert "#0072b2" not in (reported / "report.html").read_text().partition("</style>")[2]


def test_script_is_valid(page):
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    script = (report.page.elements.resources.files("cnnjax.report") / "assets/page.js").read_text()
    assert subprocess.run([node, "--check", "-"], input=script, text=True).returncode == 0


def test_old_and_broken_runs_have_a_page(folder):
    run = RunDir(folder)
    for path in (run.errors("test"), run.images("test"), run.predictions("test"), run.metrics, run.environment):
        path.unlink()
        assert Page(report.write_page(folder).read_text()).faults == []
    files.write_json(run.evaluation("test"), {"split": "test", "count": 3, "top1": 0.5, "top5": None})
    page = Page(report.write_page(folder).read_text())
    assert "evaluate --report" in "".join(page.text)
    run.evaluation("test").unlink()
    page = Page(report.write_page(folder).read_text())
    assert "Nothing has been evaluated yet." in "".join(page.text)
    assert page.faults == []


def test_figures_with_a_temperature_say_so(folder):
    run, fitted = RunDir(folder), {"value": 1.25, "log_loss": 0.5, "ece": 0.01}
    found = files.read_json(run.evaluation("test")) | {"temperature": fitted}
    for calibrated, told in ((False, "the logits would have"), (True, "divided by the fitted temperature of 1.250")):
        files.write_json(run.evaluation("test"), found | {"calibrated": calibrated})
        text = "".join(Page(report.write_page(folder).read_text()).text)
        assert told in text
        assert ("; logits divided by the fitted temperature." in text) == calibrated


def test_page_shows_the_split_that_was_asked_for(folder):
    run = RunDir(folder)
    files.write_json(run.evaluation("train"), files.read_json(run.evaluation("test")) | {"split": "train", "count": 77})
    for asked, told in ((None, "Test split, 80"), ("train", "Train split, 77"), ("val", "Test split, 80")):
        text = "".join(Page(report.write_page(folder, split=asked).read_text()).text)
        assert f"{told} images, each once" in text


def test_averages_stay_below_the_classes(reported):
    (foot,) = re.findall(r"<tfoot>(.*?)</tfoot>", (reported / "report.html").read_text())
    assert re.findall(r'<th scope="row">(.*?)</th>', foot) == ["macro average", "weighted average"]


def test_images_of_other_parameters_are_not_shown(folder):
    run = RunDir(folder)
    files.write_json(run.evaluation("test"), files.read_json(run.evaluation("test")) | {"params_digest": "another"})
    assert Page(report.write_page(folder).read_text()).all("section", id="mistakes") == []


def test_damaged_files_are_named(folder):
    run = RunDir(folder)
    run.images("test").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(UserError, match=r"test_images\.npz is cut off or damaged"):
        report.write_page(folder)
    run.images("test").unlink()
    run.config.write_text("{")
    with pytest.raises(UserError, match=r"config\.json is not a JSON document"):
        report.write_page(folder)
    assert not run.report.exists()


@pytest.mark.parametrize("absent", ["matplotlib.figure", "sklearn.metrics"])
def test_without_a_library_a_sentence_stands_in_its_place(folder, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)
    page = Page(report.write_page(folder).read_text())
    assert f"The charts were not drawn: {absent.split('.')[0]} is not installed." in "".join(page.text)
    assert page.faults == []


def test_many_classes_give_a_list_of_pairs(tmp_path):
    classes = [f"class {number}" for number in range(40)]
    found = write_run(tmp_path / "run", classes, count=300, shape=(60, 120, 3))
    page = Page(report.write_page(tmp_path / "run").read_text())
    assert page.faults == []
    assert not page.all("table", **{"class": "matrix"})
    most = max(found["confusion"][row][column] for row in range(40) for column in range(40) if row != column)
    first = next(have["href"] for have in page.all("a") if have["href"].startswith("#pair-"))
    row, column = map(int, first.split("-")[1:])
    assert found["confusion"][row][column] == most
    assert all(
        have["src"].startswith("data:image/jpeg") for have in page.all("img") if "title" in have or "width" in have
    )


def test_thousands_of_classes_have_pairs_without_a_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr("cnnjax.evaluation.report.MOST_CONFUSED", 39)
    classes = [f"class {number}" for number in range(40)]
    written = []
    for name in ("without", "with"):
        assert (write_run(tmp_path / name, classes, count=300)["confusion"] is None) == (name == "without")
        written.append(Page(report.write_page(tmp_path / name).read_text()))
        monkeypatch.undo()
    targets = [[have["href"] for have in page.all("a") if have["href"].startswith("#pair-")] for page in written]
    assert targets[0] == targets[1]
    assert len(targets[0]) == 40
    assert written[0].faults == []


def test_several_labels_have_no_matrix(tmp_path):
    found = write_run(tmp_path / "run", several=True)
    page = Page(report.write_page(tmp_path / "run").read_text())
    assert page.faults == []
    assert not page.all("table", **{"class": "matrix"})
    assert page.all("section", id="mistakes")
    text = "".join(page.text)
    assert "Mean average precision" in text
    assert f"All labels right{found['exact_match']:.2%}" in text
    assert f"Labels right{found['label_accuracy']:.2%}" in text
    assert "Accuracy" not in text.partition("Training")[0]


def test_curves_rank_images_as_the_figures_beside_them_do(tmp_path):
    """A network that is sure of everything still ranks them, in digits that a short number would not have."""
    scores = (1 - np.arange(6)[:, None] * np.float32(2**-24) * [1, 0]).astype(np.float32)
    scores[:, 1] = 1 - scores[:, 0]
    labels = np.array([0, 0, 0, 1, 1, 1])
    write_run(tmp_path / "run", ("sure", "other"))
    run = RunDir(tmp_path / "run")
    predictions.write(run.predictions("test"), scores, labels, classes=("sure", "other"), names=list("abcdef"))
    found, there = collect(tmp_path / "run").predictions()
    np.testing.assert_array_equal(found, scores)
    assert roc_auc_score(there[:, 0], found[:, 0]) == 1


def test_comparison(tmp_path):
    roots = [tmp_path / name / "run" for name in ("a", "b")]
    found = [write_run(root, seed=seed, lr=lr) for root, seed, lr in zip(roots, (1, 2), (0.1, 0.3), strict=True)]
    report.write_page(roots[0])
    published = [{"name": "model <b>", "macs": 1e9, "params": 5e6, "top1": 0.7}]
    path = report.write_comparison(roots, tmp_path / "c.html", networks=[NETWORK, None], published=published)
    page = Page(path.read_text())
    assert page.faults == []
    text = "".join(page.text)
    for value in ("a/run", "b/run", "optimizer.lr", "0.3", *(f"{one['top1']:.2%}" for one in found)):
        assert value in text
    assert "data.source" not in text  # the same in both
    assert [have["href"] for have in page.all("a")] == ["a/run/report.html"]
    assert "model <b>: 70.0%, 5 M parameters, 1 G MACs" in text
    assert "do not rank" not in text
    assert any(have.get("aria-label") == "Loss of all runs over the epochs" for have in page.all("svg"))


def test_the_best_is_marked_where_figures_rank_the_runs(tmp_path):
    roots = [tmp_path / name for name in "ab"]
    for seed, root in enumerate(roots):
        write_run(root, seed=seed)
    evaluation = RunDir(roots[1]).evaluation("test")
    for changes, told in (
        ({}, ""),
        ({"views": "ten_crop"}, "not evaluated with the same views and scales: their figures do not rank them"),
        ({"views": "single", "scales": [0.9, 1.0]}, "not evaluated with the same views and scales"),
    ):
        files.write_json(evaluation, files.read_json(evaluation) | changes)
        page = Page(report.write_comparison(roots, tmp_path / "c.html", networks=[None, None]).read_text())
        assert bool(page.all("span", **{"class": "best"})) == (not told)
        text = "".join(page.text)
        assert told in text
        assert ("do not rank" in text) == bool(told)


def test_verb(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert main(["report", "--workdir", str(folder), "--to", "one.html"]) == 0
    assert (tmp_path / "one.html").is_file()
    assert main(["report", str(folder), str(folder)]) == 0
    assert Page((tmp_path / "comparison.html").read_text()).faults == []
    for words, sentence in (
        ((), "report needs a run folder; name one or several after it"),
        (("nowhere",), "nowhere is no run folder: it does not exist"),
        ((str(folder), "--to", str(tmp_path)), f"{tmp_path} is a folder; name a file"),
        ((str(folder), "--to", str(tmp_path / "one.html" / "x.html")), "one.html is no folder"),
    ):
        capsys.readouterr()
        assert main(["report", *words]) == 2
        assert sentence in capsys.readouterr().err
