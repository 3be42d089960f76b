"""Which images a network errs on, and which of the labels are the likelier error: numbers only, on the host.

Every image is an entry {"index", "labels", "predicted", "confidence", "own"}: its place in the split, its classes,
the class that is likeliest to the network, the probability of that, and the highest probability of its own classes.
"""

from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray

SHOWN = 24
"""Images in a list and of a confused pair."""
OF_PAIRS = 1000
"""Images of all confused pairs together, the most confused first."""


def analyze(probabilities: HostArray, labels: HostArray) -> dict[str, Any]:
    """Lists what is worth looking at in the predictions of a split.

    Args:
      probabilities: [N, K].
      labels: int [N], or 0 and 1 [N, K] for several labels an image; then there are no pairs and no faults.

    Returns:
      pairs (see `confused_pairs`, with entries in the place of indices), mistakes (wrong and surest), hits (right and
      least sure), faults (labels that are likely wrong, see `label_faults`) and fault_count, how many there are.
    """
    several = labels.ndim == 2
    predicted = probabilities.argmax(1)
    confidence = probabilities.max(1)
    present = labels > 0.5 if several else labels[:, None] == np.arange(probabilities.shape[1])
    own = np.where(present, probabilities, -np.inf).max(1)
    right = np.take_along_axis(present, predicted[:, None], 1)[:, 0]

    def entry(index: int) -> dict[str, Any]:
        return {
            "index": int(index),
            "labels": np.flatnonzero(present[index]).tolist(),
            "predicted": int(predicted[index]),
            "confidence": float(confidence[index]),
            "own": float(own[index]) if present[index].any() else None,
        }

    surest = np.argsort(-confidence, kind="stable")
    faults = np.zeros(0, np.int64) if several else label_faults(probabilities, labels)
    pairs, left = [], OF_PAIRS
    for pair in [] if several else confused_pairs(probabilities, labels):
        chosen = pair.pop("indices")[: min(SHOWN, left)]
        left -= len(chosen)
        pairs.append(pair | {"images": [entry(index) for index in chosen]})
        if not left:
            break
    return {
        "pairs": pairs,
        "mistakes": [entry(index) for index in surest[~right[surest]][:SHOWN]],
        "hits": [entry(index) for index in surest[right[surest]][::-1][:SHOWN]],
        "faults": [entry(index) for index in faults[:SHOWN]],
        "fault_count": len(faults),
    }


def confused_pairs(probabilities: HostArray, labels: HostArray) -> list[dict[str, Any]]:
    """Returns {"label", "predicted", "count", "indices"} of the wrong images, the most frequent pair first.

    The indices of a pair begin with the surest mistake. Pairs of one count stand in the order of their classes.
    """
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")]
    cells, places, counts = np.unique(
        labels[wrong].astype(np.int64) * probabilities.shape[1] + predicted[wrong],
        return_inverse=True,
        return_counts=True,
    )
    grouped = np.split(wrong[np.argsort(places, kind="stable")], np.cumsum(counts)[:-1])
    return [
        {
            "label": int(cells[place] // probabilities.shape[1]),
            "predicted": int(cells[place] % probabilities.shape[1]),
            "count": int(counts[place]),
            "indices": grouped[place].tolist(),
        }
        for place in np.argsort(-counts, kind="stable")
    ]


def label_faults(probabilities: HostArray, labels: HostArray) -> HostArray:
    """Returns the indices of images whose label is likely wrong, the likeliest first.

    Confident learning (Northcutt et al. 2021, arXiv:1911.00068, equations 1 and 2): a class is believed of an image
    where its probability reaches the mean that it has on the images labeled so. Faults lie off the diagonal of the
    confident joint: of the classes that are believed, another than the label is the likeliest. They are ranked by how
    far the label's probability falls short of the highest other one. On images that the network has trained on this
    finds little.
    """
    present = labels[:, None] == np.arange(probabilities.shape[1])
    counts = present.sum(0)
    sums = np.where(present, probabilities, 0).sum(0)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    believed = np.where(probabilities >= thresholds, probabilities, -np.inf)
    doubted = np.isfinite(believed).any(1) & (believed.argmax(1) != labels)
    others = np.where(present, -np.inf, probabilities).max(1)
    margin = probabilities[present] - others
    found = np.flatnonzero(doubted)
    return found[np.argsort(margin[found], kind="stable")]
