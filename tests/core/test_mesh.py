"""Data parallelism on the eight virtual devices."""

import jax
import numpy as np
import pytest

from cnnjax.core.errors import UserError
from cnnjax.core.mesh import by_batch, fit_mesh, make_mesh, replicated


def test_batches_are_shared_and_parameters_are_not():
    mesh = make_mesh()
    assert mesh.size == jax.device_count() == 8
    values = np.arange(32.0).reshape(16, 2)
    shared = jax.device_put(values, by_batch(mesh))
    assert [shard.data.shape for shard in shared.addressable_shards] == [(2, 2)] * 8
    copied = jax.device_put(values, replicated(mesh))
    assert [shard.data.shape for shard in copied.addressable_shards] == [(16, 2)] * 8


def test_batch_that_the_devices_cannot_share_is_refused(mesh):
    eight = make_mesh()
    assert fit_mesh(eight, 16) is fit_mesh(eight, 32, 4) is eight
    assert fit_mesh(mesh(3), 9).size == 3
    with pytest.raises(UserError, match=r"batch_size=20 is not divisible by 8 devices; the nearest that is: 16 or 24"):
        fit_mesh(eight, 20)
    with pytest.raises(UserError, match=r"batch_size=20 is not divisible by 8 devices; the nearest that is: 16 or 24"):
        fit_mesh(None, 20)
    with pytest.raises(UserError, match=r"batch_size=7 is not divisible by 8 devices; the nearest that is: 8"):
        fit_mesh(eight, 7)
    with pytest.raises(UserError, match=r"batch_size=24 is not divisible by 8 devices x 2 micro-batches.*: 16 or 32"):
        fit_mesh(eight, 24, 2)


def test_cores_share_what_divides_evenly_and_keep_work_enough(monkeypatch):
    monkeypatch.setattr("cnnjax.core.startup.devices_are_given", lambda: False)
    sizes = {64: 8, 60: 6, 62: 2, 61: 1, 16: 2, 15: 1, 1: 1}
    assert {batch: fit_mesh(None, batch).size for batch in sizes} == sizes
    assert fit_mesh(None, 64, 4).size == 2


def test_many_parameters_and_few_images_are_left_to_one_device(monkeypatch):
    assert fit_mesh(None, 16, parameters=61_000_000).size == 8, "devices that were asked for stay"
    monkeypatch.setattr("cnnjax.core.startup.devices_are_given", lambda: False)
    sizes = {16: 1, 64: 1, 512: 8}
    assert {batch: fit_mesh(None, batch, parameters=61_000_000).size for batch in sizes} == sizes
