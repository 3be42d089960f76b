"""Every kind of source, and every mistake that can be made with one."""

import csv
import gzip
import hashlib
import http.server
import io
import os
import re
import struct
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnjax.config import DataConfig
from cnnjax.core.errors import UserError
from cnnjax.data.decode import BadImageError
from cnnjax.data.sources import named, open_source
from cnnjax.data.sources.named import HOMES, Home


def source(text, data_dir=Path("/nonexistent"), **options):
    return open_source(DataConfig(source=text, **options), data_dir)


def image(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), (level, level, level)).save(path, "PNG")


def expect_refusal(text, sentence, data_dir=Path("/nonexistent"), **options):
    with pytest.raises(UserError, match=sentence) as told:
        source(text, data_dir, **options)
    assert "\n" not in str(told.value)


def test_kinds_and_places():
    expect_refusal("digit", r"of no known kind; did you mean digits\?")
    expect_refusal("folder:", "must have the form folder:PLACE")
    expect_refusal("digits:here", "must have the form digits")


def test_variables_are_filled_in(tmp_path, monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    expect_refusal("folder:$IMAGENET_DIR", "the environment variable IMAGENET_DIR is not set; set it to the folder")
    for name in ("train/a/1.png", "train/b/1.png"):
        image(tmp_path / name)
    monkeypatch.setenv("IMAGENET_DIR", str(tmp_path))
    assert source("folder:$IMAGENET_DIR").class_names == ("a", "b")


def test_a_folder_with_a_dollar_in_its_name(tmp_path, monkeypatch):
    for name in ("cash$x/a/1.png", "cash$x/b/1.png"):
        image(tmp_path / name)
    monkeypatch.setenv("HERE", str(tmp_path))
    for place in (tmp_path / "cash$x", "$HERE/cash$x"):
        assert source(f"folder:{place}").class_names == ("a", "b")


# ---------------------------------------------------------------- folders and archives


def test_folder_as_one_pool(tmp_path):
    for name in ("dog/2.png", "dog/1.png", "cat/deep/x.png", ".git/y.png", "cat/.DS_Store", "dog/Thumbs.db"):
        image(tmp_path / name)
    found = source(f"folder:{tmp_path}")
    assert found.class_names == ("cat", "dog")
    assert list(found.splits) == ["train"]
    assert list(found.splits["train"].names) == ["cat/deep/x.png", "dog/1.png", "dog/2.png"]
    assert found.splits["train"].labels.tolist() == [0, 1, 1]
    assert found.splits["train"].read(1) == (tmp_path / "dog/1.png").read_bytes()


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_folder_with_splits(tmp_path, val):
    for split in ("train", val, "test"):
        for name in ("a", "b"):
            image(tmp_path / split / name / "1.png")
    assert set(source(f"folder:{tmp_path}").splits) == {"train", "val", "test"}


@pytest.mark.parametrize("names", [("Training", "Testing"), ("Train", "Test"), ("TRAIN", "Validation", "testing")])
def test_splits_by_their_other_names(tmp_path, names):
    members = [f"{split}/{label}/1.png" for split in names for label in ("a", "b")]
    for name in members:
        image(tmp_path / "images" / name)
    for text in (f"folder:{tmp_path / 'images'}", archive(tmp_path / "a.zip", members)):
        found = source(text)
        assert found.class_names == ("a", "b")
        assert len(found.splits) == len(names)
        assert {"train", "test"} <= set(found.splits)


def test_what_lies_beside_the_class_folders_is_told(tmp_path, capsys):
    names = ["a/1.png", "b/1.png"]
    for name in names:
        image(tmp_path / "pool" / name)
        image(tmp_path / "split" / "train" / name)
    source(f"folder:{tmp_path / 'pool'}")
    assert capsys.readouterr().err == ""
    for stray in ("pool/2.png", "pool/3.png", "pool/.DS_Store", "split/train/2.png", "split/more/a/3.png"):
        image(tmp_path / stray)
    source(f"folder:{tmp_path / 'pool'}")
    told = f"left out 2 files or folders beside the class folders of {tmp_path / 'pool'}, such as "
    assert capsys.readouterr().err == f"{told}{tmp_path / 'pool' / '2.png'}\n"
    source(f"folder:{tmp_path / 'split'}")
    assert "left out 2 files or folders" in capsys.readouterr().err
    source(archive(tmp_path / "a.zip", [*names, "2.png"]))
    assert capsys.readouterr().err.startswith("left out a file or folder beside the class folders of ")


def test_a_class_may_be_called_train(tmp_path):
    for name in ("boat/1.png", "plane/1.png", "train/1.png", "train/2.png"):
        image(tmp_path / name)
    found = source(f"folder:{tmp_path}")
    assert found.class_names == ("boat", "plane", "train")
    assert found.splits["train"].labels.tolist() == [0, 1, 2, 2]


def test_two_names_of_one_split(tmp_path):
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png", "validation/a/1.png"):
        image(tmp_path / name)
    expect_refusal(f"folder:{tmp_path}", "has val and validation, which name one split; keep the one that is meant")
    image(tmp_path / "twice" / "Train" / "a" / "1.png")
    image(tmp_path / "twice" / "training" / "a" / "1.png")
    expect_refusal(f"folder:{tmp_path / 'twice'}", "has Train and training, which name one split")
    names = ["train/x/1", "train/y/1", "val/x/1", "val/y/1", "valid/x/1"]
    expect_refusal(archive(tmp_path / "twice.zip", names), "has val and valid, which name one split")


def test_folder_mistakes(tmp_path):
    expect_refusal(f"folder:{tmp_path / 'none'}", "there is no folder .*none")
    expect_refusal(f"folder:{tmp_path}", "has no class folders")
    image(tmp_path / "a" / "1.png")
    expect_refusal(f"folder:{tmp_path}", "has only one class, a")
    (tmp_path / "b").mkdir()
    expect_refusal(f"folder:{tmp_path}", "the class folder .*b is empty")
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "val/c/1.png"):
        image(tmp_path / "split" / name)
    expect_refusal(f"folder:{tmp_path / 'split'}", "different classes")
    for name in ("val/a/1.png", "test/b/1.png"):
        image(tmp_path / "untrained" / name)
    expect_refusal(f"folder:{tmp_path / 'untrained'}", "has test, val but no train; put the training images into")


