"""The crops of an image whose predictions evaluation averages."""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from cnnjax.core.arrays import Array, center
from cnnjax.core.registry import Registry, caller

View: TypeAlias = Callable[[Array, tuple[int, int]], Array]

VIEWS: Registry[View] = Registry("view")
"""Names to f(images [N, H, W, C], (h, w)) -> [V, N, h, w, C], the center first; images are at least h x w."""


def register_view(name: str) -> Callable[[View], View]:
    """Registers f(images, (h, w)) -> crops as views that config.evaluate.views can name, see VIEWS."""
    return VIEWS.add(name, home=caller())


@VIEWS.add("single")
def single(images: Array, size: tuple[int, int]) -> Array:
    """Returns the center crop as the only view."""
    return _crop(images, size, *center(images.shape[1:3], size))[None]


@VIEWS.add("ten_crop")
def ten_crop(images: Array, size: tuple[int, int]) -> Array:
    """Returns the center and the four corners, then the mirrors of these five.

    Krizhevsky et al. 2012, section 4.1, who average the ten predictions after the softmax.
    """
    bottom, right = images.shape[1] - size[0], images.shape[2] - size[1]
    places = [center(images.shape[1:3], size), (0, 0), (0, right), (bottom, 0), (bottom, right)]
    return _mirrored(jnp.stack([_crop(images, size, top, left) for top, left in places]))


@VIEWS.add("flip")
def flip(images: Array, size: tuple[int, int]) -> Array:
    """Returns the center crop and its mirror."""
    return _mirrored(single(images, size))


@VIEWS.add("dense")
def dense(images: Array, size: tuple[int, int]) -> Array:
    """Returns the whole image and its mirror, over whose map the head is moved (`Model.apply_dense`).

    Simonyan and Zisserman 2014, section 3.2. `size` is not needed.
    """
    return _mirrored(images[None])


@VIEWS.add("mirror_shift")
def mirror_shift(images: Array, size: tuple[int, int]) -> Array:
    """Returns the center, the same a pixel up and left and a pixel down and right, then the mirrors of these three.

    The edges are reflected. Jordan 2024 (arXiv 2404.00498, section 3.5) counts the center twice.
    """
    middle = single(images, size)[0]
    wide = jnp.pad(middle, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return _mirrored(jnp.stack([middle, _crop(wide, size, 0, 0), _crop(wide, size, 2, 2)]))


def _mirrored(views: Array) -> Array:
    return jnp.concatenate([views, views[:, :, :, ::-1]])


def _crop(images: Array, size: tuple[int, int], top: int, left: int) -> Array:
    return images[:, top : top + size[0], left : left + size[1]]
