"""The sample stream: every image once an epoch, batches across epochs, a pure function of the step."""

import numpy as np
import pytest

from cnnjax.data.order import TrainingRows, samples


def read(n, batch_size, start, stop, seed=7):
    rows = TrainingRows(seed, n, batch_size, start=start, stop=stop)
    return [rows[k] for k in range(len(rows))]


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (3, 8), (1, 5), (128, 32)])
def test_each_epoch_holds_every_image_once(n, batch_size):
    epochs = 6
    stop = -(-epochs * n // batch_size)
    stream = np.concatenate([row["index"] for row in read(n, batch_size, 0, stop)])[: epochs * n].reshape(epochs, n)
    assert (np.sort(stream, axis=1) == np.arange(n)).all()
    if n > 5:
        assert len({tuple(order) for order in stream}) == epochs, "epochs are shuffled differently"


def test_any_step_can_be_the_first():
    whole = read(10, 4, 0, 12)
    for start in (1, 5, 11):
        for ours, theirs in zip(read(10, 4, start, 12), whole[start:], strict=True):
            np.testing.assert_array_equal(ours["index"], theirs["index"])
            np.testing.assert_array_equal(ours["position"], theirs["position"])


def test_positions_count_on_and_seeds_differ():
    rows = read(10, 4, 0, 5)
    np.testing.assert_array_equal(np.concatenate([row["position"] for row in rows]), np.arange(20))
    assert (samples(1, 100, np.arange(100)) != samples(2, 100, np.arange(100))).any()


def test_alternating_images_are_seen_from_both_sides_in_any_two_epochs():
    rows = TrainingRows(7, 100, 30, start=0, stop=14, alternate=True)
    stream = [np.concatenate([rows[k][name] for k in range(14)])[:400] for name in ("index", "turned")]
    sides = np.zeros((4, 100))
    for epoch in range(4):
        index, turned = (part[100 * epoch : 100 * (epoch + 1)] for part in stream)
        sides[epoch, index] = turned
    np.testing.assert_array_equal(sides[1:] + sides[:-1], 1)
    assert 30 < sides[0].sum() < 70
    assert "turned" not in read(10, 4, 0, 1)[0]


def test_rows_end():
    rows = TrainingRows(0, 10, 4, start=3, stop=5)
    assert len(rows) == 2
    assert len(list(rows)) == 2
    with pytest.raises(IndexError):
        rows[2]
