"""Each update rule against its published recurrence, written by hand in float64 NumPy, across a change of the rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.config import OptimizerConfig
from cnnjax.core.errors import UserError
from cnnjax.optim import OPTIMIZERS, optimizer, sam_gradient

RATES = [0.1, 0.1, 0.1, 0.01, 0.01, 0.05]


def problem(seed=0):
    """Parameters, and a gradient for every step."""
    rng = np.random.default_rng(seed)

    def tree():
        return {
            "conv1": {"kernel": rng.normal(size=(3, 3, 2, 4)), "bias": rng.normal(size=4)},
            "bn1": {"scale": rng.normal(size=4), "bias": rng.normal(size=4)},
        }

    return tree(), [tree() for _ in RATES]


def run(config, *, decay=True):
    """The library's parameters after each step, the update jitted once."""
    params, gradients = problem()
    params = jax.tree.map(jnp.float32, params)
    rule = optimizer(config, decay=decay)
    state = rule.init(params)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))

    @jax.jit
    def step(params, state, grads, lr):
        updates, state = rule.update(grads, state, params, lr=lr)
        return jax.tree.map(jnp.add, params, updates), state

    history = []
    for grads, lr in zip(gradients, RATES, strict=True):
        params, state = step(params, state, jax.tree.map(jnp.float32, grads), lr)
        history.append(params)
    assert step._cache_size() == 1
    return history


def by_hand(recurrence, decay_of):
    """The parameters after each step by a recurrence `f(w, g, lr, decay, memory, t) -> w`, leaf by leaf."""
    params, gradients = problem()
    memory = jax.tree.map(lambda _: {}, params)
    history = []
    for t, (grads, lr) in enumerate(zip(gradients, RATES, strict=True), start=1):
        params = {
            layer: {
                name: recurrence(w, grads[layer][name], lr, decay_of(name), memory[layer][name], t)
                for name, w in leaves.items()
            }
            for layer, leaves in params.items()
        }
        history.append(params)
    return history


def assert_same(history, expected):
    for ours, theirs in zip(history, expected, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), ours, theirs)


def alexnet_sgd(w, g, lr, decay, m, t):
    m["v"] = 0.9 * m.get("v", 0) - decay * lr * w - lr * g
    return w + m["v"]


def sgd(w, g, lr, decay, m, t):
    m["v"] = 0.9 * m.get("v", 0) + g + decay * w
    return w - lr * m["v"]


def nesterov(w, g, lr, decay, m, t):
    g = g + decay * w
    m["v"] = 0.9 * m.get("v", 0) + g
    return w - lr * (g + 0.9 * m["v"])


def adam_direction(g, m, t, eps=1e-3):
    m["m"] = 0.9 * m.get("m", 0) + 0.1 * g
    m["v"] = 0.95 * m.get("v", 0) + 0.05 * g**2
    return (m["m"] / (1 - 0.9**t)) / (np.sqrt(m["v"] / (1 - 0.95**t)) + eps)


def adam(w, g, lr, decay, m, t):
    return w - lr * adam_direction(g + decay * w, m, t)


def adamw(w, g, lr, decay, m, t):
    return (1 - lr * decay) * w - lr * adam_direction(g, m, t)


def rmsprop(w, g, lr, decay, m, t):
    g = g + decay * w
    m["s"] = 0.95 * m.get("s", 0) + 0.05 * g**2
    m["v"] = 0.9 * m.get("v", 0) + g / (np.sqrt(m["s"]) + 1e-3)
    return w - lr * m["v"]


def rmsprop_tf(w, g, lr, decay, m, t):
    g = g + decay * w
    m["s"] = 0.95 * m.get("s", 1) + 0.05 * g**2
    m["v"] = 0.9 * m.get("v", 0) + lr * g / np.sqrt(m["s"] + 1e-3)
    return w - m["v"]


