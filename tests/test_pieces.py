"""The pieces for a loop of one's own give what training by config gets."""

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.core.errors import UserError
from cnnjax.data import TrainingRows


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 8, 10, 3), np.uint8)
    labels = np.arange(90) % 3
    images[labels == 1, :, :5] //= 4
    images[labels == 2, :, 5:] //= 4
    test = images[:12] ^ 1, labels[:12]
    return cnnjax.dataset(images, labels, test=test, class_names=("a", "b", "c"), val_fraction=0.2), images


def test_a_data_set_of_arrays_has_their_images(made):
    data, images = made
    assert (data.class_names, data.shape) == (("a", "b", "c"), (8, 10, 3))
    assert data.counts == {"train": 72, "val": 18, "test": 12}
    np.testing.assert_array_equal(data.split("test").gather(np.arange(12)), images[:12] ^ 1)
    again = cnnjax.dataset(
        images, np.arange(90) % 3, test=(images[:12] ^ 1, np.arange(12) % 3), class_names="abc", val_fraction=0.2
    )
    assert again == data, "the same arrays are the same set"


@pytest.mark.parametrize("resident", [True, False])
def test_batches_are_those_of_training_and_resumable(made, resident):
    split = made[0].split("train")
    whole = list(cnnjax.loader(split, 16, seed=3, epochs=2, resident=resident))
    assert len(whole) == 9
    rows = TrainingRows(3, 72, 16, start=0, stop=9)
    for batch, row in zip(whole, rows, strict=True):
        np.testing.assert_array_equal(batch["images"], split.gather(row["index"]))
        np.testing.assert_array_equal(batch["labels"], split.labels[row["index"]])
        np.testing.assert_array_equal(batch["position"], row["position"])
    rest = list(cnnjax.loader(split, 16, seed=3, epochs=2, start=6, resident=resident))
    jax.tree.map(np.testing.assert_array_equal, rest, whole[6:])
    endless = cnnjax.loader(split, 16, seed=3, resident=resident)
    jax.tree.map(np.testing.assert_array_equal, [next(endless) for _ in range(9)], whole)


def test_batches_that_the_devices_cannot_share(made):
    with pytest.raises(UserError, match="batch_size=12 is not divisible by 8 devices"):
        cnnjax.loader(made[0].split("train"), 12)


def test_a_loop_of_ones_own_learns_and_is_evaluated(made, mesh):
    data, _ = made
    model = cnnjax.create_model("softmax", 3, input_size=data.shape)
    augment = cnnjax.augmentation(cnnjax.AugmentConfig(brightness=0.1), data, model)
    variables = jax.tree.map(np.array, model.init(jax.random.key(0)))

    @jax.jit
    def step(params, batch):
        images, targets = augment(batch)

        def loss(params):
            logits = model.apply({**variables, "params": params}, images)
            return -(targets * jax.nn.log_softmax(logits)).sum(-1).mean()

        return jax.tree.map(lambda leaf, slope: leaf - 0.05 * slope, params, jax.grad(loss)(params))

    params = variables["params"]
    for batch in cnnjax.loader(data.split("train"), 8, epochs=20, mesh=mesh(2)):
        params = step(params, batch)
    found = cnnjax.evaluate_variables(model, {**variables, "params": params}, data, "val", mesh=mesh(2))
    assert (found["count"], found["top1"]) == (18, 1.0)
    assert found["log_loss"] < cnnjax.evaluate_variables(model, variables, data, "val")["log_loss"]
