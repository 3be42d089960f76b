"""How right a network is: sums over a batch on the device, added up and turned into means on the host."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnnjax.core.arrays import Array, HostArray

# The smallest normal float32; XLA flushes what is below it to zero, whose logarithm is infinite.
SMALLEST = float(jnp.finfo(jnp.float32).tiny)
# A float32 probability of exactly 1 stands for anything above 1 - 2^-25.
SMALLEST_REST = 2.0**-25


def sums(probabilities: Array, labels: Array, mask: Array) -> dict[str, Array]:
    """Returns the sums of `each` over the unmasked images of a batch, and their count.

    Args:
      probabilities, labels: see `each`.
      mask: [N], 1 for an image that counts, 0 for padding.
    """
    values = {"count": jnp.ones(mask.shape), **each(probabilities, labels)}
    # `where`, not a product: what stands in the padding must not matter, not even NaN.
    return {name: jnp.sum(jnp.where(mask > 0, value, 0), dtype=jnp.float32) for name, value in values.items()}


def each(probabilities: Array | HostArray, labels: Array | HostArray) -> dict[str, Array]:
    """Returns the figures of each image, [N].

    Equal probabilities rank by class index, as argmax has it. NaN is never right. Several labels an image: top1 and
    top5 ask whether a label is among the highest one and five; the log loss is the mean over the labels.

    Args:
      probabilities: float32 [N, K]; those of one-label images need not sum to one (sigmoids), they are normalized.
      labels: int [N], or 0 and 1 [N, K] for several labels an image.

    Returns:
      top1, top5 (with more than 5 classes), log_loss; of several labels also exact_match (every label right at 0.5) and
      label_accuracy (share of labels right).
    """
    classes = probabilities.shape[-1]
    highest, ranked = jax.lax.top_k(probabilities, min(5, classes))
    if labels.ndim == 2:
        hits = jnp.take_along_axis(labels, ranked, axis=-1) > 0.5
    else:
        hits = ranked == labels[:, None]
    hits &= ~jnp.isnan(highest)
    values = {"top1": hits[:, 0]}
    if classes > 5:
        values["top5"] = hits.any(axis=-1)
    if labels.ndim == 2:
        right = (probabilities > 0.5) == (labels > 0.5)
        values["log_loss"] = _binary_log_loss(probabilities, labels)
        values["exact_match"] = right.all(axis=-1)
        values["label_accuracy"] = right.mean(axis=-1)
    else:
        values["log_loss"] = _log_loss(probabilities, labels)
    return values


def _log_loss(probabilities: Array | HostArray, labels: Array | HostArray) -> Array:
    above_zero = jnp.maximum(probabilities, SMALLEST)
    right = jnp.take_along_axis(above_zero, labels[:, None], axis=-1)[:, 0]
    return jnp.log(above_zero.sum(axis=-1)) - jnp.log(right)


def _binary_log_loss(probabilities: Array | HostArray, labels: Array | HostArray) -> Array:
    present = jnp.log(jnp.maximum(probabilities, SMALLEST))
    absent = jnp.log(jnp.maximum(1 - probabilities, SMALLEST_REST))
    return -jnp.mean(jnp.where(labels > 0.5, present, absent), axis=-1)


def summarize(totals: Mapping[str, Any]) -> dict[str, Any]:
    """Turns sums over a split into means: fractions in [0, 1], the log loss as a natural logarithm.

    Returns:
      count (int), top1, top5 (None with 5 classes or fewer), log_loss, and what else `sums` had.
    """
    count = float(totals["count"])
    means = {name: float(total) / count for name, total in totals.items() if name != "count"}
    return {"count": round(count), "top1": means.pop("top1"), "top5": means.pop("top5", None), **means}


def means(probabilities: HostArray, labels: HostArray) -> dict[str, Any]:
    """Returns what `summarize` does, of the probabilities of a whole split."""
    totals = {name: np.asarray(values).sum(dtype=np.float64) for name, values in each(probabilities, labels).items()}
    return summarize({"count": len(labels), **totals})
