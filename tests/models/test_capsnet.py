"""CapsNet's parts against their formulas in NumPy float64: squash, routing by agreement, votes, reconstruction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.core.errors import UserError
from cnnjax.models import create_model, summarize
from cnnjax.models.capsnet import ClassCapsules, lengths, route, squash

KEY = jax.random.key(0)
SIDE = 17  # 17 -> 9 -> 1: the smallest image


def squashed(s):
    square = (s**2).sum(-1, keepdims=True)
    return square / (1 + square) * s / np.sqrt(square)


def routed(votes, iterations):
    """Procedure 1 of the paper, one image: u_hat [capsules, classes, atoms] -> v [classes, atoms]."""
    agreement = np.zeros(votes.shape[:2])
    for _ in range(iterations):
        shares = np.exp(agreement) / np.exp(agreement).sum(1, keepdims=True)
        outcome = squashed((shares[:, :, None] * votes).sum(0))
        agreement += (votes * outcome).sum(-1)
    return outcome


def test_squash_is_equation_1():
    vectors = np.random.default_rng(0).normal(size=(5, 3, 8)) * np.logspace(-4, 3, 5)[:, None, None]
    ours = squash(jnp.float32(vectors))
    np.testing.assert_allclose(ours, squashed(vectors), rtol=1e-5)
    assert (np.asarray(lengths(ours)) <= 1 + 1e-6).all()
    np.testing.assert_allclose(squash(jnp.array([3.0, 4.0])), np.array([0.6, 0.8]) * 25 / 26, rtol=1e-6)


def test_nothing_is_nan_at_the_zero_vector():
    zero = jnp.zeros((2, 8))
    assert not squash(zero).any()
    for function in (lengths, squash):
        np.testing.assert_array_equal(jax.grad(lambda x, f=function: f(x).sum())(zero), 0)
    # d squash / d s at s = x e1 is 2 x / (1 + x^2)^2 along e1, which goes to zero with x
    slope = jax.jacobian(squash)(jnp.array([0.5, 0.0]))
    np.testing.assert_allclose(slope, np.diag([2 * 0.5 / 1.25**2, 0.5 / 1.25]), rtol=1e-5)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_routing_is_procedure_1(iterations):
    votes = np.random.default_rng(0).normal(size=(4, 30, 5, 16))
    wanted = [routed(one, iterations) for one in votes]
    ours = route(jnp.float32(votes.transpose(0, 2, 1, 3)), iterations)
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)


def test_the_gradient_flows_through_all_iterations():
    votes = np.random.default_rng(0).normal(size=(1, 6, 3, 4))
    slope = jax.grad(lambda x: (route(x, 3)[0, 0] ** 2).sum())(jnp.float32(votes.transpose(0, 2, 1, 3)))
    for place in ((2, 1, 3), (5, 0, 0)):  # (capsule, class, atom), by central differences
        ends = []
        for step in (1e-5, -1e-5):
            moved = votes[0].copy()
            moved[place] += step
            ends.append((routed(moved, 3)[0] ** 2).sum())
        wanted = (ends[0] - ends[1]) / 2e-5
        assert slope[0, place[1], place[0], place[2]] == pytest.approx(wanted, rel=1e-3)


def test_every_capsule_votes_through_a_matrix_of_its_own():
    rng = np.random.default_rng(0)
    inputs, kernel = rng.normal(size=(2, 6, 8)), rng.normal(size=(6, 8, 3, 4))
    ours = ClassCapsules(3, 4).apply({"params": {"kernel": jnp.float32(kernel)}}, jnp.float32(inputs))
    for one, capsules in zip(inputs, ours, strict=True):
        votes = np.stack([(kernel[i].reshape(8, 12).T @ one[i]).reshape(3, 4) for i in range(6)])
        np.testing.assert_allclose(capsules, routed(votes, 3).ravel(), rtol=1e-4, atol=1e-6)


def test_images_too_small_for_two_layers_of_9_x_9():
    with pytest.raises(UserError, match="capsnet needs images of at least 17 x 17"):
        create_model("capsnet", input_size=(16, 20, 1))


def test_counts_of_the_parts():
    rows = {row.name: row for row in summarize(create_model("capsnet")).rows}
    assert {name: row.params for name, row in rows.items()} == {
        "input": 0,
        "conv1": 9 * 9 * 256 + 256,
        "primary": 9 * 9 * 256 * 256 + 256,
        "capsules": 6 * 6 * 32 * 10 * 8 * 16,
        "decoder.fc1": 160 * 512 + 512,
        "decoder.fc2": 512 * 1024 + 1024,
        "decoder.fc3": 1024 * 784 + 784,
    }
    assert (rows["conv1"].output_shape, rows["primary"].output_shape) == ((20, 20, 256), (6, 6, 256))


@pytest.fixture(scope="module")
def net():
    model = create_model("capsnet", 3, input_size=(SIDE, SIDE, 2))
    return model, model.init(KEY), jax.random.uniform(jax.random.key(1), (4, SIDE, SIDE, 2))


def test_outputs_are_lengths(net):
    model, variables, images = net
    apply = jax.jit(model.apply, static_argnames="method")
    features, outputs = apply(variables, images, method="features"), apply(variables, images)
    np.testing.assert_allclose(outputs, np.linalg.norm(features.reshape(4, 3, 16), axis=-1), rtol=1e-5)
    assert (outputs > 0).all()
    assert (outputs < 1).all()
    assert not apply(variables, jnp.zeros(images.shape)).any()
    assert np.any(outputs[0] != outputs[1])


def test_reconstruction_sees_the_capsule_of_the_target_alone(net):
    model, variables, images = net
    targets = jnp.eye(3)[jnp.array([0, 1, 2, 1])]

    def extra(params, capsules):
        return model.module.apply({"params": params}, images, capsules, targets, method="extra_loss")

    features = model.apply(variables, images, method="features")
    forward = model.apply_train(variables, images, KEY, targets=targets)
    np.testing.assert_allclose(forward.extra, extra(variables["params"], features), rtol=1e-5)
    assert model.apply_train(variables, images, KEY).extra is None

    slope = jax.grad(lambda capsules: extra(variables["params"], capsules).sum())(features).reshape(4, 3, 16)
    np.testing.assert_array_equal(np.any(slope, axis=-1), targets > 0)

    masked = np.asarray(features.reshape(4, 3, 16) * targets[..., None], np.float64).reshape(4, 48)
    layers = [variables["params"]["decoder"][name] for name in ("fc1", "fc2", "fc3")]
    values = masked
    for layer in layers[:2]:
        values = np.maximum(values @ layer["kernel"] + layer["bias"], 0)
    drawn = 1 / (1 + np.exp(-(values @ layers[2]["kernel"] + layers[2]["bias"])))
    wanted = 0.0005 * ((drawn - images.reshape(4, -1)) ** 2).sum(1)
    np.testing.assert_allclose(forward.extra, wanted, rtol=1e-4)


def test_bfloat16_keeps_lengths_and_losses_in_float32(net):
    exact, variables, images = net
    coarse = create_model("capsnet", 3, input_size=(SIDE, SIDE, 2), dtype="bfloat16")
    forward = coarse.apply_train(variables, images, KEY, targets=jnp.eye(3)[jnp.array([0, 1, 2, 1])])
    assert (forward.logits.dtype, forward.extra.dtype) == (jnp.float32, jnp.float32)
    np.testing.assert_allclose(forward.logits, exact.apply(variables, images), rtol=0.05, atol=0.005)
    assert {leaf.dtype for leaf in trees.flatten(coarse.shapes()).values()} == {jnp.dtype("float32")}
