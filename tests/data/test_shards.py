"""Prepared records read back: several shards, the caller's array, indices that do not exist, files that are gone."""

import dataclasses

import numpy as np
import pytest

from cnnjax.config import DataConfig
from cnnjax.core.errors import UserError
from cnnjax.data import prepare, writer
from cnnjax.data.shards import Dataset


@pytest.fixture(params=["pixels", "encoded"])
def prepared(request, tmp_path, monkeypatch):
    """40 images 6 x 5 x 3 in shards of 7, and the array they came from."""
    monkeypatch.setattr(writer, "SHARD_BYTES", 7 * 6 * 5 * 3)
    monkeypatch.setattr(writer, "ENCODED_SHARD", 7)
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(40) % 4)
    config = DataConfig(source=f"arrays:{tmp_path / 'a.npz'}", store=request.param, val_fraction=0.0, test_fraction=0.0)
    return prepare(config, tmp_path / "data"), images


def test_any_indices_in_any_order_over_all_shards(prepared):
    dataset, images = prepared
    split = dataset.split("train")
    assert dataset.shards["train"] == (7, 7, 7, 7, 7, 5)
    for indices in (np.arange(40), np.array([39, 0, 7, 6, 7, 39]), np.array([], np.int64)):
        np.testing.assert_array_equal(split.gather(indices), images[indices])
    out = np.zeros((3, 6, 5, 3), np.uint8)
    assert split.gather(np.array([8, 1, 20]), out, threads=2) is out
    np.testing.assert_array_equal(out, images[[8, 1, 20]])
    assert split.labels.dtype == np.int32
    np.testing.assert_array_equal(split.labels, np.arange(40) % 4)


@pytest.mark.parametrize("index", [-1, 40])
def test_indices_that_do_not_exist_are_refused(prepared, index):
    with pytest.raises(IndexError, match="train has 40"):
        prepared[0].split("train").gather(np.array([0, index]))


def test_a_run_folder_can_keep_the_description(prepared, tmp_path):
    dataset, images = prepared
    again = Dataset.from_json(dataset.to_json())
    np.testing.assert_array_equal(again.split("train").gather(np.array([3])), images[[3]])
    with pytest.raises(UserError, match=r"no split val; known: train"):
        again.split("val")


def test_a_lost_shard_is_named(prepared):
    dataset, _ = prepared
    (shard,) = dataset.folder.glob("train-00003.*")
    shard.unlink()
    with pytest.raises(
        UserError, match=rf"{shard.name} is gone or cut off; delete .*, and the data are prepared again"
    ):
        dataset.split("train")


def test_a_torn_shard_is_named(prepared):
    dataset, _ = prepared
    labels = dataset.folder / "train-labels.npy"
    labels.write_bytes(labels.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"train-labels.npy is gone or cut off"):
        dataset.split("train")


def test_the_folder_may_move(prepared, tmp_path):
    dataset, images = prepared
    moved = dataset.folder.rename(tmp_path / "elsewhere")
    assert dataclasses.replace(Dataset.read(moved), folder=dataset.folder) == dataset
    np.testing.assert_array_equal(Dataset.read(moved).split("train").gather(np.array([33])), images[[33]])
