"""Error analysis, against loops that follow the definitions word for word."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cnnjax.evaluation import errors, gallery, neighbors

RNG = np.random.default_rng(0)


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True)


def drawn(count=200, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    logits = rng.normal(size=(count, classes)) + 1.5 * np.eye(classes)[labels]
    return softmax(logits), labels


def test_lists_follow_their_definitions():
    probabilities, labels = drawn()
    found = errors.analyze(probabilities, labels)
    predicted = [int(np.argmax(row)) for row in probabilities]
    wrong = [i for i in range(200) if predicted[i] != labels[i]]
    right = [i for i in range(200) if predicted[i] == labels[i]]
    surest = sorted(wrong, key=lambda i: -max(probabilities[i]))[: errors.SHOWN]
    doubtful = sorted(right, key=lambda i: max(probabilities[i]))[: errors.SHOWN]
    assert [entry["index"] for entry in found["mistakes"]] == surest
    assert [entry["index"] for entry in found["hits"]] == doubtful
    first = found["mistakes"][0]
    assert first["labels"] == [labels[surest[0]]]
    assert first["predicted"] == predicted[surest[0]]
    assert first["confidence"] == max(probabilities[surest[0]])
    assert first["own"] == probabilities[surest[0], labels[surest[0]]]


def test_pairs_are_the_cells_of_the_confusion_matrix():
    from sklearn.metrics import confusion_matrix

    probabilities, labels = drawn()
    matrix = confusion_matrix(labels, probabilities.argmax(1))
    pairs = errors.confused_pairs(probabilities, labels)
    assert {(pair["label"], pair["predicted"]): pair["count"] for pair in pairs} == {
        (label, predicted): matrix[label, predicted]
        for label in range(5)
        for predicted in range(5)
        if label != predicted and matrix[label, predicted]
    }
    counts = [pair["count"] for pair in pairs]
    assert counts == sorted(counts, reverse=True)
    for pair in pairs:
        assert len(pair["indices"]) == pair["count"]
        assert all(labels[index] == pair["label"] for index in pair["indices"])
        sure = [probabilities[index, pair["predicted"]] for index in pair["indices"]]
        assert sure == sorted(sure, reverse=True)


def test_images_of_pairs_are_limited(monkeypatch):
    monkeypatch.setattr(errors, "OF_PAIRS", 10)
    probabilities, labels = drawn()
    pairs = errors.analyze(probabilities, labels)["pairs"]
    assert sum(len(pair["images"]) for pair in pairs) == 10
    assert pairs[0]["count"] >= pairs[-1]["count"]


def confident_joint(probabilities, labels):
    """Northcutt et al. 2021, equations 1 and 2, image by image."""
    count, classes = probabilities.shape
    thresholds = [
        np.mean([probabilities[i, j] for i in range(count) if labels[i] == j] or [np.inf]) for j in range(classes)
    ]
    off_diagonal = []
    for i in range(count):
        believed = [j for j in range(classes) if probabilities[i, j] >= thresholds[j]]
        if believed and max(believed, key=lambda j: probabilities[i, j]) != labels[i]:
            off_diagonal.append(i)
    return off_diagonal


@pytest.mark.parametrize("absent", [False, True])
def test_label_faults_are_off_the_diagonal_of_the_confident_joint(absent):
    probabilities, labels = drawn(seed=3)
    if absent:
        labels[labels == 2] = 1
    found = errors.label_faults(probabilities, labels)
    assert sorted(found) == confident_joint(probabilities, labels)

    def margin(i):
        return probabilities[i, labels[i]] - max(np.delete(probabilities[i], labels[i]))

    assert [margin(i) for i in found] == sorted(margin(i) for i in found)


def test_planted_faults_come_first():
    probabilities, labels = drawn(count=300, seed=1)
    probabilities = softmax(8 * np.eye(5)[labels] + RNG.normal(size=(300, 5)))
    planted = sorted(np.argsort(probabilities.max(1))[-3:])
    given = labels.copy()
    given[planted] = (given[planted] + 1) % 5
    assert sorted(errors.label_faults(probabilities, given)[:3]) == planted


def test_degenerate_splits():
    sure = np.eye(3)[[0, 1, 2]]
    nothing_wrong = errors.analyze(sure, np.array([0, 1, 2]))
    assert nothing_wrong["pairs"] == nothing_wrong["mistakes"] == nothing_wrong["faults"] == []
    assert len(nothing_wrong["hits"]) == 3
    all_wrong = errors.analyze(sure, np.array([1, 2, 0]))
    assert all_wrong["hits"] == []
    assert [(pair["label"], pair["predicted"]) for pair in all_wrong["pairs"]] == [(0, 2), (1, 0), (2, 1)]


def test_several_labels():
    probabilities = np.array([[0.9, 0.8, 0.1], [0.9, 0.2, 0.6], [0.2, 0.7, 0.1]])
    labels = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8)
    found = errors.analyze(probabilities, labels)
    assert [entry["index"] for entry in found["mistakes"]] == [1, 2]
    assert [entry["labels"] for entry in found["mistakes"]] == [[2], []]
    assert found["mistakes"][1]["own"] is None
    assert found["hits"][0]["labels"] == [0, 1]
    assert found["pairs"] == found["faults"] == []


def test_nearest_features_are_scipys():
    train, queries = RNG.normal(size=(103, 7)).astype(np.float32), RNG.normal(size=(9, 7)).astype(np.float32)
    train[50] = train[3]  # equally near: the earlier first
    distances, places = neighbors.nearest_features(np.split(train, [40, 41, 90]), queries, 6)
    exact = cdist(queries.astype(np.float64), train.astype(np.float64))
    order = np.argsort(exact, axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(places, order)
    np.testing.assert_allclose(distances, np.take_along_axis(exact, order, 1), rtol=1e-9)
    assert neighbors.nearest_features([train[:2]], queries, 5)[1].shape == (9, 2)


class Held:
    """A split in memory."""

    name = "test"

    def __init__(self, images, labels=None):
        self.images, self.labels = images, labels
        self.names = [f"{number}.png" for number in range(len(images))]

    def gather(self, indices):
        return self.images[indices]


@pytest.mark.parametrize(
    ("shape", "expected"), [((28, 28, 1), (28, 28, 1)), ((200, 100, 3), (66, 33, 3)), ((97, 1, 4), (48, 1, 3))]
)
def test_thumbnails_are_means_of_squares(shape, expected):
    images = RNG.integers(256, size=(3, *shape), dtype=np.uint8)
    small = gallery.thumbnails(Held(images), np.array([2, 0]))
    assert small.shape == (2, *expected)
    factor = shape[0] // expected[0]
    block = images[2, factor : 2 * factor, :factor, : expected[2]].astype(float)
    np.testing.assert_allclose(small[0, 1, 0], np.rint(block.mean((0, 1))), atol=1e-9)