def test_a_file_that_cannot_be_read_is_a_bad_image_by_name(tmp_path):
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        image(tmp_path / name)
    (tmp_path / "a" / "2.png").symlink_to(tmp_path / "nowhere")
    training = source(f"folder:{tmp_path}").splits["train"]
    (tmp_path / "b" / "1.png").unlink()
    for index, name in ((1, "a/2.png"), (2, "b/1.png")):
        with pytest.raises(BadImageError, match=f"^{name} is no whole image .there is no file"):
            training.read(index)
    assert training.read(3) == (tmp_path / "b" / "2.png").read_bytes()


def test_of_a_large_file_only_so_much_is_read_as_shows_it(tmp_path):
    for name in ("a/1", "b/1"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(bytes(1000))
    assert len(source(f"folder:{tmp_path}", max_bytes=10).splits["train"].read(0)) == 11


def archive(path, names, content=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content or name.encode())
    return f"zip:{path}"


def test_zip(tmp_path):
    text = archive(tmp_path / "a.zip", ["top/x/1", "top/y/2", "__MACOSX/top/x/._1", "top/.DS_Store"])
    found = source(text)
    assert found.class_names == ("x", "y")
    assert found.splits["train"].read(1) == b"top/y/2"
    text = archive(tmp_path / "b.zip", ["train/x/1", "train/y/1", "valid/x/1", "valid/y/1", "LICENCE"])
    assert {name: list(part.names) for name, part in source(text).splits.items()} == {
        "train": ["train/x/1", "train/y/1"],
        "val": ["valid/x/1", "valid/y/1"],
    }


def test_zip_with_other_files_beside_the_classes(tmp_path):
    for names in (["README", "x/1", "y/2"], ["top/README", "top/x/1", "top/y/2"], ["READ.ME", "a/b/x/1", "a/b/y/2"]):
        found = source(archive(tmp_path / "a.zip", names))
        assert found.class_names == ("x", "y")
        assert list(found.splits["train"].names) == names[1:]


def test_zip_mistakes(tmp_path):
    expect_refusal(f"zip:{tmp_path / 'none.zip'}", "there is no archive")
    (tmp_path / "torn.zip").write_bytes(b"PK\x03\x04 torn")
    expect_refusal(f"zip:{tmp_path / 'torn.zip'}", "is no whole zip archive")
    expect_refusal(archive(tmp_path / "a.zip", ["../x/1", "y/1"]), "points out of the archive")
    expect_refusal(archive(tmp_path / "b.zip", ["/x/1", "y/1"]), "points out of the archive")
    expect_refusal(archive(tmp_path / "c.zip", ["1", "2"]), "has no class folders")
    expect_refusal(archive(tmp_path / "f.zip", ["test/x/1", "val/x/1"]), "has test, val but no train")
    expect_refusal(archive(tmp_path / "g.zip", ["train/x/1", "train/y/1", "val/x/1"]), "different classes .y is not in")
    expect_refusal(archive(tmp_path / "h.zip", ["x/1", "x/2"]), "has only one class, x")
    found = source(archive(tmp_path / "d.zip", ["x/1", "y/1"], b"0" * 10_000_000), max_bytes=1000)
    with pytest.raises(BadImageError, match="max_bytes"):
        found.splits["train"].read(0)
    path = tmp_path / "e.zip"
    text = archive(path, ["x/1", "y/1"], b"0123456789" * 100)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(BadImageError, match="x/1 is no whole image"):
        source(text).splits["train"].read(0)
    assert source(text).splits["train"].read(1) == b"0123456789" * 100


def test_an_encrypted_member_is_bad_by_name(tmp_path):
    path = tmp_path / "a.zip"
    text = archive(path, ["x/1", "y/1"], b"0123456789" * 100)
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag of the first member, and the same in the list at the end
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(BadImageError, match=r"x/1 is no whole image .*encrypted"):
        source(text).splits["train"].read(0)


# ---------------------------------------------------------------- tables


def table(tmp_path, rows):
    with open(tmp_path / "list.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return f"table:{tmp_path / 'list.csv'}"


def test_table(tmp_path):
    for name in ("1.png", "sub/2.png", "3.png"):
        image(tmp_path / name)
    rows = [["1.png", "cat"], ["sub/2.png", "dog"], ["3.png", "cat"]]
    for header in ([], [["path", "label"]]):
        found = source(table(tmp_path, header + rows))
        assert found.class_names == ("cat", "dog")
        assert found.splits["train"].labels.tolist() == [0, 1, 0]
    split = source(table(tmp_path, [["1.png", "cat", "train"], ["sub/2.png", "dog", "test"], ["3.png", "cat", ""]]))
    assert {name: len(part.labels) for name, part in split.splits.items()} == {"train": 2, "test": 1}


def test_table_with_several_labels(tmp_path):
    for name in ("1.png", "2.png"):
        image(tmp_path / name)
    found = source(table(tmp_path, [["1.png", "sky|sea"], ["2.png", "land"]]))
    assert found.class_names == ("land", "sea", "sky")
    assert found.splits["train"].labels.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_table_mistakes(tmp_path):
    image(tmp_path / "1.png")
    expect_refusal(f"table:{tmp_path / 'none.csv'}", "there is no table")
    expect_refusal(table(tmp_path, [["path", "label"]]), "names no image")
    expect_refusal(table(tmp_path, [["1.png", "a"], ["2.png", "b"]]), r"names 2.png, but there is no file")
    expect_refusal(table(tmp_path, [["1.png"]]), "image 1 .* not path,label")
    expect_refusal(table(tmp_path, [["1.png", "a", "practice"]]), "not path,label or path,label,split")
    expect_refusal(table(tmp_path, [["1.png", "a", "test"]]), "no line of the split train")
    expect_refusal(table(tmp_path, [["1.png", "a"]]), "has only one class, a")
    image(tmp_path / "2.png")
    other = ["2.png", "b"]
    for first, second in ((["1.png", "a"], ["./1.png", "b"]), (["1.png", "a"], ["1.png", "a", "test"])):
        expect_refusal(table(tmp_path, [first, other, second]), r"names (./)?1.png twice, .*keep one of the lines")
    assert len(source(table(tmp_path, [["1.png", "a"], other, ["1.png", "a"]])).splits["train"].labels) == 2
    (tmp_path / "list.csv").write_bytes(b"1.png,\xff\xfe")
    expect_refusal(f"table:{tmp_path / 'list.csv'}", "is no CSV text")


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("images", "labels"), {"train"}),
        (("x_train", "y_train", "x_test", "y_test"), {"train", "test"}),
        (("train_images", "train_labels", "val_images", "val_labels"), {"train", "val"}),
    ],
)
def test_arrays(tmp_path, names, splits):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    values = {name: images if index % 2 == 0 else np.array([[0], [1]]) for index, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **values)
    found = source(f"arrays:{tmp_path / 'a.npz'}", class_names=("no", "yes"))
    assert set(found.splits) == splits
    assert found.class_names == ("no", "yes")
    np.testing.assert_array_equal(found.splits["train"].read(1), images[1])
    assert found.splits["train"].labels.tolist() == [0, 1]


