"""Vision Transformer: an image as a sequence of patches, each of which looks at all others.

Names follow torchvision's. The only convolution cuts the image into patches; a class token goes before them, and the
logits are drawn from it alone. The embedding of the positions is a parameter, so the input size is part of the model.

Dropout stands where Dosovitskiy et al. 2020 put it (appendix B.1), behind the embedding and behind every dense layer
but the queries', keys' and values'; its rate is 0 unless `create_model(dropout=0.1)` sets that of their table 3.
"""

from dataclasses import dataclass
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
from flax import linen as nn

from cnnjax.core.arrays import Array
from cnnjax.models.base import Classifier, register_model
from cnnjax.models.blocks import Conv, Dense, Dropout, activation
from cnnjax.models.cards import Paper
from cnnjax.models.initializers import GLOROT, TORCH, Init, gaussian
from cnnjax.models.norm import LayerNorm

PAPER = Paper(
    "A. Dosovitskiy, L. Beyer, A. Kolesnikov, D. Weissenborn, X. Zhai, T. Unterthiner, M. Dehghani, M. Minderer, "
    "G. Heigold, S. Gelly, J. Uszkoreit, N. Houlsby",
    2020,
    "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale",
    "2010.11929",
)


@dataclass(frozen=True)
class Row:
    """One variant; Dosovitskiy et al. 2020, table 1.

    Attributes:
      patch: side in pixels.
      depth: number of layers.
      width: of a token; the hidden layer behind the attention is four times as wide.
    """

    patch: int
    depth: int
    width: int
    heads: int


NETS = {
    "vit_b_16": Row(16, depth=12, width=768, heads=12),
    "vit_b_32": Row(32, depth=12, width=768, heads=12),
    "vit_l_16": Row(16, depth=24, width=1024, heads=16),
    "vit_l_32": Row(32, depth=24, width=1024, heads=16),
    "vit_h_14": Row(14, depth=32, width=1280, heads=16),
}

# As torchvision draws them; nn.MultiheadAttention leaves its last kernel to PyTorch's default.
LECUN = Init(nn.initializers.lecun_normal(), GLOROT.bias)
OUT = Init(TORCH.kernel, GLOROT.bias)
HIDDEN = Init(GLOROT.kernel, lambda fan_in: nn.initializers.normal(1e-6))


class Tokens(nn.Module):
    """A map of patches [N, h, w, C] -> tokens [N, 1 + h w, C]: the class token, then the patches by rows.

    To each its position's embedding is added; for another size of map it is a parameter of another shape.
    """

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        count, height, width, channels = inputs.shape
        token = self.param("class_token", nn.initializers.zeros, (1, 1, channels), jnp.float32)
        shape = (1, 1 + height * width, channels)
        positions = self.param("pos_embedding", nn.initializers.normal(0.02), shape, jnp.float32)
        first = jnp.broadcast_to(token, (count, 1, channels))
        patches = inputs.reshape(count, height * width, channels)
        tokens = jnp.concatenate([first, patches], axis=1) + positions
        return Dropout(0.0, name="dropout")(tokens.astype(inputs.dtype), train)


class Attention(nn.Module):
    """Each token becomes the mean of all tokens' values, weighted by softmax(query . key / sqrt(d)), head by head.

    Vaswani et al. 2017 (1706.03762), equation 1. Queries, keys and values come from one dense layer, in this order; the
    weights are computed in float32.
    """

    heads: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        count, length, width = inputs.shape
        packed = Dense(3 * width, initial=GLOROT, name="in_proj")(inputs)
        parts = packed.reshape(count, length, 3, self.heads, width // self.heads)
        queries, keys, values = parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]
        scores = jnp.einsum("nqhd,nkhd->nhqk", queries, keys).astype(jnp.float32)
        weights = jax.nn.softmax(scores * (width // self.heads) ** -0.5).astype(inputs.dtype)
        means = jnp.einsum("nhqk,nkhd->nqhd", weights, values)
        return Dense(width, initial=OUT, name="out_proj")(means.reshape(inputs.shape))


class EncoderLayer(nn.Module):
    """y = x + attention(norm(x)), y + fc2(gelu(fc1(norm(y)))); Dosovitskiy et al. 2020, equations 2 and 3."""

    heads: int

    @nn.compact
    def __call__(self, inputs: Array, train: bool = False) -> Array:
        width = inputs.shape[-1]
        means = Attention(self.heads, name="self_attention")(LayerNorm(name="ln_1")(inputs))
        values = inputs + Dropout(0.0, name="dropout")(means, train)
        hidden = activation("gelu")(Dense(4 * width, initial=HIDDEN, name="fc1")(LayerNorm(name="ln_2")(values)))
        hidden = Dropout(0.0, name="dropout1")(hidden, train)
        return values + Dropout(0.0, name="dropout2")(Dense(width, initial=HIDDEN, name="fc2")(hidden), train)


class VisionTransformer(Classifier):
    """Patches, tokens, layers and a last norm; the dense layer sees the class token alone.

    Pixels at the right and the lower edge that fill no patch are left out.
    """

    row: Row

    def setup(self) -> None:
        row = self.row
        self.conv_proj = Conv(row.width, row.patch, stride=row.patch, initial=LECUN)
        self.tokens = Tokens()
        self.layers = tuple(f"encoder_layer_{number}" for number in range(row.depth))
        for name in self.layers:
            setattr(self, name, EncoderLayer(row.heads))
        self.ln, self.fc = LayerNorm(), Dense(self.num_classes, initial=gaussian(0.0))

    def features(self, images: Array, train: bool = False) -> Array:
        """[N, H, W, C] -> tokens [N, 1 + H W / patch^2, width], the class token first."""
        values = self.chain(["conv_proj", "tokens"], images, train)
        values = self.chain_each(self.layers, values, train)
        return self.chain(["ln"], values, train)

    def head(self, features: Array, train: bool = False) -> Array:
        """Tokens [N, T, C] -> [N, num_classes]."""
        return cast(Array, self.fc(features[:, 0]))


for name, row in NETS.items():
    register_model(name, paper=PAPER)(partial(VisionTransformer, row=row))
