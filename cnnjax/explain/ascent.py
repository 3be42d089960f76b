"""Activation maximization: the image that a class, or a channel of a layer, answers to most."""

import jax
import jax.numpy as jnp
from jax import lax

from cnnjax.core import keys
from cnnjax.core.arrays import Array, Tree
from cnnjax.explain.cams import as_map
from cnnjax.explain.pixels import compiled, score
from cnnjax.models import Model
from cnnjax.models.inside import look_inside


@compiled("layer", "steps")
def maximize(
    model: Model,
    variables: Tree,
    units: Array,
    layer: str | None = None,
    *,
    low: Array | float = -2.0,
    high: Array | float = 2.0,
    steps: int = 256,
    rate: float = 0.05,
    smoothness: float = 0.5,
    jitter: int | None = None,
    seed: int = 0,
) -> Array:
    """Climbs from noise towards images that units answer to, by the gradient; without a check on it, that is noise.

    Simonyan, Vedaldi and Zisserman 2014 (1312.6034), section 2; Mahendran and Vedaldi 2016 (1512.02017) for the total
    variation and the jitter that keep it smooth. Each step has the same length, so that the score's scale is no matter.

    Args:
      units: int [N]: classes or, with a layer, channels.
      layer: its channels' means over the map are maximized; None: the class's logit.
      low, high: normalized levels of black and of white, [C] or one for all; images stay between them.
      rate: length of a step, root mean square, as a share of the range; it falls to zero in a half cosine.
      smoothness: weight of the total variation's gradient beside the score's.
      jitter: pixels by which the image is shifted at random each step; None: a sixteenth of its shorter side.

    Returns:
      float32 [N, h, w, C], normalized.
    """
    shape = (len(units), *model.input_size)
    reach = max(min(model.input_size[:2]) // 16, 1) if jitter is None else jitter
    low, high = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)

    def answer(images: Array) -> Array:
        logits, seen = look_inside(model, variables, images, [layer] if layer else [])
        if layer is None:
            return score(logits, units).sum()
        values = as_map(seen[layer]).mean((1, 2)) if seen[layer].ndim > 2 else seen[layer]
        return jnp.take_along_axis(values, units[:, None], 1).sum()

    def step(number: Array, images: Array) -> Array:
        key = keys.key(seed, "maximize", number + 1)
        shift = jax.random.randint(key, (2,), -reach, reach + 1)
        moved = jnp.roll(images, shift, (1, 2))
        uphill = _unit(jnp.roll(jax.grad(answer)(moved), -shift, (1, 2)))
        uphill -= smoothness * _unit(jax.grad(_variation)(images))
        length = rate * (1 + jnp.cos(jnp.pi * number / steps)) / 2
        return jnp.clip(images + length * (high - low) * _unit(uphill), low, high)

    noise = jax.random.normal(keys.key(seed, "maximize"), shape)
    start = (low + high) / 2 + 0.05 * (high - low) * noise
    return lax.fori_loop(0, steps, step, start)


def _unit(gradient: Array) -> Array:
    """Scaled to a root mean square of 1 in each image; zero stays zero."""
    size = jnp.sqrt(jnp.square(gradient).mean((1, 2, 3), keepdims=True))
    return gradient / jnp.maximum(size, 1e-20)


def _variation(images: Array) -> Array:
    """Sum of the squared differences of neighbors."""
    return sum(jnp.square(jnp.diff(images, axis=axis)).sum() for axis in (1, 2)) / 2  # type: ignore[return-value]