def test_arrays_with_several_labels(tmp_path):
    marks = np.array([[1, 0, 1], [0, 1, 0]], bool)
    np.savez(tmp_path / "a.npz", x_train=np.zeros((2, 4, 4)), y_train=marks)
    found = source(f"arrays:{tmp_path / 'a.npz'}", class_names=("sky", "sea", "land"))
    assert found.splits["train"].labels.dtype == np.uint8
    np.testing.assert_array_equal(found.splits["train"].labels, marks)
    expect_refusal(f"arrays:{tmp_path / 'a.npz'}", "gives 2 names", class_names=("sky", "sea"))


def test_arrays_are_read_when_the_first_image_is_wanted(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez(path, x_train=np.zeros((4, 50, 60, 3), np.uint8), y_train=np.arange(4) % 2)
    found = source(f"arrays:{path}").splits["train"]
    assert found.shape == (50, 60, 3)
    content = bytearray(path.read_bytes())
    content[20_000] = 1
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert source(f"arrays:{path}").splits["train"].stamp == found.stamp
    with pytest.raises(UserError, match=r"is no \.npz file of plain arrays"):
        found.read(0)
    os.utime(path, (1, 1))
    assert source(f"arrays:{path}").splits["train"].stamp != found.stamp


def test_array_mistakes(tmp_path):
    images = np.zeros((3, 4, 4), np.uint8)

    def saved(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return f"arrays:{tmp_path / 'a.npz'}"

    expect_refusal(f"arrays:{tmp_path / 'none.npz'}", "there is no file")
    (tmp_path / "torn.npz").write_bytes(b"PK torn")
    expect_refusal(f"arrays:{tmp_path / 'torn.npz'}", "is no .npz file")
    expect_refusal(saved(images=images[:, :0], labels=np.arange(3)), r"it must be \[n, H, W\]")
    assert saved(images=images, labels=np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("README", "what is in it")
    assert len(source(f"arrays:{tmp_path / 'a.npz'}").class_names) == 3
    np.save(tmp_path / "a.npy", images)
    expect_refusal(f"arrays:{tmp_path / 'a.npy'}", "is no .npz file")
    expect_refusal(saved(a=images), "holds a; name the arrays images and labels")
    expect_refusal(saved(images=images, labels=np.array([0, 1])), "must be 3 integers")
    expect_refusal(saved(images=images, labels=np.array([0.0, 1, 2])), "must be 3 integers")
    expect_refusal(saved(images=images, labels=np.array([0, 1, -1])), "labels count from 0")
    expect_refusal(saved(images=images, labels=np.array([0, 1, 2**32 + 1])), "holds 4294967297; labels count from 0")
    expect_refusal(saved(images=images, labels=np.array([1, 2, 3])), "has the label 0, though labels go up to 3; count")
    expect_refusal(saved(images=images, labels=np.array([0, 2, 2**31 - 1])), "has the label 1, though labels go up to")
    named = {"class_names": ("none", "a", "b", "c")}
    assert source(saved(images=images, labels=np.array([1, 2, 3])), **named).class_names == named["class_names"]
    expect_refusal(
        saved(images=images.astype(int), labels=np.arange(3)), "is of type int64; save it as uint8 or uint16"
    )
    expect_refusal(saved(images=np.zeros((3, 3, 8, 8), np.uint8), labels=np.arange(3)), r"transpose\(0, 2, 3, 1\)")
    mixed = {"x_train": images, "y_train": np.eye(3, dtype=int), "x_test": images, "y_test": np.arange(3)}
    expect_refusal(saved(**mixed), "have labels of different forms; give all of them integers")
    expect_refusal(saved(images=images[0], labels=np.arange(4)), r"it must be \[n, H, W\]")
    expect_refusal(saved(images=images, labels=np.array([[0, 2], [1, 0], [0, 0]])), "other than 0 and 1")
    expect_refusal(saved(images=np.array([{}, {}, {}]), labels=np.arange(3)), "is no .npz file of plain arrays")
    expect_refusal(saved(images=images, labels=np.arange(3)), "gives 2 names", class_names=("a", "b"))


# ---------------------------------------------------------------- idx, and sets by name


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_files():
    rng = np.random.default_rng(0)
    made = {}
    for prefix, count in (("train", 20), ("t10k", 10)):
        made[f"{prefix}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (count, 28, 28)))
        made[f"{prefix}-labels-idx1-ubyte"] = idx(np.arange(count) % 10)
    return made


def test_idx(tmp_path):
    for number, (name, content) in enumerate(idx_files().items()):
        path = tmp_path / (f"{name}.gz" if number % 2 else name)
        path.write_bytes(gzip.compress(content) if number % 2 else content)
    found = source(f"idx:{tmp_path}", class_names=tuple("abcdefghij"))
    assert {name: len(part.labels) for name, part in found.splits.items()} == {"train": 20, "test": 10}
    assert found.splits["test"].labels.tolist() == list(range(10))
    assert found.class_names[9] == "j"
    image = found.splits["train"].read(0)
    assert image.tobytes() == idx_files()["train-images-idx3-ubyte"][16 : 16 + 784]
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((20, 28, 28)))[:-1])
    expect_refusal(f"idx:{tmp_path}", "its header says")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"hello")
    expect_refusal(f"idx:{tmp_path}", "is no idx file")
    (tmp_path / "train-images-idx3-ubyte").unlink()
    expect_refusal(f"idx:{tmp_path}", r"has no train-images-idx3-ubyte \(.gz\); put the file there")
    expect_refusal("idx:/nowhere", "there is no folder")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(np.ones((20, 28, 28))))[:-20])
    expect_refusal(f"idx:{tmp_path}", r"train-images-idx3-ubyte.gz is damaged .*; fetch it again")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((19, 28, 28))))
    expect_refusal(f"idx:{tmp_path}", "do not fit together")