def lamb(w, g, lr, decay, m, t, layerwise=True):
    r = adam_direction(g, m, t) + decay * w
    ratio = np.linalg.norm(w.ravel()) / np.linalg.norm(r.ravel()) if layerwise else 1
    return w - lr * ratio * r


def lars(w, g, lr, decay, m, t, layerwise=True):
    ratio = 0.001 * np.linalg.norm(w.ravel()) / (np.linalg.norm(g.ravel()) + decay * np.linalg.norm(w.ravel()))
    m["v"] = 0.9 * m.get("v", 0) + lr * (ratio if layerwise else 1) * (g + decay * w)
    return w - m["v"]


def lion(w, g, lr, decay, m, t):
    old = m.get("m", 0)
    m["m"] = 0.95 * old + 0.05 * g
    return w - lr * (np.sign(0.9 * old + 0.1 * g) + decay * w)


def newton_schulz(matrix, rounds):
    x = matrix / (np.sqrt((matrix**2).sum()) + 1e-7)
    for _ in range(rounds):
        x = 3.4445 * x - 4.7750 * x @ x.T @ x + 2.0315 * x @ x.T @ x @ x.T @ x
    return x


def muon_direction(w, g, m, rounds):
    """[out, in h w], as PyTorch keeps kernels."""
    m["v"] = 0.9 * m.get("v", 0) + g
    matrix = (g + 0.9 * m["v"]).transpose(3, 2, 0, 1).reshape(w.shape[3], -1)
    out, rest = matrix.shape
    kernel = newton_schulz(matrix, rounds).reshape(w.shape[3], w.shape[2], *w.shape[:2]).transpose(2, 3, 1, 0)
    return kernel, np.sqrt(max(1, out / rest))


def muon(w, g, lr, decay, m, t):
    if w.ndim != 4:
        return nesterov(w, g, lr, decay, m, t)
    direction, scale = muon_direction(w, g, m, 5)
    return w - lr * (scale * direction + decay * w)


def airbench_muon(w, g, lr, decay, m, t):
    if w.ndim != 4:
        return nesterov(w, g, lr, decay, m, t)
    return w * np.sqrt(w.shape[3]) / np.linalg.norm(w) - lr * muon_direction(w, g, m, 3)[0]


RECURRENCES = {
    "alexnet_sgd": alexnet_sgd,
    "sgd": sgd,
    "sam": sgd,
    "nesterov": nesterov,
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "rmsprop_tf": rmsprop_tf,
    "lamb": lamb,
    "lars": lars,
    "lion": lion,
    "muon": muon,
    "airbench_muon": airbench_muon,
}


def config(name, **changes):
    return OptimizerConfig(name=name, **({"b2": 0.95, "eps": 1e-3, "weight_decay": 0.03} | changes))


def test_every_rule_has_its_recurrence_here():
    assert set(RECURRENCES) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", RECURRENCES)
def test_rule_is_its_published_recurrence(name):
    assert_same(run(config(name)), by_hand(RECURRENCES[name], lambda leaf: 0.03))


@pytest.mark.parametrize("name", RECURRENCES)
def test_weight_decay_can_leave_out_biases_and_norms(name):
    recurrence = RECURRENCES[name]
    if name in ("lamb", "lars"):  # the layer-wise rate leaves out the same leaves

        def recurrence(w, g, lr, decay, m, t):
            return RECURRENCES[name](w, g, lr, decay, m, t, layerwise=decay > 0)

    expected = by_hand(recurrence, lambda leaf: 0.03 if leaf == "kernel" else 0.0)
    assert_same(run(config(name, decay_on="weights")), expected)


@pytest.mark.parametrize("name", RECURRENCES)
def test_weight_decay_can_be_switched_off(name):
    assert_same(run(config(name), decay=False), by_hand(RECURRENCES[name], lambda leaf: 0.0))


def test_alexnet_sgd_is_sgd_until_the_rate_changes():
    ours, other = run(config("alexnet_sgd")), run(config("sgd"))
    assert_same(ours[:3], other[:3])
    gap = np.abs(ours[3]["conv1"]["kernel"] - other[3]["conv1"]["kernel"])
    assert gap.max() > 0.1  # its velocity still holds steps of rate 0.1


