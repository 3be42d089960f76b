"""LeNet-5 of 1998, layer by layer: the paper's counts and figures, and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnnjax.core import trees
from cnnjax.models import create_model, summarize
from cnnjax.models.lenet import CONNECTED, DIGITS, Distance, Frame, PartialConv, Squashing, SubSampling, table

KEY = jax.random.key(0)


def test_counts_are_those_of_the_paper():
    rows = {row.name: row for row in summarize(create_model("lenet5_1998")).rows}
    counts = {
        "c1": 6 * (25 + 1),  # 156
        "s2": 6 * 2,
        "c3": 6 * (3 * 25 + 1) + 9 * (4 * 25 + 1) + (6 * 25 + 1),  # 1,516
        "s4": 16 * 2,
        "c5": 120 * (16 * 25 + 1),  # 48,120
        "f6": 84 * (120 + 1),  # 10,164
    }
    assert {name: row.params for name, row in rows.items() if row.params} == counts
    assert sum(counts.values()) == 60_000
    shapes = {"frame": (32, 32, 1), "c1": (28, 28, 6), "s2": (14, 14, 6), "c3": (10, 10, 16), "s4": (5, 5, 16)}
    shapes |= {"c5": (1, 1, 120), "f6": (84,), "output": (10,)}
    assert {name: rows[name].output_shape for name in shapes} == shapes
    assert rows["c3"].macs == 60 * 25 * 100


def test_the_connection_table():
    seen = table(CONNECTED)[0]
    assert seen.shape == (6, 16)
    for number in range(6):  # three neighbors, then four, counted in a ring
        assert set(np.flatnonzero(seen[:, number])) == {(number + step) % 6 for step in range(3)}
        assert set(np.flatnonzero(seen[:, 6 + number])) == {(number + step) % 6 for step in range(4)}
    assert [np.flatnonzero(seen[:, i]).tolist() for i in (12, 13, 14)] == [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]
    assert seen[:, 15].all()


def test_partial_convolution_sees_the_maps_of_its_table():
    layer = PartialConv(5)
    inputs = jax.random.normal(KEY, (1, 7, 6, 6))
    variables = layer.init(jax.random.key(1), inputs)
    outputs = np.asarray(layer.apply(variables, inputs))
    assert outputs.shape == (1, 3, 2, 16)
    kernel, bias = (np.asarray(variables["params"][name], np.float64) for name in ("kernel", "bias"))
    assert kernel.shape == (5, 5, 60)
    wanted = np.zeros((3, 2, 16)) + bias
    for number, (source, target) in enumerate(zip(*np.nonzero(table(CONNECTED)[0]), strict=True)):
        for row in range(3):
            for column in range(2):
                patch = np.asarray(inputs)[0, row : row + 5, column : column + 5, source]
                wanted[row, column, target] += (patch * kernel[:, :, number]).sum()
    np.testing.assert_allclose(outputs[0], wanted, rtol=1e-4, atol=1e-5)


def test_sub_sampling_sums_scales_and_shifts():
    inputs = jnp.arange(2 * 5 * 4 * 3, dtype=jnp.float32).reshape(2, 5, 4, 3)  # the fifth row fills no window
    params = {"scale": jnp.array([0.5, 1.0, -2.0]), "bias": jnp.array([1.0, 0.0, 3.0])}
    wanted = np.asarray(inputs)[:, :4].reshape(2, 2, 2, 2, 2, 3).sum((2, 4)) * params["scale"] + params["bias"]
    np.testing.assert_allclose(SubSampling().apply({"params": params}, inputs), wanted, rtol=1e-6)


def test_squashing_keeps_plus_and_minus_one():
    ours = Squashing().apply({}, jnp.array([-1e3, -1.0, 0.0, 1.0, 1e3]))
    np.testing.assert_allclose(ours, [-1.7159, -1, 0, 1, 1.7159], atol=1e-4)


def test_the_frame_is_background():
    image = jnp.full((1, 28, 28, 1), -0.4).at[:, 5:20, 5:20].set(2.8)
    framed = Frame(2).apply({}, image)
    assert framed.shape == (1, 32, 32, 1)
    np.testing.assert_array_equal(framed[:, 2:-2, 2:-2], image)
    assert (framed == jnp.float32(-0.4)).sum() == 32 * 32 - 15 * 15


def test_outputs_are_distances_to_the_drawings():
    drawings = table(DIGITS)
    assert drawings.shape == (10, 12, 7)
    codes = np.where(drawings, 1.0, -1.0).reshape(10, 84)
    squares = (codes[:, None] - codes) ** 2
    np.testing.assert_allclose(Distance(10).apply({}, jnp.float32(codes)), -squares.sum(-1), atol=1e-3)
    # Any two digits differ in at least 13 of the 84 pixels, each of which is a squared distance of 4.
    assert (squares.sum(-1)[~np.eye(10, dtype=bool)] >= 4 * 13).all()


@pytest.mark.parametrize("classes", [2, 7, 300])
def test_other_numbers_of_classes_have_codes_of_their_own(classes):
    origin = Distance(classes).apply({}, jnp.zeros((1, 84)))
    np.testing.assert_allclose(origin, -84)  # every code is of +-1
    shown = jax.jacobian(lambda x: Distance(classes).apply({}, x[None])[0])(jnp.zeros(84)) / 2
    assert set(np.unique(shown)) == {-1, 1}
    assert len(np.unique(shown, axis=0)) == classes
    np.testing.assert_array_equal(Distance(classes).apply({}, shown).argmax(1), np.arange(classes))
    assert trees.size(create_model("lenet5_1998", classes).shapes()["params"]) == 60_000


def test_it_begins_within_the_papers_bounds():
    params = create_model("lenet5_1998").init(KEY)["params"]
    fan_ins = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for path, leaf in trees.flatten(params).items():
        layer = path.partition("/")[0]
        if layer in fan_ins:
            assert np.abs(leaf).max() <= 2.4 / fan_ins[layer]
            assert leaf.size < 100 or np.abs(leaf).max() > 0.95 * 2.4 / fan_ins[layer]
    connections = table(CONNECTED)[0]
    per_plane = np.abs(params["c3"]["kernel"]).max((0, 1)) * 25 * connections.sum(0)[np.nonzero(connections)[1]]
    assert (per_plane <= 2.4001).all()
    assert (per_plane > 1.7).all()


def test_every_parameter_is_reached_and_sizes_may_differ():
    model = create_model("lenet5_1998", 4, input_size=(30, 32, 3))
    variables, images = model.init(KEY), jax.random.normal(KEY, (4, 30, 32, 3))
    slope = jax.grad(lambda params: jax.nn.log_softmax(model.apply({"params": params}, images))[:, 0].sum())
    gradients = jax.jit(slope)(variables["params"])
    assert [
        path for path, leaf in trees.flatten(gradients).items() if not np.all(np.isfinite(leaf) & (leaf != 0))
    ] == []
    with pytest.raises(Exception, match="lenet5_1998 needs images of at least 28 x 28"):
        create_model("lenet5_1998", input_size=(27, 27, 1))