@pytest.fixture
def server(tmp_path):
    """Serves the files of a folder on this machine; paths that end in .torn-... break off half way."""
    root = tmp_path / "served"
    root.mkdir()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            path = root / self.path.lstrip("/")
            if not path.is_file():
                return self.send_error(404)
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if (root / "torn").exists() else content)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield root, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_set_by_name_is_fetched_once_and_checked(tmp_path, server, monkeypatch):
    root, address = server
    made = idx_files()
    for name, content in made.items():
        (root / f"{name}.gz").write_bytes(gzip.compress(content))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    monkeypatch.setitem(HOMES, "fashion_mnist", Home(address, digests))
    found = source("fashion_mnist", tmp_path / "data")
    assert found.class_names[9] == "Ankle boot"
    assert len(found.splits["train"].labels) == 20
    for path in root.iterdir():
        path.unlink()
    assert source("fashion_mnist", tmp_path / "data").splits["train"].stamp == found.splits["train"].stamp
    path = tmp_path / "data" / "fashion_mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.arange(10)[::-1])))
    expect_refusal("fashion_mnist", "sha256 differs.*delete it to fetch it again", tmp_path / "data")


def test_torn_and_missing_downloads_leave_nothing(tmp_path, server, monkeypatch):
    root, address = server
    monkeypatch.setitem(HOMES, "mnist", Home(address, dict.fromkeys(idx_files(), "0" * 64)))
    folder = tmp_path / "data" / "mnist"
    expect_refusal(
        "mnist",
        f"{address}train-images-idx3-ubyte.gz cannot be fetched .*404.*put that file into {folder}",
        tmp_path / "data",
    )
    (root / "train-images-idx3-ubyte.gz").write_bytes(b"0" * 1000)
    expect_refusal("mnist", "cannot be fetched .*put that file into", tmp_path / "data")
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"0" * 1000))
    expect_refusal("mnist", "cannot be fetched .*its sha256 differs.*; put that file into", tmp_path / "data")
    (root / "torn").touch()
    expect_refusal("mnist", "cannot be fetched .*put that file into", tmp_path / "data")
    assert not folder.exists()


