"""Every example of a split counts once, at any batch size."""

import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core.errors import RunError
from cnnjax.evaluation import batches, evaluate_split


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 8), (7, 8), (8, 8), (9, 8), (103, 16), (0, 4)])
def test_every_example_once_in_batches_of_one_size(count, size):
    seen, total = [], 0
    for indices, mask in batches(count, size):
        assert (indices.dtype, mask.dtype) == (np.int64, np.float32)
        assert indices.shape == mask.shape == (size,)
        assert ((indices >= 0) & (indices < count)).all()
        seen += indices[mask == 1].tolist()
        total += 1
    assert seen == list(range(count))
    assert total == -(-count // size)


def feed_of(count, size):
    for indices, mask in batches(count, size):
        yield {"labels": indices, "mask": mask}


def step(batch):
    """Calls images with an even index right, and gives image i the loss i."""
    mask, index = jnp.asarray(batch["mask"]), jnp.asarray(batch["labels"])
    return {"count": mask.sum(), "top1": (mask * (index % 2 == 0)).sum(), "log_loss": (mask * index).sum()}


def test_means_are_over_the_whole_split():
    assert evaluate_split(step, feed_of(103, 16), 103) == {
        "count": 103,
        "top1": 52 / 103,
        "top5": None,
        "log_loss": 51.0,
    }


@pytest.mark.parametrize(("fed", "count"), [(102, 103), (104, 103), (0, 103), (0, 0)])
def test_another_number_of_examples_is_an_error(fed, count):
    with pytest.raises(RunError, match=f"evaluation counted {fed} of {count} images"):
        evaluate_split(step, feed_of(fed, 16), count)


def test_sums_are_exact_beyond_float32():
    feed = [{}] * 3
    big = {"count": np.float32(2**24), "top1": np.float32(1), "log_loss": np.float32(0)}
    assert evaluate_split(lambda batch: big, feed, 3 * 2**24)["top1"] == 3 / (3 * 2**24)
    odd = iter([{**big, "count": np.float32(2**24)}, {**big, "count": np.float32(1)}])
    assert evaluate_split(lambda batch: next(odd), feed[:2], 2**24 + 1)["count"] == 2**24 + 1


def test_the_device_is_one_batch_ahead():
    events = []

    class Sum(float):
        """A scalar that tells when it is read."""

        def __float__(self):
            events.append("read")
            return float.__float__(self)

    def telling(batch):
        events.append("dispatch")
        return {"count": Sum(1), "top1": 1.0, "log_loss": 0.0}

    evaluate_split(telling, [{}] * 3, 3)
    assert events == ["dispatch", "dispatch", "read", "dispatch", "read", "read"]
