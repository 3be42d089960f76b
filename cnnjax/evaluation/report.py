"""What the probabilities of a whole split say about a network: scores of each class, calibration, and how sure all is.

Everything here is a function of one array of probabilities, on the host and in float64. Scores are what scikit-learn
calls so; it is not needed for them, and takes minutes where a thousand classes are sorted here in seconds.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnnjax.core.arrays import HostArray
from cnnjax.core.errors import RunError
from cnnjax.evaluation import metrics

BINS = 15
RESAMPLES = 1000
MOST_CONFUSED = 1000
"""Classes up to which there is a confusion matrix: of 10,000 it would be a JSON document of nearly a gigabyte."""


def report(probabilities: HostArray, labels: HostArray, classes: Sequence[str]) -> dict[str, Any]:
    """Measures a network by its probabilities of every image of a split.

    Scores of a class are one-vs-rest. What is undefined (the precision of a class that was never predicted, the ROC AUC
    of one that has no images) is None, and counts as 0 in the averages over classes of precision, recall and F1, as
    scikit-learn has it, and not at all in those of ROC AUC and average precision.

    Args:
      probabilities: [N, K]; those of one-label images need not sum to one (sigmoids), they are normalized.
      labels: int [N], or 0 and 1 [N, K] for several labels an image, where a class counts as predicted above 0.5.
      classes: K names.

    Returns:
      classes, brier (sum of squared errors over the classes, Brier 1950; of two classes half of it, and of several
      labels the mean over them, as scikit-learn has it), ece and reliability (see `reliability`), confusion (rows true,
      columns predicted; None with several labels, and with more than 1,000 classes), per_class, macro and weighted (by
      images of each class), roc_auc and average_precision (of two classes that of the second, else the mean over
      classes), mean_average_precision (with several labels, else None), intervals (see `intervals`).

    Raises:
      RunError: a probability is not finite.
    """
    scores, present = prepared(probabilities, labels)
    several = labels.ndim == 2
    predicted = scores > 0.5 if several else scores.argmax(1)[:, None] == np.arange(len(classes))
    rates, images = _rates(present, predicted), present.sum(0)
    per_class = [
        {"name": name, "count": int(images[number])}
        | {key: _or_none(values[number]) for key, values in rates.items()}
        | _areas(scores[:, number], present[:, number])
        for number, name in enumerate(classes)
    ]
    bins, matrix = reliability(scores, labels), not several and len(classes) <= MOST_CONFUSED
    document = {
        "classes": list(classes),
        "brier": float(_brier(scores, present, several).mean()),
        "ece": expected_calibration_error(bins),
        "reliability": bins,
        "confusion": _confusion(labels, scores.argmax(1), len(classes)) if matrix else None,
        "per_class": per_class,
        "macro": _averages(rates),
        "weighted": _averages(rates, images),
    }
    for name in ("roc_auc", "average_precision"):
        document[name] = _over_classes(per_class, name, two=len(classes) == 2 and not several)
    document["mean_average_precision"] = document["average_precision"] if several else None
    return document | {"intervals": intervals(scores, labels)}


def prepared(probabilities: HostArray, labels: HostArray) -> tuple[HostArray, HostArray]:
    """Returns float64 [N, K] probabilities, normalized where an image has one label, and bool [N, K] of its labels."""
    scores = np.asarray(probabilities, np.float64)
    if bad := int((~np.isfinite(scores)).any(1).sum()):
        raise RunError(
            f"the network's outputs for {bad:,} of {len(scores):,} images are not finite, so it has no report"
        )
    if labels.ndim == 2:
        return scores, labels > 0.5
    scores = np.maximum(scores, metrics.SMALLEST)
    return scores / scores.sum(1, keepdims=True), labels[:, None] == np.arange(scores.shape[1])


# ---------------------------------------------------------------- calibration


def reliability(scores: HostArray, labels: HostArray) -> list[dict[str, Any]]:
    """Returns how often the network is right in each of 15 bins of how sure it is.

    Guo et al. 2017, arXiv:1706.04599, section 2. One label an image: `confidence` is that of the predicted class.
    Several labels: of every image and class it is the probability, and `accuracy` the share that has the label.

    Returns:
      {low, high, count, confidence, accuracy} of each bin (low, high]; the means are None where count is 0.
    """
    sure, right = _sure(scores, labels)
    place = _bins(sure).ravel()
    counts = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values.ravel(), BINS) for values in (sure, right)]
    found = []
    for number, count in enumerate(counts.tolist()):
        confidence, accuracy = (float(total[number]) / count if count else None for total in sums)
        edges = {"low": number / BINS, "high": (number + 1) / BINS}
        found.append({**edges, "count": count, "confidence": confidence, "accuracy": accuracy})
    return found


def expected_calibration_error(bins: Sequence[dict[str, Any]]) -> float:
    """The mean distance of confidence and accuracy over all decisions (Guo et al. 2017, equation 3)."""
    total = sum(row["count"] for row in bins)
    return sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in bins if row["count"]) / total


def certainty(probabilities: HostArray, labels: HostArray) -> dict[str, float]:
    """Returns {log_loss, ece}: what a temperature changes."""
    bins = reliability(prepared(probabilities, labels)[0], labels)
    return {"log_loss": metrics.means(probabilities, labels)["log_loss"], "ece": expected_calibration_error(bins)}


def _sure(scores: HostArray, labels: HostArray) -> tuple[HostArray, HostArray]:
    """How sure each decision is and whether it is right: [N, 1] of one label, [N, K] of several."""
    if labels.ndim == 2:
        return scores, (labels > 0.5).astype(np.float64)
    return scores.max(1, keepdims=True), (scores.argmax(1) == labels).astype(np.float64)[:, None]


def _bins(sure: HostArray) -> HostArray:
    """The bin of each confidence; 0 belongs to the first."""
    return np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)


# ---------------------------------------------------------------- classes


def _rates(present: HostArray, predicted: HostArray) -> dict[str, HostArray]:
    """Precision, recall and F1 of each class, [K]; NaN where there is nothing to divide by."""
    right, said, there = (present & predicted).sum(0), predicted.sum(0), present.sum(0)
    with np.errstate(invalid="ignore"):
        return {"precision": right / said, "recall": right / there, "f1": 2 * right / (said + there)}


def _averages(rates: dict[str, HostArray], weights: HostArray | None = None) -> dict[str, float]:
    if weights is not None and not weights.any():
        return dict.fromkeys(rates, 0.0)
    return {name: float(np.average(np.nan_to_num(values), weights=weights)) for name, values in rates.items()}


def _areas(scores: HostArray, present: HostArray) -> dict[str, float | None]:
    """The areas under the ROC curve and, as a sum of steps, under the precision-recall curve of one class, [N] each.

    Every distinct score is a threshold, so that equal ones count together.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(present[order])
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each run of equal scores
    right = np.concatenate([[0], hits[last]])
    wrong = np.concatenate([[0], last + 1 - hits[last]])
    positives, negatives = int(right[-1]), int(wrong[-1])
    precision = right[1:] / (last + 1)
    return {
        "roc_auc": float(np.trapezoid(right, wrong)) / (positives * negatives) if positives and negatives else None,
        "average_precision": float(np.diff(right) @ precision) / positives if positives else None,
    }