def test_off_line_the_address_and_the_folder_are_named(tmp_path):
    expect_refusal(
        "mnist", f"https://storage.googleapis.com/.*cannot be fetched.*put that file into {tmp_path}", tmp_path
    )


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar(tmp_path, server, monkeypatch, kind):
    hundred = kind == "cifar100"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    fine = np.array([3, 1, 0, 2, 1, 3], np.uint8)

    def records(chosen):
        planes = images[chosen].transpose(0, 3, 1, 2).reshape(len(chosen), -1)
        head = np.stack([9 - fine[chosen], fine[chosen]], 1) if hundred else fine[chosen][:, None]
        return np.concatenate([head, planes], 1).astype(np.uint8).tobytes()

    members = {"test.bin" if hundred else "test_batch.bin": records([5])}
    if hundred:
        members |= {"train.bin": records([0, 1, 2, 3, 4]), "fine_label_names.txt": b"ant\nbee\ncat\ndog\n"}
    else:
        members |= {f"data_batch_{number + 1}.bin": records([number]) for number in range(5)}
        members["batches.meta.txt"] = b"ant\nbee\ncat\ndog\n\n"
    (name,) = HOMES[kind].digests
    (tmp_path / kind).mkdir()
    with tarfile.open(tmp_path / kind / name, "w:gz") as file:
        for member, content in members.items():
            info = tarfile.TarInfo(f"cifar/{member}")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    expect_refusal(kind, "sha256 differs", tmp_path)
    digest = hashlib.sha256((tmp_path / kind / name).read_bytes()).hexdigest()
    root, address = server
    (tmp_path / kind / name).rename(root / name)
    monkeypatch.setitem(HOMES, kind, Home(address, {name: "0" * 64}))
    expect_refusal(kind, "its sha256 differs", tmp_path / "data")
    assert not (tmp_path / "data" / kind).exists()
    monkeypatch.setitem(HOMES, kind, Home(address, {name: digest}))
    found = source(kind, tmp_path / "data")
    assert found.class_names == ("ant", "bee", "cat", "dog")
    assert found.splits["train"].labels.tolist() == fine[:5].tolist()
    np.testing.assert_array_equal(found.splits["train"].read(2), images[2])
    np.testing.assert_array_equal(found.splits["test"].read(0), images[5])


