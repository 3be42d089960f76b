"""The Vision Transformer: where dropout stands."""

import jax
import numpy as np
from flax import linen as nn

from cnnjax.models.base import MODELS
from cnnjax.models.blocks import Dense, Dropout
from cnnjax.models.model import Model
from cnnjax.models.vit import NETS, Row, VisionTransformer

ROW = Row(patch=4, depth=2, width=8, heads=2)


def small(dropout):
    card = MODELS[next(iter(NETS))].card
    return Model("small", card, 3, (8, 8, 3), VisionTransformer(num_classes=3, row=ROW), dropout=dropout)


def test_dropout_stands_behind_the_embedding_and_every_dense_layer_but_the_attentions_first():
    model, seen = small(0.5), {}
    variables = model.init(jax.random.key(0))
    flat = jax.tree.map(lambda leaf: leaf + 1.0, variables)  # no branch begins at zero
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32)

    def watch(run, args, kwargs, context):
        outputs = run(*args, **kwargs)
        if context.method_name == "__call__" and isinstance(context.module, Dense | Dropout):
            kind = type(context.module).__name__
            seen[context.module.path] = (kind, outputs.shape[-1], float((outputs == 0).mean()))
        return outputs

    with nn.intercept_methods(watch):
        model.apply_train(flat, images, jax.random.key(1))
    layer = ["Dense", "Dense", "Dropout", "Dense", "Dropout", "Dense", "Dropout"]  # q, k, v; out; fc1; fc2
    assert [kind for kind, *_ in seen.values()] == ["Dropout", *layer, *layer, "Dense"]
    assert [width for kind, width, _ in seen.values() if kind == "Dropout"] == [8, 8, 32, 8, 8, 32, 8]
    assert all(0.2 < zeros < 0.8 for kind, _, zeros in seen.values() if kind == "Dropout")


def test_without_a_rate_training_draws_nothing():
    images = np.random.default_rng(0).standard_normal((2, 8, 8, 3), np.float32)
    plain, dropping = small(None), small(0.1)
    variables = plain.init(jax.random.key(0))
    variables["params"]["fc"]["kernel"] = jax.random.normal(jax.random.key(2), (8, 3))
    evaluated = plain.apply(variables, images)
    np.testing.assert_allclose(dropping.apply(variables, images), evaluated, rtol=1e-6)
    np.testing.assert_allclose(plain.apply_train(variables, images, jax.random.key(1)).logits, evaluated, rtol=1e-5)
    assert np.abs(dropping.apply_train(variables, images, jax.random.key(1)).logits - evaluated).max() > 1e-3
