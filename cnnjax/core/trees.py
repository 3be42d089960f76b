"""Trees of arrays as flat {"a/b/c": array} mappings, and the digests that prove two of them equal."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from cnnjax.core.arrays import Tree


def flatten(tree: Any) -> dict[str, Any]:
    """Returns the leaves of a pytree by path, sorted: {"params/conv1/kernel": array}."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return dict(sorted((path_name(path), leaf) for path, leaf in leaves))


def unflatten(flat: Mapping[str, Any]) -> Tree:
    """The inverse of `flatten` for trees of nested dicts."""
    tree: Tree = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def path_name(path: Sequence[Any]) -> str:
    """Returns a path of jax.tree_util as "a/b/c"."""
    return "/".join(_entry_name(entry) for entry in path)


def _entry_name(entry: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(entry, attribute):
            return str(getattr(entry, attribute))
    return str(entry)


def size(tree: Any) -> int:
    """Number of values in all leaves; works on shapes as well as on arrays."""
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(tree))


def digest(tree: Any) -> str:
    """sha256 (hex) over the bytes of all leaves in path order."""
    sha = hashlib.sha256()
    for leaf in flatten(tree).values():
        sha.update(np.ascontiguousarray(jax.device_get(leaf)).tobytes())
    return sha.hexdigest()


def checksums(tree: Any) -> dict[str, int]:
    """CRC-32 of each leaf by path: cheap enough for every checkpoint, and it names the leaf that is damaged."""
    leaves = flatten(jax.device_get(tree))
    return {path: zlib.crc32(np.ascontiguousarray(leaf).tobytes()) for path, leaf in leaves.items()}
