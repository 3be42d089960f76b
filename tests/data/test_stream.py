"""Streamed and resident batches are the same, and batches that are held keep their images."""

from dataclasses import dataclass

import numpy as np
import pytest

from cnnjax.core.mesh import make_mesh
from cnnjax.data.order import TrainingRows
from cnnjax.data.resident import Resident
from cnnjax.data.stream import Buffers, Streamed


@dataclass
class Images:
    """Stands for `data.shards.Split`: images whose every pixel is known from their index."""

    count: int
    side: int = 64
    sizes: np.ndarray | None = None

    def __len__(self):
        return self.count

    @property
    def shape(self):
        return self.side, self.side, 3

    @property
    def labels(self):
        return (np.arange(self.count) % 7).astype(np.int32)

    def gather(self, indices, out=None, threads=1):
        out = np.empty((len(indices), self.side, self.side, 3), np.uint8) if out is None else out
        out[:] = (indices % 251).astype(np.uint8)[:, None, None, None]
        return out


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
def test_twenty_batches_held_at_once_keep_their_images(threads):
    images = Images(1000)
    rows = TrainingRows(3, len(images), 64, start=0, stop=20)
    held = list(Streamed(images, make_mesh(), threads=threads, prefetch=2).batches(rows))
    assert len(held) == 20
    for batch, row in zip(held, rows, strict=True):
        np.testing.assert_array_equal(np.asarray(batch["images"]), images.gather(row["index"]))
        np.testing.assert_array_equal(np.asarray(batch["labels"]), images.labels[row["index"]])
        np.testing.assert_array_equal(np.asarray(batch["position"]), row["position"])


def test_resident_gives_the_same_batches_on_the_same_devices():
    images, mesh = Images(300, side=8), make_mesh()
    rows = TrainingRows(1, len(images), 16, start=0, stop=30)
    resident = Resident(images, mesh).batches(rows)
    streamed = Streamed(images, mesh, threads=2).batches(rows)
    for ours, theirs in zip(resident, streamed, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(np.asarray(ours[name]), np.asarray(theirs[name]))
            assert ours[name].sharding == theirs[name].sharding
            assert len(ours[name].sharding.device_set) == 8


def test_masks_travel_along():
    images = Images(10, side=8)
    rows = [{"index": np.arange(8), "mask": np.arange(8).astype(np.float32)}]
    for source in (Resident(images, make_mesh()), Streamed(images, make_mesh())):
        (batch,) = source.batches(rows)
        np.testing.assert_array_equal(np.asarray(batch["mask"]), np.arange(8))


def test_memory_is_used_again_only_when_nobody_holds_it():
    buffers = Buffers((4, 8, 8, 3))
    first = buffers.take()
    place, part = first.ctypes.data, first[1:][:, 2:]  # a view of a view
    part[...] = 7
    del first
    second = buffers.take()
    second[...] = 9
    assert second.ctypes.data != place
    assert (part == 7).all()
    del part
    third = buffers.take()
    assert third.ctypes.data == place


def test_batches_that_are_dropped_cost_no_new_memory(monkeypatch):
    taken, take = set(), Buffers.take

    def counted(self):
        array = take(self)
        taken.add(array.ctypes.data)
        return array

    monkeypatch.setattr(Buffers, "take", counted)
    images = Images(200)
    rows = TrainingRows(0, len(images), 16, start=0, stop=60)
    for batch, row in zip(Streamed(images, make_mesh(), threads=2, prefetch=2).batches(rows), rows, strict=True):
        np.testing.assert_array_equal(np.asarray(batch["images"]), images.gather(row["index"]))
    assert len(taken) < 20
