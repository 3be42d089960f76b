"""Metrics against scikit-learn, at a count that no batch divides."""

import jax
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, top_k_accuracy_score

from cnnjax.evaluation import summarize, sums

COUNT, BATCH = 103, 16


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def in_batches(probabilities, labels):
    """The metrics over padded batches; the padding holds garbage that must not matter."""
    jitted, totals = jax.jit(sums), {}
    for start in range(0, len(labels), BATCH):
        rows = np.arange(start, start + BATCH)
        mask = (rows < len(labels)).astype(np.float32)
        rows = np.minimum(rows, len(labels) - 1)
        scores = np.where(mask[:, None] > 0, probabilities[rows], np.nan).astype(np.float32)
        for name, value in jitted(scores, labels[rows], mask).items():
            totals[name] = totals.get(name, 0.0) + float(value)
    return summarize(totals)


def one(probabilities, label):
    """The metrics of one image."""
    scores = np.asarray([probabilities], np.float32)
    return summarize(sums(scores, np.asarray([label]), np.ones(1, np.float32)))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_many_classes_agree_with_scikit_learn(rng):
    scores, labels = softmax(2 * rng.normal(size=(COUNT, 12))), rng.integers(0, 12, COUNT)
    ours = in_batches(scores, labels)
    assert ours["count"] == COUNT
    np.testing.assert_allclose(ours["top1"], accuracy_score(labels, scores.argmax(1)), rtol=1e-6)
    np.testing.assert_allclose(ours["top5"], top_k_accuracy_score(labels, scores, k=5, labels=range(12)), rtol=1e-6)
    np.testing.assert_allclose(ours["log_loss"], log_loss(labels, scores, labels=range(12)), rtol=1e-5)


def test_top5_needs_more_than_five_classes(rng):
    for classes, there in ((2, False), (5, False), (6, True)):
        ours = in_batches(softmax(rng.normal(size=(COUNT, classes))), rng.integers(0, classes, COUNT))
        assert (ours["top5"] is not None) == there


def test_several_labels_agree_with_scikit_learn(rng):
    scores, labels = rng.uniform(0.01, 0.99, (COUNT, 7)), rng.integers(0, 2, (COUNT, 7))
    ours = in_batches(scores, labels)
    guessed = scores > 0.5
    np.testing.assert_allclose(ours["exact_match"], accuracy_score(labels, guessed), rtol=1e-6)
    np.testing.assert_allclose(ours["label_accuracy"], (labels == guessed).mean(), rtol=1e-6)
    expected = np.mean([log_loss(labels[:, k], scores[:, k], labels=[0, 1]) for k in range(7)])
    np.testing.assert_allclose(ours["log_loss"], expected, rtol=1e-5)
    order = np.argsort(-scores, axis=1)
    ranked = np.take_along_axis(labels, order, 1)
    np.testing.assert_allclose([ours["top1"], ours["top5"]], [ranked[:, 0].mean(), ranked[:, :5].any(1).mean()])


def test_sigmoids_of_one_label_images_are_normalized(rng):
    scores, labels = rng.uniform(0.01, 0.99, (COUNT, 6)), rng.integers(0, 6, COUNT)
    expected = log_loss(labels, scores / scores.sum(1, keepdims=True), labels=range(6))
    np.testing.assert_allclose(in_batches(scores, labels)["log_loss"], expected, rtol=1e-5)


def test_equal_scores_rank_by_class_as_argmax_has_it():
    even = [1 / 8] * 8
    assert [one(even, label)["top1"] for label in range(8)] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert [one(even, label)["top5"] for label in range(8)] == [1, 1, 1, 1, 1, 0, 0, 0]
    tied = [0.1, 0.3, 0.1, 0.3, 0.1, 0.05, 0.05]
    assert [one(tied, label)["top1"] for label in range(7)] == [0, 1, 0, 0, 0, 0, 0]
    assert [one(tied, label)["top5"] for label in range(7)] == [1, 1, 1, 1, 1, 0, 0]


def test_a_sure_mistake_has_a_finite_loss():
    np.testing.assert_allclose(one([1e-30, 1], 0)["log_loss"], 30 * np.log(10), rtol=1e-5)  # not clipped
    assert 87 < one([0, 1], 0)["log_loss"] < 88
    np.testing.assert_allclose(one([0, 0, 0], 1)["log_loss"], np.log(3), rtol=1e-5)  # sigmoids that all say no
    both = summarize(sums(np.float32([[0, 1]]), np.array([[1, 0]]), np.ones(1)))
    assert np.isfinite(both["log_loss"])
    assert both["exact_match"] == 0


def test_a_network_that_gives_nan_is_never_right():
    nothing = [np.nan] * 6
    for label in range(6):
        ours = one(nothing, label)
        assert (ours["top1"], ours["top5"]) == (0, 0)
        assert np.isnan(ours["log_loss"])
    several = summarize(sums(np.float32([nothing]), np.ones((1, 6)), np.ones(1)))
    assert (several["top1"], several["top5"]) == (0, 0)
