"""Setting validation and test images apart where a source has none: stratified, and a function of a seed."""

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.core import keys
from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import UserError
from cnnjax.data.sources import Images, Source


def split_up(source: Source, config: DataConfig) -> dict[str, Images]:
    """Sets apart what the source does not have: test_fraction of all, then val_fraction of the training images.

    Stratified, a function of data.split_seed; counts are rounded up. A fraction of 0 gives no such split.
    """
    splits = dict(source.splits)
    for name, fraction in (("test", config.test_fraction), ("val", config.val_fraction)):
        if name in splits or not fraction:
            continue
        whole = splits["train"]
        count = int(np.ceil(round(fraction * len(whole.labels), 6)))
        apart = stratified(whole.labels, count, keys.generator(config.split_seed, f"split {name}"))
        rest = np.setdiff1d(np.arange(len(whole.labels)), apart)
        if not len(rest):
            raise UserError(f"{config.source} has too few images to set a {name} split apart; add some")
        splits[name], splits["train"] = whole.take(apart), whole.take(rest)
    return {name: splits[name] for name in ("train", "val", "test") if name in splits}


def stratified(labels: HostArray, count: int, rng: np.random.Generator) -> HostArray:
    """Returns `count` sorted indices that hold each class in its share, by largest remainder.

    Several labels an image cannot be kept in share all at once, so multi-label sets are drawn without strata.
    """
    if labels.ndim > 1:
        return np.sort(rng.permutation(len(labels))[:count])
    classes, sizes = np.unique(labels, return_counts=True)
    share = count * sizes / len(labels)
    quota = np.floor(share).astype(int)
    for place in np.argsort(-(share - quota), kind="stable")[: count - quota.sum()]:
        quota[place] += 1
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:n] for label, n in zip(classes, quota, strict=True)]
    return np.sort(np.concatenate(chosen))