def test_pinned_digests_are_those_of_the_real_files():
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real MNIST files are not beside the checkout")
    for kind, classes in (("mnist", 10), ("fashion_mnist", 10)):
        found = named.open_source(kind, "", DataConfig(), folder)
        assert {name: len(part.labels) for name, part in found.splits.items()} == {"train": 60000, "test": 10000}
        assert len(np.unique(found.splits["train"].labels)) == classes


# ---------------------------------------------------------------- tensorflow-datasets, synthetic images


def test_tfds_that_was_prepared_elsewhere(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    from array_record.python.array_record_module import ArrayRecordWriter

    folder = tmp_path / "tfds" / "toys" / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ball", "car"]),
        }
    )
    infos = []
    for split, count in (("train", 6), ("test", 2)):
        writer = ArrayRecordWriter(str(folder / f"toys-{split}.array_record-00000-of-00001"), "group_size:1")
        for number in range(count):
            image = Image.new("RGB", (8, 8), (number, 0, 0))
            writer.write(features.serialize_example(features.encode_example({"image": image, "label": number % 2})))
        writer.close()
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name="toys", split=split, filetype_suffix="array_record"
        )
        infos.append(tfds.core.SplitInfo(name=split, shard_lengths=[count], num_bytes=0, filename_template=template))
    tfds.folder_dataset.write_metadata(data_dir=folder, features=features, check_data=False, split_infos=infos)
    found = source("tfds:toys", tmp_path)
    assert found.class_names == ("ball", "car")
    assert found.splits["train"].labels.tolist() == [0, 1, 0, 1, 0, 1]
    with Image.open(io.BytesIO(found.splits["train"].read(3))) as opened:
        assert opened.getpixel((0, 0)) == (3, 0, 0)
    monkeypatch.setattr(np, "asarray", None)  # the records are not read for their labels again
    assert source("tfds:toys", tmp_path).splits["train"].labels.tolist() == [0, 1, 0, 1, 0, 1]
    for version in ("1.0.0", "1.*.*"):
        assert source(f"tfds:toys:{version}", tmp_path).splits["train"].labels.tolist() == [0, 1, 0, 1, 0, 1]
    for version in ("2.0.0", "/1.0.0", "../toys/1.0.0"):
        expect_refusal(f"tfds:toys:{version}", f"tfds:toys:{re.escape(version)} is not prepared", tmp_path)


