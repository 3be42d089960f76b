"""k nearest neighbors against scikit-learn, to the example, and where float32 sums would lose the order."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from cnnjax.baselines import knn
from cnnjax.core.errors import UserError
from cnnjax.evaluation import neighbors

POWER = {"l1": 1, "l2": 2}


@pytest.fixture(scope="module")
def digits():
    """1,797 digits of 8 x 8, levels 0 .. 255, the first 1,200 for training."""
    bunch = load_digits()
    images = (bunch.images * 255 / 16).round().astype(np.uint8)[..., None]
    return images[:1200], bunch.target[:1200], images[1200:], bunch.target[1200:]


def exact(train, queries, metric):
    """Distances in int64, [N, M]."""
    wide = [images.reshape(len(images), -1).astype(np.int64) for images in (train, queries)]
    differences = np.abs(wide[1][:, None] - wide[0])
    return (differences ** POWER[metric]).sum(-1)


@pytest.mark.parametrize("metric", ["l1", "l2"])
def test_neighbors_and_classes_are_those_of_scikit_learn(digits, metric):
    train, labels, queries, _ = digits
    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (train, queries)]
    peer = KNeighborsClassifier(5, algorithm="brute", p=POWER[metric]).fit(flat[0], labels)
    far, _ = peer.kneighbors(flat[1])
    distances, indices = neighbors.nearest(train, queries, 5, metric)
    np.testing.assert_array_equal(distances, np.rint(far ** POWER[metric]))
    np.testing.assert_array_equal(np.take_along_axis(exact(train, queries, metric), indices, 1), distances)
    nearest = KNeighborsClassifier(1, algorithm="brute", p=POWER[metric]).fit(flat[0], labels)
    np.testing.assert_array_equal(knn.classify(train, labels, queries, 1, metric), nearest.predict(flat[1]))
    # Of classes with equal votes scikit-learn takes the lower, we that of the nearest; all else must agree.
    counts = np.sort((labels[indices][:, :, None] == np.arange(10)).sum(1), axis=1)
    clear = counts[:, -1] > counts[:, -2]
    assert clear.sum() > 550
    ours = knn.classify(train, labels, queries, 5, metric)
    np.testing.assert_array_equal(ours[clear], peer.predict(flat[1])[clear])


@pytest.mark.parametrize("metric", ["l1", "l2"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (29, 31, 3)])  # 784 and 2,697 values; 2^24 / 255^2 = 258
def test_distances_are_exact_where_float32_is_not(metric, shape):
    rng = np.random.default_rng(0)
    train = rng.choice(np.array([0, 1, 254, 255], np.uint8), (40, *shape))
    queries = 255 - train[:9]  # as far from one image as can be
    train[1::2] = train[::2]
    train[1::2, 0, 0, 0] ^= 1  # pairs that differ by one level in one pixel
    wanted = exact(train, queries, metric)
    assert metric == "l1" or wanted.max() > 2**24
    distances, indices = neighbors.nearest(train, queries, len(train), metric)
    order = np.argsort(wanted, axis=1, kind="stable")
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(distances, np.take_along_axis(wanted, order, 1))


def test_equally_near_ones_in_order_and_equal_votes_to_the_nearest():
    train = np.array([[30], [10], [12], [10], [40], [41], [90]], np.uint8)
    queries = np.array([[10], [33]], np.uint8)
    distances, indices = neighbors.nearest(train, queries, 3, "l1")
    assert indices.tolist() == [[1, 3, 2], [0, 4, 5]]
    assert distances.tolist() == [[0, 0, 2], [3, 7, 8]]
    labels = np.array([9, 5, 2, 2, 1, 8, 0])
    assert knn.classify(train, labels, queries, 1, "l1").tolist() == [5, 9]
    assert knn.classify(train, labels, queries, 2, "l1").tolist() == [5, 9]  # one vote each
    assert knn.classify(train, labels, queries, 3, "l1").tolist() == [2, 9]
    assert knn.classify(train, labels, queries, 7, "l1").tolist() == [2, 2]


class Fake:
    """A prepared data set of these splits."""

    def __init__(self, **splits):
        self.splits = splits

    def split(self, name):
        return FakeSplit(*self.splits[name])


class FakeSplit:
    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def gather(self, indices):
        return self.images[indices]


def test_evaluate_counts_every_image_once(digits):
    train, labels, queries, classes = digits
    dataset = Fake(train=(train, labels), test=(queries, classes))
    flat = [images.reshape(len(images), -1).astype(np.float64) for images in (train, queries)]
    peer = KNeighborsClassifier(1, algorithm="brute").fit(flat[0], labels)
    assert knn.evaluate(dataset) == {"top1": peer.score(flat[1], classes), "count": len(queries)}
    assert knn.evaluate(dataset, split="train") == {"top1": 1.0, "count": len(train)}


def test_what_cannot_be_compared_is_refused(digits):
    train, labels, queries, _ = digits
    for k in (0, 1201):
        with pytest.raises(UserError, match=rf"model.neighbors={k} must be from 1 to 1,200, the number"):
            neighbors.nearest(train, queries, k)
    with pytest.raises(TypeError, match="uint8"):
        neighbors.nearest(train / 255, queries)
    large = np.zeros((2, 105, 105, 3), np.uint8)
    with pytest.raises(
        UserError, match=r"33,075 values are too large for l2 \(33,025 at most\); set config.model.metric=l1"
    ):
        neighbors.nearest(large, large)
    with pytest.raises(UserError, match="several labels"):
        knn.evaluate(Fake(train=(train, np.eye(10, dtype=np.uint8)[labels]), test=(queries, labels)))
