import jax
import numpy as np
import pytest
import scipy.stats

from cnnjax.augment.mix import cutmix, mix, mixup

cutmix, mixup = jax.jit(cutmix), jax.jit(mixup)

COUNT, HEIGHT, WIDTH = 1000, 12, 16


@pytest.fixture(scope="module")
def batch():
    """Image i is i everywhere and its target is its own class."""
    images = np.broadcast_to(np.arange(COUNT, dtype=np.float32)[:, None, None, None], (COUNT, HEIGHT, WIDTH, 2))
    return jax.random.split(jax.random.key(0), COUNT), images, np.eye(COUNT, dtype=np.float32)


def own_weights(targets):
    """What each image keeps; all that is not its own belongs to the image before."""
    targets, index = np.asarray(targets), np.arange(COUNT)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(targets[index, index] + targets[index, index - 1], 1, atol=1e-6)
    return targets[index, index]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_combines_images_as_it_combines_targets(batch, alpha):
    keys, images, targets = batch
    mixed, mixed_targets = mixup(keys, images, targets, alpha=alpha)
    weights = own_weights(mixed_targets)
    expected = weights[:, None, None, None] * images + (1 - weights)[:, None, None, None] * np.roll(images, 1, 0)
    np.testing.assert_allclose(mixed, expected, atol=1e-3)
    assert scipy.stats.kstest(weights, scipy.stats.beta(*(alpha, alpha)).cdf).pvalue > 1e-3


def test_cutmix_weighs_targets_by_the_pasted_pixels(batch):
    keys, images, targets = batch
    mixed, mixed_targets = cutmix(keys, images, targets, alpha=1.0)
    pasted = np.asarray(mixed)[..., 0] != images[..., 0]
    assert (np.asarray(mixed)[..., 0][pasted] == np.roll(images, 1, 0)[..., 0][pasted]).all()
    np.testing.assert_allclose(own_weights(mixed_targets), 1 - pasted.mean((1, 2)), atol=1e-6)
    for one in pasted:
        rows, columns = np.where(one)
        assert not len(rows) or len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_cutmix_draws_boxes_as_its_authors_do(batch):
    generator, theirs = np.random.default_rng(0), []
    for _ in range(COUNT):  # rand_bbox of the released code
        ratio = np.sqrt(1 - generator.beta(1.0, 1.0))
        h, w = int(HEIGHT * ratio), int(WIDTH * ratio)
        y, x = generator.integers(HEIGHT), generator.integers(WIDTH)
        rows = np.clip(y + h // 2, 0, HEIGHT) - np.clip(y - h // 2, 0, HEIGHT)
        columns = np.clip(x + w // 2, 0, WIDTH) - np.clip(x - w // 2, 0, WIDTH)
        theirs.append(rows * columns / (HEIGHT * WIDTH))
    keys, images, targets = batch
    ours = 1 - own_weights(cutmix(keys, images, targets, alpha=1.0)[1])
    # Theirs loses a pixel of every odd side, which is a tenth of so small an image's side.
    assert abs(ours.mean() - np.mean(theirs)) < 0.05
    assert abs(ours.std() - np.std(theirs)) < 0.05


def test_with_both_on_each_batch_takes_one_by_its_first_key(batch):
    images, targets = batch[1][:8], batch[2][:8, :8]
    either, taken = jax.jit(lambda keys: mix(keys, images, targets, mixup_alpha=1.0, cutmix_alpha=1.0)[0]), []
    for seed in range(40):
        mixed = either(jax.random.split(jax.random.key(seed), 8))
        taken.append(bool((np.asarray(mixed) % 1 > 0).any()))  # only mixup makes fractions of whole numbers
    assert 8 <= sum(taken) <= 32


def test_with_neither_on_nothing_changes(batch):
    mixed, targets = mix(*batch, mixup_alpha=0.0, cutmix_alpha=0.0)
    assert mixed is batch[1]
    assert targets is batch[2]
