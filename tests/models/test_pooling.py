"""Max-pooling by place against XLA's own, and against a loop over its windows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from cnnjax.models.pooling import max_pool_by_place

CASES = [
    ((3, 3), (2, 2), ((0, 0), (0, 0))),
    ((3, 3), (2, 2), ((1, 1), (1, 1))),
    ((3, 3), (2, 2), ((0, 1), (0, 1))),
    ((3, 2), (1, 3), ((1, 0), (0, 1))),
    ((2, 2), (2, 2), ((0, 0), (0, 0))),
]


def pulled(images, gradient, window, stride, padding):
    """Each window's gradient to its first largest value, one window after the other."""
    total = np.zeros_like(images)
    for n, y, x, c in np.ndindex(*gradient.shape):
        best, place = -np.inf, None
        for i, j in np.ndindex(*window):
            row, column = y * stride[0] + i - padding[0][0], x * stride[1] + j - padding[1][0]
            inside = 0 <= row < images.shape[1] and 0 <= column < images.shape[2]
            if inside and images[n, row, column, c] > best:
                best, place = images[n, row, column, c], (n, row, column, c)
        total[place] += gradient[n, y, x, c]
    return total


@pytest.mark.parametrize(("window", "stride", "padding"), CASES)
def test_place_of_the_largest_takes_the_gradient(window, stride, padding):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 4, (2, 7, 8, 3)).astype(np.float32)  # many ties
    plain = nn.max_pool(images, window_shape=window, strides=stride, padding=padding)
    pooled, pull = jax.vjp(lambda x: max_pool_by_place(x, window, stride, padding), images)
    np.testing.assert_array_equal(pooled, plain)
    np.testing.assert_array_equal(max_pool_by_place(images, window, stride, padding), plain)
    gradient = rng.normal(size=pooled.shape).astype(np.float32)
    (ours,) = pull(gradient)
    np.testing.assert_allclose(ours, pulled(images, gradient, window, stride, padding), rtol=1e-5, atol=1e-6)


def test_nothing_is_scattered(monkeypatch):
    """What XLA's deterministic mode cannot compile on a GPU is not in an overlapping pool's gradient there."""
    from cnnjax.models.pooling import MaxPool

    def gradient():
        pool = MaxPool(3, stride=2, padding=1)
        return str(jax.make_jaxpr(jax.grad(lambda x: pool.apply({}, x).sum()))(jnp.zeros((1, 8, 8, 1))))

    assert "select_and_scatter" in gradient()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.clear_caches()
    assert "scatter" not in gradient()