def test_tfds_without_class_labels(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    folder = tmp_path / "tfds" / "toys" / "1.0.0"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict({"image": tfds.features.Image(), "label": tfds.features.Scalar(np.int32)})
    template = tfds.core.ShardedFileTemplate(
        data_dir=folder, dataset_name="toys", split="train", filetype_suffix="array_record"
    )
    (folder / "toys-train.array_record-00000-of-00001").touch()
    info = tfds.core.SplitInfo(name="train", shard_lengths=[0], num_bytes=0, filename_template=template)
    tfds.folder_dataset.write_metadata(data_dir=folder, features=features, check_data=False, split_infos=[info])
    expect_refusal("tfds:toys", "only sets with an image and a class label can be trained on", tmp_path)


def test_tfds_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    expect_refusal("tfds:mnist", "needs tensorflow-datasets; install it with pip install tensorflow-datasets")


def test_tfds_that_is_not_prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    expect_refusal("tfds:mnist", r"tfds:mnist is not prepared .* needs TensorFlow; .*cnnjax\[tf\]", tmp_path)


def test_fake_images_are_the_same_every_time():
    one, two = source("fake:imagenet"), source("fake:imagenet")
    assert len(one.class_names) == 1000
    for index in (0, 2047):
        np.testing.assert_array_equal(one.splits["train"].read(index), two.splits["train"].read(index))
    assert one.splits["train"].read(0).shape == (256, 256, 3)
    small = source("fake:20x30x5,7")
    assert small.splits["test"].read(3).shape == (20, 30, 5)
    assert len(small.class_names) == 7
    same, other = small.splits["train"].read(0).astype(int), small.splits["train"].read(7)
    assert 0 < abs(same - other).mean() < abs(same - small.splits["train"].read(1)).mean(), "classes look alike inside"
    for form in ("mars", "20x30,7", "20x30x0,7", "20x30x5,7,8"):
        expect_refusal(f"fake:{form}", "must be fake:imagenet or fake:HxWxC,CLASSES")
