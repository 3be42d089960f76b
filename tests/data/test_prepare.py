"""Preparing once: splits, statistics, keys, broken runs, bad images; and reading the records back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from cnnjax.config import DataConfig, Experiment, ModelConfig
from cnnjax.core import files
from cnnjax.core.errors import UserError
from cnnjax.data import prepare as prepare_data
from cnnjax.data import writer
from cnnjax.data.shards import Dataset
from cnnjax.data.splits import stratified

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def images(tmp_path):
    """Three classes of 10, 20 and 30 color JPEGs and PNGs, 20 x 24."""
    rng = np.random.default_rng(0)
    for name, count in (("ant", 10), ("bee", 20), ("cat", 30)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            ending = "jpg" if number % 2 else "png"
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number:02d}.{ending}")
    return tmp_path / "images"


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def whole(dataset, name):
    split = dataset.split(name)
    return split.gather(np.arange(len(split))), split


def test_digits_are_split_as_promised():
    dataset = prepare_data(DataConfig(source="digits", test_fraction=0.2, val_fraction=0.125))
    assert dict(dataset.counts) == {"train": 1257, "val": 180, "test": 360}
    pooled = np.concatenate([dataset.split(name).labels for name in dataset.counts])
    for name in dataset.counts:
        share = np.bincount(dataset.split(name).labels) / dataset.counts[name]
        np.testing.assert_allclose(share, np.bincount(pooled) / len(pooled), atol=0.005)
    names = [name for split in dataset.counts for name in dataset.split(split).names]
    assert len(set(names)) == 1797


def test_digits_pixels_and_statistics_are_exact():
    from sklearn.datasets import load_digits

    dataset = prepare_data(DataConfig(source="digits"))
    images, split = whole(dataset, "train")
    numbers = [int(name.removeprefix("digits/")) for name in split.names]
    scans = load_digits()
    np.testing.assert_array_equal(images[..., 0], np.rint(scans.images[numbers] * 255 / 16))
    np.testing.assert_array_equal(split.labels, scans.target[numbers])
    np.testing.assert_allclose(dataset.statistics.mean, [images.mean()], rtol=1e-12)
    np.testing.assert_allclose(dataset.statistics.std, [images.std()], rtol=1e-9)


def test_stratified_takes_exactly_so_many_by_largest_remainder():
    labels = np.repeat([0, 1, 2], [50, 33, 17])
    chosen = stratified(labels, 10, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == 10
    np.testing.assert_array_equal(np.bincount(labels[chosen]), [5, 3, 2])


def test_fractions_of_zero_and_seeds(images):
    config = DataConfig(source=f"folder:{images}", val_fraction=0.0, test_fraction=0.0)
    assert dict(prepare_data(config).counts) == {"train": 60}
    splits = [
        prepare_data(DataConfig(source=f"folder:{images}", split_seed=seed)).split("test").names for seed in (0, 0, 1)
    ]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_color_statistics_equal_numpy(images):
    dataset = prepare_data(DataConfig(source=f"folder:{images}"))
    arrays, _ = whole(dataset, "train")
    pixels = arrays.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(dataset.statistics.mean, pixels.mean(0))
    np.testing.assert_allclose(dataset.statistics.covariance, np.cov(pixels.T, bias=True), rtol=1e-9, atol=1e-9)
    values = np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[::-1]
    np.testing.assert_allclose(dataset.statistics.eigenvalues, values)


def test_canvas_keeps_the_whole_image_and_measures_only_it(images):
    dataset = prepare_data(DataConfig(source=f"folder:{images}", resize="pad", size=(40, 16)))
    arrays, split = whole(dataset, "train")
    assert arrays.shape[1:] == (40, 16, 3)
    np.testing.assert_array_equal(split.sizes, np.tile([13, 16], (len(split), 1)))
    assert (arrays[:, 13:] == 0).all()
    np.testing.assert_allclose(dataset.statistics.mean, arrays[:, :13].mean((0, 1, 2)))


def test_key_changes_with_what_changes_the_result(images):
    config = DataConfig(source=f"folder:{images}")

    def folder(**changes):
        return prepare_data(DataConfig(**{"source": config.source, **changes})).folder

    first = folder()
    assert folder(threads=1, prefetch=9, loader="streamed", batch_size=5) == first
    others = [folder(split_seed=3), folder(channels=1), folder(resize="squash", size=(8, 8)), folder(val_fraction=0.2)]
    assert len({first, *others}) == 5
    # A crop is part of the key where it moves the cut: of a margin of 6, but not of one of 4.
    square = {"resize": "center", "size": (18, 18)}
    assert folder(**square, center_crop=(14, 14)) == folder(**square)
    assert folder(**square, center_crop=(12, 12)) != folder(**square)
    assert prepare_data(DataConfig(source=config.source, **square, center_crop=(12, 12))).reading.center_crop == (
        12,
        12,
    )
    experiment = Experiment(
        data=DataConfig(source=config.source, **square), model=ModelConfig("mlp", input_size=(12, 12, 3))
    )
    assert prepare_data(experiment).folder == folder(**square, center_crop=(12, 12)), "what training prepares"
    (images / "ant" / "new.png").write_bytes((images / "ant" / "00.png").read_bytes())
    assert folder() != first


def test_second_call_reads_nothing(images, monkeypatch):
    config = DataConfig(source=f"folder:{images}")
    first = prepare_data(config)
    monkeypatch.setattr(writer.Writer, "write", None)
    assert prepare_data(config) == first


@pytest.mark.parametrize("store", ["pixels", "encoded"])
def test_shards_read_back_by_index(images, monkeypatch, store):
    monkeypatch.setattr(writer, "SHARD_BYTES", 7 * 20 * 24 * 3)
    monkeypatch.setattr(writer, "ENCODED_SHARD", 7)
    dataset = prepare_data(DataConfig(source=f"folder:{images}", store=store))
    split = dataset.split("train")
    assert len(dataset.shards["train"]) > 3
    for index in (0, 6, 7, len(split) - 1):
        with Image.open(images / split.names[index]) as image:
            truth = np.asarray(image.convert("RGB")).astype(int)
        assert abs(split.gather(np.array([index]))[0] - truth).max() <= 2
    shuffled = np.random.default_rng(0).permutation(len(split)).repeat(2)
    everything = split.gather(np.arange(len(split)))
    out = np.empty((len(shuffled), 20, 24, 3), np.uint8)
    assert split.gather(shuffled, out=out, threads=3) is out
    np.testing.assert_array_equal(out, everything[shuffled])


def test_encoded_equals_pixels_to_the_bit(images):
    rule = {"source": f"folder:{images}", "resize": "center", "size": (8, 8)}
    pixels = whole(prepare_data(DataConfig(**rule, store="pixels")), "train")[0]
    encoded = prepare_data(DataConfig(**rule, store="encoded"))
    np.testing.assert_array_equal(whole(encoded, "train")[0], pixels)
    records = b"".join(path.read_bytes() for path in encoded.folder.glob("*.array_record"))
    split = encoded.split("train")
    assert (images / split.names[0]).read_bytes() in records, "files are kept byte for byte"


def test_arrays_can_be_encoded(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(30) % 3)
    dataset = prepare_data(DataConfig(source=f"arrays:{tmp_path / 'a.npz'}", store="encoded"))
    got, split = whole(dataset, "train")
    np.testing.assert_array_equal(got, images[[int(name.split("/")[1]) for name in split.names]])


@pytest.mark.parametrize("store", ["pixels", "encoded"])
def test_broken_preparation_goes_on_and_ends_the_same(images, tmp_path, monkeypatch, store):
    monkeypatch.setattr(writer, "SHARD_BYTES", 5 * 20 * 24 * 3)
    monkeypatch.setattr(writer, "ENCODED_SHARD", 5)
    config = DataConfig(source=f"folder:{images}", store=store)
    unbroken = prepare_data(config, tmp_path / "unbroken")
    real, calls = writer.Writer._shard, []

    def failing(self, *arguments):
        calls.append(arguments[2])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(writer.Writer, "_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare_data(config, tmp_path / "broken")
    (left,) = (tmp_path / "broken" / "prepared").iterdir()
    assert left.name.startswith(".partial-")
    total = sum(map(len, unbroken.shards.values()))
    (left / ".train-00003.npy.torn").write_bytes(b"what a SIGKILL leaves")
    calls.clear()
    calls += [None] * 10  # no second failure
    broken = prepare_data(config, tmp_path / "broken")
    assert len(calls) - 10 == total - 3, "the three finished shards are kept"
    assert contents(broken.folder) == contents(unbroken.folder)


def test_killed_preparation_goes_on(tmp_path, monkeypatch):
    code = (
        "from cnnjax.config import DataConfig; from cnnjax.data import prepare; "
        "prepare(DataConfig(source='fake:96x96x3,10'), {!r})"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    script = "from cnnjax.data import writer; writer.SHARD_BYTES = 100 * 27648; "
    process = subprocess.Popen([sys.executable, "-c", script + code.format(str(tmp_path / "killed"))], env=environment)
    for _ in range(3000):
        if len(list((tmp_path / "killed").rglob("train-*.json"))) > 3:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    monkeypatch.setattr(writer, "SHARD_BYTES", 100 * 27648)
    config = DataConfig(source="fake:96x96x3,10")
    killed, unbroken = prepare_data(config, tmp_path / "killed"), prepare_data(config, tmp_path / "unbroken")
    assert contents(killed.folder) == contents(unbroken.folder)
    assert [path.name for path in (tmp_path / "killed" / "prepared").iterdir()] == [killed.folder.name]


def test_space_is_counted_while_nobody_else_writes(tmp_path, monkeypatch):
    held = []

    def taken():
        raise RuntimeError("taken")

    def require_space(folder, need, what):
        with pytest.raises(RuntimeError, match="taken"), files.alone(folder, taken):
            pass
        held.append(need)
        raise UserError("no room")

    monkeypatch.setattr(files, "require_space", require_space)
    with pytest.raises(UserError, match="no room"):
        prepare_data(DataConfig(), tmp_path / "data")
    assert held == [1797 * 64 + (1 << 20)]
    assert list(tmp_path.iterdir()) == []


def test_bad_images_are_refused_or_left_out(images, capsys):
    (images / "bee" / "notes.txt").write_text("not an image")
    content = (images / "cat" / "04.png").read_bytes()
    (images / "cat" / "04.png").write_bytes(content[:100])
    with pytest.raises(UserError, match=r"(notes.txt|04.png) is no whole image .*bad_images=skip"):
        prepare_data(DataConfig(source=f"folder:{images}"))
    dataset = prepare_data(DataConfig(source=f"folder:{images}", bad_images="skip"))
    told = capsys.readouterr().err
    assert "left out 2 bad images, such as " in told
    assert told.count(".png") + told.count(".txt") == 1
    assert "bad_images" not in told, "it is set to skip already"
    assert sum(dataset.counts.values()) == 59
    assert len(dataset.skipped) == 2
    for name in dataset.counts:
        split = dataset.split(name)
        assert [dataset.class_names[label] for label in split.labels] == [path.split("/")[0] for path in split.names]


def test_what_was_trained_on_does_not_hang_on_times(images):
    config = DataConfig(source=f"folder:{images}")
    first = prepare_data(config)
    os.utime(images / "ant" / "00.png", (1, 1))
    touched = prepare_data(config)
    assert touched.folder != first.folder
    assert touched.digest == first.digest
    (images / "ant" / "00.png").write_bytes((images / "ant" / "02.png").read_bytes())
    assert prepare_data(config).digest != first.digest
    (images / "ant").rename(images / "aphid")
    assert prepare_data(DataConfig(source=config.source, channels=3)).digest != first.digest


@pytest.mark.parametrize("remedy", ["mend", "skip", "limit"])
@pytest.mark.parametrize("store", ["pixels", "encoded"])
def test_a_bad_image_late_costs_its_own_shard(images, tmp_path, monkeypatch, store, remedy):
    monkeypatch.setattr(writer, "SHARD_BYTES", 5 * 20 * 24 * 3)
    monkeypatch.setattr(writer, "ENCODED_SHARD", 5)
    rule = {"source": f"folder:{images}", "store": store, "val_fraction": 0.0, "test_fraction": 0.0}
    bad = images / "cat" / "20.png"
    whole = bad.read_bytes()
    if remedy == "limit":
        bad.write_bytes(whole + bytes(3000))
        rule["max_bytes"] = 4000
    else:
        bad.write_bytes(whole[:50])
    with pytest.raises(UserError, match=r"20.png is no whole image"):
        prepare_data(DataConfig(**rule), tmp_path / "data")
    if remedy == "mend":
        bad.write_bytes(whole)
    rule |= {"mend": {}, "skip": {"bad_images": "skip"}, "limit": {"max_bytes": 10_000}}[remedy]
    real, made = writer.Writer._shard, []
    monkeypatch.setattr(writer.Writer, "_shard", lambda self, *given: made.append(given[2]) or real(self, *given))
    went_on = prepare_data(DataConfig(**rule), tmp_path / "data")
    assert made == [10, 11], "of twelve shards those before the bad image's are kept"
    assert [path.name for path in went_on.folder.parent.iterdir()] == [went_on.folder.name]
    assert contents(went_on.folder) == contents(prepare_data(DataConfig(**rule), tmp_path / "afresh").folder)


def test_other_options_begin_again_and_leave_nothing_behind(images, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "SHARD_BYTES", 5 * 20 * 24 * 3)
    (images / "cat" / "20.png").write_bytes(b"torn")
    rule = {"source": f"folder:{images}", "val_fraction": 0.0, "test_fraction": 0.0}
    with pytest.raises(UserError, match=r"20.png is no whole image"):
        prepare_data(DataConfig(**rule), tmp_path / "data")
    with pytest.raises(UserError, match=r"is no whole image .more than config.data.max_bytes=500"):
        prepare_data(DataConfig(**rule, max_bytes=500), tmp_path / "data")
    rule |= {"bad_images": "skip", "resize": "squash", "size": (16, 12)}
    small = prepare_data(DataConfig(**rule), tmp_path / "data")
    assert [path.name for path in small.folder.parent.iterdir()] == [small.folder.name]
    assert contents(small.folder) == contents(prepare_data(DataConfig(**rule), tmp_path / "afresh").folder)
    with pytest.raises(UserError, match=r"20.png is no whole image"):
        prepare_data(DataConfig(**rule | {"bad_images": "error"}), tmp_path / "data")


def test_without_a_bad_image_both_policies_are_one_set(images):
    strict, lenient = (prepare_data(DataConfig(source=f"folder:{images}", bad_images=bad)) for bad in ("error", "skip"))
    assert strict == lenient


def test_the_data_folder_is_kept_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepare_data(DataConfig(source="digits"), "data").folder.parent == tmp_path / "data" / "prepared"
    monkeypatch.setenv("CNNJAX_DATA_DIR", "other")
    assert prepare_data(DataConfig(source="digits")).folder.parent == tmp_path / "other" / "prepared"


def test_images_of_several_sizes_need_a_rule(images):
    Image.new("RGB", (50, 30)).save(images / "ant" / "99.png")
    with pytest.raises(UserError, match=r"(30 x 50|20 x 24), but .* (20 x 24|30 x 50).*config.data.resize=center"):
        prepare_data(DataConfig(source=f"folder:{images}"))
    assert prepare_data(DataConfig(source=f"folder:{images}", resize="squash", size=(16, 16))).shape == (16, 16, 3)


def test_automatic_rule(images, tmp_path):
    same = prepare_data(DataConfig(source=f"folder:{images}", resize="auto"))
    assert (same.reading.resize, same.reading.size, same.shape) == ("center", (20, 24), (20, 24, 3))
    plain = prepare_data(DataConfig(source=f"folder:{images}"))
    np.testing.assert_array_equal(whole(same, "train")[0], whole(plain, "train")[0])
    for path in images.rglob("*.*"):
        with Image.open(path) as image:
            grown = image.resize((120, 70 + int(path.stem)))
        grown.save(path)
    mixed = prepare_data(DataConfig(source=f"folder:{images}", resize="auto"))
    assert (mixed.reading.resize, mixed.reading.size, mixed.shape) == ("center", (64, 64), (64, 64, 3))
    assert prepare_data(DataConfig(source=f"folder:{images}", resize="center", size=(64, 64))) == mixed


@pytest.mark.parametrize("store", ["pixels", "encoded"])
def test_a_shard_without_a_good_image(images, monkeypatch, store):
    monkeypatch.setattr(writer, "SHARD_BYTES", 4 * 20 * 24 * 3)
    monkeypatch.setattr(writer, "ENCODED_SHARD", 4)
    for number in range(5, 15):
        (images / "bee" / f"{number:02d}.{'jpg' if number % 2 else 'png'}").write_bytes(b"torn")
    rule = {"store": store, "val_fraction": 0.0, "test_fraction": 0.0, "bad_images": "skip"}
    dataset = prepare_data(DataConfig(source=f"folder:{images}", **rule))
    assert 0 in dataset.shards["train"]
    arrays, split = whole(dataset, "train")
    assert len(split) == len(split.names) == 50
    for pixels, name in zip(arrays, split.names, strict=True):
        with Image.open(images / name) as image:
            assert abs(pixels - np.asarray(image).astype(int)).max() <= 2


def test_a_set_without_a_good_image_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_bytes(b"torn")
    with pytest.raises(UserError, match="has no whole image"):
        prepare_data(DataConfig(source=f"folder:{tmp_path}", bad_images="skip", val_fraction=0.0, test_fraction=0.0))


def test_several_labels_stay_with_their_images(tmp_path):
    rng = np.random.default_rng(0)
    images, marks = rng.random((40, 6, 5)), rng.integers(0, 2, (40, 3))
    np.savez(tmp_path / "a.npz", images=images, labels=marks)
    dataset = prepare_data(DataConfig(source=f"arrays:{tmp_path / 'a.npz'}"))
    assert dataset.multi_label
    for name in dataset.counts:
        got, split = whole(dataset, name)
        numbers = [int(name.split("/")[1]) for name in split.names]
        np.testing.assert_array_equal(split.labels, marks[numbers])
        np.testing.assert_array_equal(got[..., 0], np.rint(images[numbers] * 255))


def test_only_so_many_images_are_under_way(tmp_path, monkeypatch):
    """Threads that are faster than the disk wait, so that memory does not grow with the set."""
    monkeypatch.setattr(writer, "CHUNK", 2)
    pool_of, lead, most = writer.ThreadPoolExecutor, [0], [0]

    class Watched(pool_of):
        def submit(self, *work):
            lead[0] += 1
            most[0] = max(most[0], lead[0])
            return super().submit(*work)

    def tick(what, total):
        def taken(count=1, note=""):
            lead[0] -= 1

        return contextlib.nullcontext(taken)

    monkeypatch.setattr(writer, "ThreadPoolExecutor", Watched)
    monkeypatch.setattr(writer, "progress", tick)
    np.savez(tmp_path / "a.npz", images=np.zeros((400, 4, 4), np.uint8), labels=np.arange(400) % 2)
    prepare_data(DataConfig(source=f"arrays:{tmp_path / 'a.npz'}", threads=3), tmp_path)
    assert most[0] == 2 * 3


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real images are not beside the checkout")
def test_real_photographs(tmp_path):
    """100 ImageNet files, one a class, of all sizes, 12 of them gray and two with an EXIF orientation."""
    rule = {"resize": "center", "size": (64, 64), "channels": 3, "val_fraction": 0.0, "test_fraction": 0.0}
    dataset = prepare_data(DataConfig(source=f"folder:{SHARED / 'imagenet_sample'}", **rule))
    images, split = whole(dataset, "train")
    assert images.shape == (100, 64, 64, 3)
    assert split.labels.tolist() == list(range(100))
    for pixels, name in list(zip(images, split.names, strict=True))[::9]:
        with Image.open(SHARED / "imagenet_sample" / name) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        wide, high = (64 * side // min(image.size) for side in image.size)
        resized = cv2.resize(np.asarray(image), (wide, high), interpolation=cv2.INTER_AREA)
        left, top = (round((side - 64) / 2) for side in (wide, high))  # in whole pixels, as torchvision cuts
        reference = resized[top : top + 64, left : left + 64]
        assert abs(pixels.astype(int) - reference).mean() < 6


def test_a_data_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot be written .*name another folder with --data_dir"):
        prepare_data(DataConfig(source="digits"), tmp_path / "file")


def test_no_space(images, tmp_path, monkeypatch):
    monkeypatch.setattr("cnnjax.core.files.shutil.disk_usage", lambda path: type("usage", (), {"free": 10}))
    with pytest.raises(UserError, match="MiB are free; make room or name another folder with --data_dir"):
        prepare_data(DataConfig(source=f"folder:{images}"), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_description_survives_json(images):
    dataset = prepare_data(DataConfig(source=f"folder:{images}"))
    assert Dataset.from_json(dataset.to_json()) == dataset
    with pytest.raises(UserError, match=r"no split tests; did you mean test\?"):
        dataset.split("tests")


def test_new_class_names_or_shapes_are_another_data_set(images, tmp_path):
    def table(*names):
        rows = [f"{path.relative_to(images)},{names[i % 2]}" for i, path in enumerate(sorted(images.rglob("*.*g")))]
        (images / "list.csv").write_text("\n".join(rows))
        return prepare_data(DataConfig(source=f"table:{images / 'list.csv'}")).class_names

    assert table("cat", "dog") == ("cat", "dog")
    assert table("lion", "wolf") == ("lion", "wolf")
    flat = np.arange(30 * 32, dtype=np.uint8)
    for shape in ((4, 8), (8, 4)):
        np.savez(tmp_path / "a.npz", images=flat.reshape(30, *shape), labels=np.arange(30) % 2)
        assert prepare_data(DataConfig(source=f"arrays:{tmp_path / 'a.npz'}")).shape == (*shape, 1)


def test_two_runs_at_once_prepare_it_once(tmp_path):
    code = (
        "import sys; from cnnjax.config import DataConfig; from cnnjax.data import prepare; "
        "print(prepare(DataConfig(source='fake:64x64x3,10'), sys.argv[1]).digest)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    options = {"env": {**os.environ, "PYTHONPATH": os.getcwd()}, "text": True, "stdout": subprocess.PIPE}
    runs = [subprocess.Popen(command, **options) for _ in range(3)]
    digests = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(set(digests)) == 1
    assert [path.name[0] for path in (tmp_path / "prepared").iterdir()] == ["f"], "nothing is left beside the set"


def test_large_images_are_worked_on_one_by_one(tmp_path, monkeypatch):
    """A chunk holds so many bytes of pixels, however many threads there are."""
    monkeypatch.setattr(writer, "CHUNK_BYTES", 20_000)
    real, lengths = writer.Writer._chunk, []

    def counted(self, split, part, chunk):
        lengths.append((self.shape, len(chunk)))
        return real(self, split, part, chunk)

    monkeypatch.setattr(writer.Writer, "_chunk", counted)
    for side in (8, 100):
        np.savez(tmp_path / "a.npz", images=np.zeros((50, side, side), np.uint8), labels=np.arange(50) % 2)
        prepare_data(DataConfig(source=f"arrays:{tmp_path / 'a.npz'}"), tmp_path)
    assert max(length for shape, length in lengths if shape[0] == 8) == 32
    assert max(length for shape, length in lengths if shape[0] == 100) == 2


@pytest.mark.parametrize("first_gray", [True, False])
def test_gray_and_color_images_together_are_color(tmp_path, capsys, first_gray):
    """Whichever comes first; of a hundred images a single one with color counts."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(50):
            color = (name, number) == (("b", 37) if first_gray else ("a", 0))
            pixels = rng.integers(0, 256, (6, 7, 3) if color else (6, 7), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{number:02}.png")
    dataset = prepare_data(DataConfig(source=f"folder:{tmp_path / 'set'}"))
    assert dataset.shape == (6, 7, 3)
    assert "some images are gray and some have color; all are taken as RGB" in capsys.readouterr().err
    assert prepare_data(DataConfig(source=f"folder:{tmp_path / 'set'}", channels=1)).shape == (6, 7, 1)
