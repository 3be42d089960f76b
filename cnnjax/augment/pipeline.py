"""The order of the operations, as law, in training and in evaluation.

Training: cut (center, pad and random crop, random resized crop, or random scale and crop) -> mirrors -> affine warp ->
brightness, contrast, saturation, hue, channel shift, PCA color, noise -> random erasing -> normalize -> mixup or
CutMix. Up to normalize values are levels of 0-255, and they stay bytes until an operation needs fractions. Mirrors come
before the warp, whose draws are symmetric, because behind it XLA would compute the warp once for either side: 212 ms
instead of 87 for 128 images of 224 x 224 on two CPU cores.

Evaluation: to the standard frame -> to the scale -> the views' crops -> normalize.

A batch may lie on canvases, each image in the top left corner of its own with its true size in `sizes`. Except where
training cuts at random out of the whole image (crop=resized, scaled), a canvas is first brought to the standard
frame: the shorter side resized to input side / eval_resize and the center cut out, so that the crops find images of
one size.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax.numpy as jnp

from cnnjax.augment import color, geometry, operations
from cnnjax.augment.draw import Op, by_operation
from cnnjax.augment.erase import erase
from cnnjax.augment.mix import mix
from cnnjax.augment.normalize import normalize
from cnnjax.augment.policy import resolve
from cnnjax.config import AugmentConfig
from cnnjax.core.arrays import Array, Size, center
from cnnjax.core.errors import UserError
from cnnjax.core.keys import per_image
from cnnjax.core.statistics import Statistics

Views: TypeAlias = Callable[[Array, Size], Array]


def train_pipeline(
    config: AugmentConfig, *, seed: int, statistics: Statistics, input_size: Size, plain: bool = False
) -> Callable[..., tuple[Array, Array]]:
    """Returns f(images, targets, positions, sizes=None, turned=None) -> (images, targets), for inside the jitted step.

    An image's draws depend on `seed` and its position alone, and not on its place in the batch, on the batch's size or
    on which other operations are on (mixing excepted, which needs a partner).

    Args:
      config: the options; a preset is resolved here.
      seed: `train.seed`.
      statistics: of the training set.
      input_size: (h, w) that the model sees.
      plain: draw nothing and prepare the images as evaluation does with a single view (`train.overfit`).

    Returns:
      A function of images uint8 [N, H, W, C], targets float32 [N, K], positions uint32 [N] in the sample stream, sizes
      int32 [N, 2] of images on canvases and turned uint8 [N], which images are mirrored in this epoch. It returns
      float32 [N, h, w, C] and [N, K]. While it is traced it raises UserError where the images are smaller than the
      input.
    """
    config = resolve(config)

    def pipeline(
        images: Array, targets: Array, positions: Array, sizes: Array | None = None, turned: Array | None = None
    ) -> tuple[Array, Array]:
        if plain:
            framed = _checked(_standard(config, images, sizes, input_size), input_size)
            framed = geometry.center_crop(framed, input_size)
            return normalize(framed, config, statistics), targets
        own = per_image(seed, "augment", positions)
        keys = by_operation(own)
        images = _cut(config, keys, images, sizes, input_size)
        if config.alternate and turned is not None:
            images = jnp.where(turned[:, None, None, None] > 0, jnp.flip(images, 2), images)
        images = _move(config, keys, images)
        images = operations.apply(config.operations, "geometry", own, images)
        images = _color(config, keys, own, images, statistics)
        if config.erase:
            images = erase(keys[:, Op.ERASE], images, probability=config.erase)
        images = normalize(images, config, statistics)
        images = operations.apply(config.operations, "normalized", own, images)
        return mix(keys[:, Op.MIX], images, targets, mixup_alpha=config.mixup, cutmix_alpha=config.cutmix)

    return pipeline


def eval_pipeline(
    config: AugmentConfig, *, statistics: Statistics, input_size: Size, views: Views, prepared_for: Size | None = None
) -> Callable[..., Array]:
    """Returns f(images, sizes=None, scale=1.0) -> float32 [V, N, h, w, C], the normalized views of every image.

    Args:
      config: the options.
      statistics: of the training set.
      input_size: (h, w) that the model sees.
      views: f(images [N, H, W, C], (h, w)) -> [V, N, h, w, C]; it is handed in, since augment knows no evaluation.
      prepared_for: the input (h, w) that the images' size was meant for; they grow as the input does, so that the
        same part of them is seen. None: `input_size`.
    """
    growth = [new / old for new, old in zip(input_size, prepared_for or input_size, strict=True)]

    def pipeline(images: Array, sizes: Array | None = None, scale: float = 1.0) -> Array:
        framed = _standard(config, images, sizes, input_size, scale)
        if framed is images:  # a standard frame goes by the input already
            height, width = (round(side * scale * more) for side, more in zip(images.shape[1:3], growth, strict=True))
            if (height, width) != images.shape[1:3]:
                framed = geometry.resample(images, geometry.whole_boxes(images), size=(height, width))
        return normalize(views(_checked(framed, input_size), input_size), config, statistics)

    return pipeline


def center_view(
    config: AugmentConfig, size: Size, input_size: Size, *, canvas: bool = False
) -> tuple[float, float, float, float]:
    """The part (top, left, bottom, right) of an image that evaluation's center crop shows, in the image's pixels.

    Args:
      size: (height, width) of the prepared image, on a canvas its true one.
      input_size: (h, w) that the model sees.
      canvas: whether it lies on one.
    """
    if not canvas and config.crop not in ("resized", "scaled"):
        top, left = center(size, input_size)
        return float(top), float(left), float(top + input_size[0]), float(left + input_size[1])
    scale = config.eval_resize * min(size[0] / input_size[0], size[1] / input_size[1])
    height, width = scale * input_size[0], scale * input_size[1]
    return (size[0] - height) / 2, (size[1] - width) / 2, (size[0] + height) / 2, (size[1] + width) / 2


def _standard(config: AugmentConfig, images: Array, sizes: Array | None, size: Size, scale: float = 1.0) -> Array:
    """Brings canvases, and all images of a recipe of resized crops, to the frame out of which evaluation cuts.

    The frame holds the same part of an image at any scale.
    """
    if sizes is None and config.crop not in ("resized", "scaled"):
        return images
    sizes = geometry.whole(images) if sizes is None else sizes
    # The margins are whole pixels on both sides, so that the center crop is exactly eval_resize of the shorter side.
    margins = [int((side / config.eval_resize - side) / 2) for side in size]
    frame = (size[0] + 2 * margins[0], size[1] + 2 * margins[1])
    magnification = config.eval_resize * (sizes / jnp.asarray(size, jnp.float32)).min(1)
    boxes = geometry.center_boxes(sizes, size=frame, magnification=magnification)
    return geometry.resample(images, boxes, size=(round(frame[0] * scale), round(frame[1] * scale)))


def _cut(config: AugmentConfig, keys: Array, images: Array, sizes: Array | None, size: Size) -> Array:
    if config.crop == "resized":
        sizes = geometry.whole(images) if sizes is None else sizes
        boxes = geometry.resized_boxes(keys[:, Op.CROP], sizes, scale=config.scale, ratio=config.ratio)
        return geometry.resample(images, boxes, size=size)
    if config.crop == "scaled":
        if config.shorter[0] < max(size):
            raise UserError(
                f"config.augment.shorter={config.shorter[0]},{config.shorter[1]} begins below the model's input of "
                f"{size[0]} x {size[1]}; let it begin at {max(size)} or above"
            )
        sizes = geometry.whole(images) if sizes is None else sizes
        boxes = geometry.scaled_boxes(keys[:, Op.CROP], sizes, size=size, shorter=config.shorter)
        return geometry.resample(images, boxes, size=size)
    images = _standard(config, images, sizes, size)
    if config.crop == "center":
        return geometry.center_crop(_checked(images, size), size)
    return geometry.random_crop(
        keys[:, Op.CROP], _checked(images, size, pad=config.pad), size=size, pad=config.pad, fill=config.pad_fill
    )


def _move(config: AugmentConfig, keys: Array, images: Array) -> Array:
    if config.flip:
        images = geometry.mirror(keys[:, Op.FLIP], images, axis=2)
    if config.vertical_flip:
        images = geometry.mirror(keys[:, Op.VERTICAL_FLIP], images, axis=1)
    if not (config.rotation or any(config.shift) or config.shear or config.zoom):
        return images
    matrices = geometry.affine_matrices(
        keys[:, Op.WARP],
        (images.shape[1], images.shape[2]),
        rotation=config.rotation,
        shift=config.shift,
        shear=config.shear,
        zoom=config.zoom,
    )
    return geometry.warp(images, matrices, fill=config.fill)


def _color(config: AugmentConfig, keys: Array, own: Array, images: Array, statistics: Statistics) -> Array:
    """Applies the color operations and clips once; if PCA color is the only one it does not, as AlexNet's code."""
    if config.brightness:
        images = color.brightness(keys[:, Op.BRIGHTNESS], images, amount=config.brightness)
    if config.contrast:
        images = color.contrast(keys[:, Op.CONTRAST], images, amount=config.contrast)
    if config.saturation:
        images = color.saturation(keys[:, Op.SATURATION], images, amount=config.saturation)
    if config.hue:
        images = color.hue(keys[:, Op.HUE], images, amount=config.hue)
    if config.channel_shift:
        images = color.channel_shift(keys[:, Op.CHANNEL_SHIFT], images, levels=config.channel_shift)
    if config.pca:
        images = color.pca(keys[:, Op.PCA], images, statistics=statistics, deviation=config.pca, scale=config.pca_scale)
    if config.noise:
        images = color.noise(keys[:, Op.NOISE], images, deviation=config.noise)
    images = operations.apply(config.operations, "color", own, images)
    leaving = ("brightness", "contrast", "saturation", "hue", "channel_shift", "noise", "operations")
    return jnp.clip(images, 0, 255) if any(getattr(config, name) for name in leaving) else images


def _checked(images: Array, size: Size, *, pad: int = 0) -> Array:
    height, width = images.shape[1:3]
    if height + 2 * pad < size[0] or width + 2 * pad < size[1]:
        raise UserError(
            f"images are {height} x {width} but the model's input is {size[0]} x {size[1]}; "
            "set config.data.resize and config.data.size"
        )
    return images
