"""The crops of a picture whose predictions evaluation averages."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from cnnjax.core.arrays import Array
from cnnjax.core.registry import Registry

View: TypeAlias = Callable[[Array, tuple[int, int]], Array]

VIEWS: Registry[View] = Registry("view")
"""Names to f(images [N, H, W, C], (h, w)) -> [V, N, h, w, C]; pictures are at least h x w."""


@VIEWS.add("single")
def single(images: Array, size: tuple[int, int]) -> Array:
    """Returns the centre crop as the only view."""
    return _crop(images, size, (images.shape[1] - size[0]) // 2, (images.shape[2] - size[1]) // 2)[None]


@VIEWS.add("ten_crop")
def ten_crop(images: Array, size: tuple[int, int]) -> Array:
    """Returns the four corners and the centre, then the mirrors of these five.

    Krizhevsky et al. 2012, section 4.1, who average the ten predictions after the soft-max.
    """
    bottom, right = images.shape[1] - size[0], images.shape[2] - size[1]
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = jnp.stack([_crop(images, size, top, left) for top, left in places])
    return jnp.concatenate([crops, crops[:, :, :, ::-1]])


@VIEWS.add("mirror_shift")
def mirror_shift(images: Array, size: tuple[int, int]) -> Array:
    """Returns the centre, the same a pixel up and left and a pixel down and right, then the mirrors of these three.

    The edges are reflected. Jordan 2024 (arXiv 2404.00498, section 3.5) counts the centre twice.
    """
    centre = single(images, size)[0]
    wide = jnp.pad(centre, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    crops = jnp.stack([centre, _crop(wide, size, 0, 0), _crop(wide, size, 2, 2)])
    return jnp.concatenate([crops, crops[:, :, :, ::-1]])


def _crop(images: Array, size: tuple[int, int], top: int, left: int) -> Array:
    return images[:, top : top + size[0], left : left + size[1]]
