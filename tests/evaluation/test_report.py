"""The report against scikit-learn, on random and on degenerate probabilities."""

import itertools
import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from cnnjax.core.errors import RunError
from cnnjax.evaluation.report import report


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def random_case(classes=7, count=211, seed=0):
    rng = np.random.default_rng(seed)
    return softmax(2 * rng.normal(size=(count, classes))).astype(np.float32), rng.integers(0, classes, count)


def never_predicted():
    probabilities, labels = random_case()
    probabilities[:, 3] = 1e-6
    return probabilities, labels


def one_class_only():
    probabilities, labels = random_case()
    return probabilities, np.full_like(labels, 2)


def ties():
    probabilities, labels = random_case()
    return np.round(probabilities, 1) + np.float32(0.1), labels


def all_wrong():
    probabilities, _ = random_case()
    return probabilities, (probabilities.argmax(1) + 1) % 7


def two_classes():
    return random_case(2)


CASES = [random_case, never_predicted, one_class_only, ties, all_wrong, two_classes]


def quiet(function, *args, **options):
    """scikit-learn warns of what is undefined."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **options)


def close(ours, theirs):
    if ours is None:
        assert theirs is None or np.isnan(theirs)
    else:
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def bins(sure, right):
    """Counts, mean confidence and accuracy of 15 bins, one by one."""
    for low, high in itertools.pairwise(np.linspace(0, 1, 16)):
        inside = (sure > low) & (sure <= high)
        yield (
            inside.sum(),
            sure[inside].mean() if inside.any() else None,
            right[inside].mean() if inside.any() else None,
        )


def check_reliability(found, sure, right):
    error = 0.0
    for row, (count, confidence, accuracy) in zip(found["reliability"], bins(sure, right), strict=True):
        assert row["count"] == count
        close(row["confidence"], confidence)
        close(row["accuracy"], accuracy)
        error += count / len(sure) * abs(confidence - accuracy) if count else 0
    close(found["ece"], error)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_agrees_with_scikit_learn(case):
    probabilities, labels = case()
    classes = probabilities.shape[1]
    found = report(probabilities, labels, [f"c{number}" for number in range(classes)])
    scores = probabilities.astype(np.float64)
    scores /= scores.sum(1, keepdims=True)
    predicted, numbers = scores.argmax(1), range(classes)

    close(found["brier"], reference.brier_score_loss(labels, scores, labels=list(numbers)))
    check_reliability(found, scores.max(1), predicted == labels)
    assert found["confusion"] == reference.confusion_matrix(labels, predicted, labels=numbers).tolist()
    undefined = {"labels": numbers, "zero_division": np.nan}
    four = quiet(reference.precision_recall_fscore_support, labels, predicted, **undefined)
    for number, row in enumerate(found["per_class"]):
        assert row["name"] == f"c{number}"
        for name, values in zip(("precision", "recall", "f1", "count"), four, strict=True):
            close(row[name], values[number])
        present = labels == number
        close(row["roc_auc"], quiet(reference.roc_auc_score, present, scores[:, number]))
        if present.any():
            close(row["average_precision"], reference.average_precision_score(present, scores[:, number]))
        else:
            assert row["average_precision"] is None
    for average in ("macro", "weighted"):
        expected = reference.precision_recall_fscore_support(
            labels, predicted, labels=numbers, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            close(found[average][name], value)
    if len(set(labels)) == classes:
        ovr = {"multi_class": "ovr", "average": "macro"}
        close(found["roc_auc"], reference.roc_auc_score(labels, scores if classes > 2 else scores[:, 1], **ovr))


def test_several_labels_agree_with_scikit_learn():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (150, 6)).astype(np.uint8)
    labels[:, 4] = 0  # a class without images
    probabilities = (0.6 * rng.random((150, 6)) + 0.3 * labels).astype(np.float32)
    probabilities[:, 5] /= 4  # one that is never predicted
    found = report(probabilities, labels, list("abcdef"))
    scores, predicted = probabilities.astype(np.float64), probabilities > 0.5
    close(
        found["brier"],
        np.mean([reference.brier_score_loss(labels[:, k], scores[:, k], labels=[0, 1]) for k in range(6)]),
    )
    check_reliability(found, scores.ravel(), labels.ravel())
    assert found["confusion"] is None
    for average in ("macro", "weighted"):
        expected = reference.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
            close(found[average][name], value)
    there = [0, 1, 2, 3, 5]
    close(found["mean_average_precision"], reference.average_precision_score(labels[:, there], scores[:, there]))
    close(found["roc_auc"], reference.roc_auc_score(labels[:, there], scores[:, there]))
    assert found["per_class"][4]["roc_auc"] is None
    assert found["per_class"][5]["precision"] is None


def test_intervals_are_those_of_resampled_images():
    """Against the plain way: draw images, measure, again; the percentiles agree to what 1,000 draws can say."""
    probabilities, labels = random_case(count=400)
    found = report(probabilities, labels, list("abcdefg"))["intervals"]
    scores = probabilities / probabilities.sum(1, keepdims=True, dtype=np.float64)
    rng, samples = np.random.default_rng(5), []
    for _ in range(200):
        rows = rng.integers(0, 400, 400)
        part = report_of(scores[rows], labels[rows])
        samples.append(part)
    for name in samples[0]:
        values = np.array([sample[name] for sample in samples])
        np.testing.assert_allclose(found[name], np.percentile(values, [2.5, 97.5]), atol=0.35 * values.std() + 1e-9)
    assert report(probabilities, labels, list("abcdefg"))["intervals"] == found, "seeded"


def report_of(scores, labels):
    predicted, sure = scores.argmax(1), scores.max(1)
    ece = sum(n / len(sure) * abs(a - b) for n, a, b in bins(sure, predicted == labels) if n)
    return {
        "top1": reference.accuracy_score(labels, predicted),
        "top5": reference.top_k_accuracy_score(labels, scores, k=5, labels=range(7)),
        "log_loss": reference.log_loss(labels, scores, labels=range(7)),
        "brier": reference.brier_score_loss(labels, scores, labels=range(7)),
        "ece": ece,
    }


def test_outputs_that_are_no_numbers_are_told():
    probabilities, labels = random_case()
    probabilities[3] = np.nan
    with pytest.raises(RunError, match="1 of 211 images are not finite"):
        report(probabilities, labels, list("abcdefg"))
