"""The sample stream: every picture once an epoch, batches across epochs, a pure function of the step."""

import numpy as np
import pytest

from cnnjax.data.order import TrainingRows, samples


def read(n, batch_size, start, stop, seed=7):
    rows = TrainingRows(seed, n, batch_size, start=start, stop=stop)
    return [rows[k] for k in range(len(rows))]


@pytest.mark.parametrize(("n", "batch_size"), [(10, 3), (10, 10), (3, 8), (1, 5), (128, 32)])
def test_each_epoch_holds_every_picture_once(n, batch_size):
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


def test_rows_end():
    rows = TrainingRows(0, 10, 4, start=3, stop=5)
    assert len(rows) == 2
    assert len(list(rows)) == 2
    with pytest.raises(IndexError):
        rows[2]
