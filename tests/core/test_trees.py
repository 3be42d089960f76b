"""Flat trees and their digests, against hashlib and zlib on bytes laid out by hand."""

import hashlib
import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees


@pytest.fixture
def tree():
    return {
        "params": {"fc": {"kernel": jnp.arange(6.0).reshape(2, 3), "bias": jnp.ones(3)}, "a": jnp.int32(7)},
        "batch_stats": {"bn": {"mean": jnp.zeros(2, jnp.bfloat16)}},
    }


ORDER = ["batch_stats/bn/mean", "params/a", "params/fc/bias", "params/fc/kernel"]


def test_flatten_gives_paths_in_order_and_unflatten_undoes_it(tree):
    flat = trees.flatten(tree)
    assert list(flat) == ORDER
    back = trees.unflatten(flat)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, back, tree)


def test_paths_of_other_containers():
    class Pair(NamedTuple):
        first: int
        second: int

    assert trees.flatten({"state": (Pair(1, 2), [3])}) == {"state/0/first": 1, "state/0/second": 2, "state/1/0": 3}


def test_size_counts_values_and_takes_shapes(tree):
    assert trees.size(tree) == 2 + 1 + 3 + 6
    assert trees.size(jax.eval_shape(lambda: tree)) == 12


def test_digest_is_sha256_over_the_bytes_in_path_order(tree):
    data = [np.zeros(2, np.uint16), np.int32(7), np.ones(3, np.float32), np.arange(6, dtype=np.float32)]
    assert trees.digest(tree) == hashlib.sha256(b"".join(part.tobytes() for part in data)).hexdigest()
    on_host = jax.tree.map(np.asarray, tree)
    on_host["params"]["fc"]["kernel"] = np.asfortranarray(on_host["params"]["fc"]["kernel"])
    assert trees.digest(on_host) == trees.digest(tree)


def test_digest_of_a_sharded_tree_is_that_of_the_whole():
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("data",))
    values = jnp.arange(32.0).reshape(16, 2)
    sharded = jax.device_put(values, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data")))
    assert trees.digest({"a": sharded}) == hashlib.sha256(np.arange(32, dtype=np.float32).tobytes()).hexdigest()


def test_checksums_name_the_leaf_that_is_damaged(tree):
    sums = trees.checksums(tree)
    assert sums["params/fc/bias"] == zlib.crc32(np.ones(3, np.float32).tobytes())
    damaged = jax.tree.map(np.array, tree)
    damaged["params"]["fc"]["kernel"].view(np.uint8)[1, 2] ^= 1  # one bit
    after = trees.checksums(damaged)
    assert [path for path in ORDER if sums[path] != after[path]] == ["params/fc/kernel"]