def _over_classes(per_class: Sequence[dict[str, Any]], name: str, *, two: bool) -> float | None:
    found = [row[name] for row in (per_class[1:] if two else per_class) if row[name] is not None]
    return sum(found) / len(found) if found else None


def _confusion(labels: HostArray, predicted: HostArray, classes: int) -> list[list[int]]:
    counts: list[list[int]] = (
        np.bincount(labels * classes + predicted, minlength=classes**2).reshape(-1, classes).tolist()
    )
    return counts


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


# ---------------------------------------------------------------- each image, and the bootstrap over them


def intervals(scores: HostArray, labels: HostArray, *, seed: int = 0) -> dict[str, list[float] | None]:
    """Returns 95 % intervals [low, high] of top1, top5, log_loss, brier and ece by the bootstrap over images.

    The percentiles of 1,000 resamples (Efron 1979). All figures are sums over images, the calibration error a sum of
    the amounts of such sums: so a resample is a row of counts, and all of them are one matrix product.

    Args:
      scores, labels: as `prepared` gives them and as `report` takes them.
      seed: of the resamples.
    """
    count, draw = len(scores), np.random.default_rng(seed)
    each = {name: np.asarray(values, np.float64) for name, values in metrics.each(scores, labels).items()}
    each["brier"] = _brier(scores, prepared(scores, labels)[1], labels.ndim == 2)
    names = [name for name in ("top1", "top5", "log_loss", "brier") if name in each]
    columns = np.column_stack([*(each[name] for name in names), _gaps(scores, labels)])
    rows = max(2**22 // count, 1)  # of resamples at a time: 32 MB of counts
    sums = []
    for start in range(0, RESAMPLES, rows):
        size = min(rows, RESAMPLES - start)
        drawn = draw.integers(count, size=(size, count)) + np.arange(size)[:, None] * count
        sums.append(
            np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64) @ columns
        )
    means = np.concatenate(sums) / count
    samples = dict(zip(names, means.T, strict=False)) | {"ece": np.abs(means[:, len(names) :]).sum(1)}
    found: dict[str, list[float] | None] = {"top1": None, "top5": None, "log_loss": None, "brier": None, "ece": None}
    return found | {name: np.percentile(values, [2.5, 97.5]).tolist() for name, values in samples.items()}


def _brier(scores: HostArray, present: HostArray, several: bool) -> HostArray:
    """The squared error of each image, [N]."""
    errors = np.square(scores - present)
    return errors.mean(1) if several or errors.shape[1] == 2 else errors.sum(1)


def _gaps(scores: HostArray, labels: HostArray) -> HostArray:
    """What each image adds to accuracy - confidence of each bin, [N, 15]; their sums' amounts make up the error."""
    sure, right = _sure(scores, labels)
    place = np.arange(len(sure))[:, None] * BINS + _bins(sure)
    gaps = np.bincount(place.ravel(), (right - sure).ravel(), len(sure) * BINS)
    return gaps.reshape(len(sure), BINS) / sure.shape[1]
