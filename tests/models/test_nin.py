"""NiN and All-CNN-C: maps and counts by layer."""

import jax
import jax.numpy as jnp

from cnnjax.models import create_model, summarize


def rows_of(name):
    return {row.name: row for row in summarize(create_model(name)).rows}


def test_all_cnn_by_layer():
    rows = rows_of("all_cnn")
    counts = [2_688, 83_040, 83_040, 166_080, 331_968, 331_968, 331_968, 37_056, 1_930]
    assert [rows[f"conv{number}"].params for number in range(1, 10)] == counts
    assert sum(counts) == summarize(create_model("all_cnn")).params == 1_369_738
    sides = [32, 32, 16, 16, 16, 8, 6, 6, 6]
    assert [rows[f"conv{number}"].output_shape[0] for number in range(1, 10)] == sides


def test_maps_of_the_nins():
    rows = rows_of("nin")
    assert [rows[f"conv{number}"].output_shape[0] for number in range(1, 5)] == [54, 27, 13, 6]
    rows = rows_of("nin_cifar")
    assert [rows[f"conv{number}"].output_shape[0] for number in range(1, 4)] == [32, 16, 8]


def test_features_are_the_maps_before_those_of_the_classes():
    for name, width in {"nin": 1024, "nin_cifar": 192, "all_cnn": 192}.items():
        model = create_model(name, 7)
        images = jax.ShapeDtypeStruct((2, *model.input_size), jnp.float32)
        features = jax.eval_shape(
            lambda variables, images, model=model: model.apply(variables, images, method="features"),
            model.shapes(),
            images,
        )
        assert features.shape[0] == 2
        assert features.shape[-1] == width