def test_muon_gives_every_direction_of_a_kernel_the_same_step():
    kernel = np.random.default_rng(0).normal(size=(2, 2, 4, 24)) * np.geomspace(1, 0.05, 24)
    rule = optimizer(OptimizerConfig(name="muon", momentum=0.0, lr=0.1, other_lr=0.3))
    params = {"conv": {"kernel": jnp.float32(kernel), "bias": jnp.ones(24)}}
    updates, _ = rule.update(params, rule.init(params), params, lr=0.1)
    singular = np.linalg.svd(np.reshape(updates["conv"]["kernel"], (16, 24)), compute_uv=False)
    wide = 0.1 * np.sqrt(24 / 16)
    assert (0.6 * wide < singular).all()
    assert (singular < 1.3 * wide).all()
    np.testing.assert_allclose(updates["conv"]["bias"], -0.3, rtol=1e-6)


def test_no_momentum_is_plain_gradient_descent():
    expected = by_hand(lambda w, g, lr, decay, m, t: w - lr * g, lambda leaf: 0.0)
    for name in ("sgd", "alexnet_sgd", "nesterov"):
        assert_same(run(config(name, momentum=0.0, weight_decay=0.0)), expected)


def test_clipping_scales_all_gradients_to_the_global_norm():
    params, gradients = problem()
    rule = optimizer(OptimizerConfig(name="sgd", momentum=0.0, clip_norm=1.5))
    params, grads = jax.tree.map(jnp.float32, params), jax.tree.map(jnp.float32, gradients[0])
    norm = np.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(gradients[0])))
    assert norm > 1.5
    updates, _ = rule.update(grads, rule.init(params), params, lr=1.0)
    jax.tree.map(lambda u, g: np.testing.assert_allclose(u, -g * 1.5 / norm, rtol=1e-5), updates, gradients[0])

    small = jax.tree.map(lambda g: g / norm, grads)
    updates, _ = rule.update(small, rule.init(params), params, lr=1.0)
    jax.tree.map(lambda u, g: np.testing.assert_array_equal(u, -g), updates, small)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_layer_wise_rates_move_leaves_that_are_zero(name):
    params = {"conv1": {"kernel": jnp.ones((2, 2)), "bias": jnp.zeros(2)}}
    rule = optimizer(OptimizerConfig(name=name))
    updates, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params), params, lr=0.1)
    np.testing.assert_allclose(updates["conv1"]["bias"], -0.1, rtol=1e-5)
    still, _ = rule.update(jax.tree.map(jnp.zeros_like, params), rule.init(params), params, lr=0.1)
    assert all(not leaf.any() for leaf in jax.tree.leaves(still))


def test_unknown_optimizer_names_the_nearest():
    with pytest.raises(UserError, match="unknown optimizer adamm; did you mean adam"):
        optimizer(OptimizerConfig(name="adamm"))


def test_sam_takes_the_gradient_at_the_worst_point_nearby():
    """Of w A w / 2 the gradient is A w, so the ascended point can be written down."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(3, 3))
    matrix = matrix @ matrix.T
    w = rng.normal(size=3)

    def gradient(params):
        grad = {"w": jnp.float32(matrix) @ params["w"]}
        return grad, params["w"]

    grads, rest = jax.jit(lambda params: sam_gradient(gradient, params, 0.5))({"w": jnp.float32(w)})
    first = matrix @ w
    expected = matrix @ (w + 0.5 * first / np.linalg.norm(first))
    np.testing.assert_allclose(grads["w"], expected, rtol=1e-4)
    np.testing.assert_allclose(rest, w, rtol=1e-6)


def test_sam_survives_a_gradient_of_zero():
    grads, _ = sam_gradient(lambda params: (jax.tree.map(jnp.zeros_like, params), None), {"w": jnp.ones(3)}, 0.05)
    assert not grads["w"].any()
