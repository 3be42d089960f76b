"""Two images in one, with the targets to match: mixup and CutMix.

The partner of image i is image i - 1 of the batch (of the first, the last): the stream is shuffled, so a neighbor
is as good as a random image, and in a batch that devices share only one image a device has to travel. Every image
draws a weight of its own. Mixing is the one operation whose result depends on the batch.
"""

import jax
import jax.numpy as jnp

from cnnjax.augment import draw
from cnnjax.augment.geometry import box_mask
from cnnjax.core.arrays import Array


def mixup(keys: Array, images: Array, targets: Array, *, alpha: float) -> tuple[Array, Array]:
    """Returns convex combinations of images and of their targets, with weights of Beta(alpha, alpha).

    Zhang et al. 2017, arXiv:1710.09412, equation 1; the authors' code draws one weight a batch, this one an image.

    Args:
      keys: [N].
      images: float [N, H, W, C], normalized.
      targets: float [N, K].
      alpha: of the Beta distribution; 0.2 on ImageNet, 1 on CIFAR-10 in the paper.
    """
    weight = draw.beta(keys, alpha)
    pixels = weight[:, None, None, None]
    return pixels * images + (1 - pixels) * jnp.roll(images, 1, 0), _blend(targets, weight)


def cutmix(keys: Array, images: Array, targets: Array, *, alpha: float) -> tuple[Array, Array]:
    """Pastes a rectangle of the partner at the same place; targets are weighted by the areas as pasted.

    Yun et al. 2019, arXiv:1905.04899, equations 1 and 2: the rectangle has the image's aspect and a share 1 - lambda
    of its area, lambda ~ Beta(alpha, alpha), and its center anywhere; what the border cuts off stays the image's,
    in the targets too. Arguments as of `mixup`.
    """
    keys = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
    size = (images.shape[1], images.shape[2])
    extent = jnp.asarray(size, jnp.float32)
    half = jnp.floor(extent * jnp.sqrt(1 - draw.beta(keys[:, 0], alpha))[:, None]) / 2
    center = jnp.floor(draw.uniform(keys[:, 1], (2,)) * extent)
    first = jnp.clip(jnp.floor(center - half), 0, extent)
    last = jnp.clip(jnp.floor(center + half), 0, extent)
    mask = box_mask(jnp.concatenate([first, last - first], 1), size=size)
    weight = 1 - (last - first).prod(1) / extent.prod()
    return jnp.where(mask, jnp.roll(images, 1, 0), images), _blend(targets, weight)


def mix(keys: Array, images: Array, targets: Array, *, mixup_alpha: float, cutmix_alpha: float) -> tuple[Array, Array]:
    """Applies mixup, CutMix, either at random or neither (alpha 0); the first image's key chooses for the batch."""
    if mixup_alpha and cutmix_alpha:
        keys = jax.vmap(lambda key: jax.random.split(key, 2))(keys)
        return jax.lax.cond(
            jax.random.bernoulli(keys[0, 0]),
            lambda: mixup(keys[:, 1], images, targets, alpha=mixup_alpha),
            lambda: cutmix(keys[:, 1], images, targets, alpha=cutmix_alpha),
        )
    if mixup_alpha:
        return mixup(keys, images, targets, alpha=mixup_alpha)
    return cutmix(keys, images, targets, alpha=cutmix_alpha) if cutmix_alpha else (images, targets)


def _blend(targets: Array, weight: Array) -> Array:
    return weight[:, None] * targets + (1 - weight[:, None]) * jnp.roll(targets, 1, 0)
