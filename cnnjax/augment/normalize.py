"""From levels of 0-255 to what the network sees."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from cnnjax.config import AugmentConfig
from cnnjax.core.arrays import Array
from cnnjax.core.errors import UserError
from cnnjax.core.statistics import IMAGENET_MEAN, IMAGENET_STD, Statistics


def normalize(images: Array, config: AugmentConfig, statistics: Statistics) -> Array:
    """Shifts and scales every channel by constants.

    "mean" is AlexNet's (Krizhevsky et al. 2012, section 2), except that the paper subtracts the training set's mean at
    each pixel and this its mean over all pixels, one number a channel, which serves every crop. A channel that never
    varies keeps its scale under "dataset".

    Args:
      images: [..., C], levels of 0-255, of any dtype.
      config: normalize: dataset (or auto): (x - mean) / std; mean: x - mean; unit: x / 255; imagenet: (x - mean) / std
        of ImageNet; fixed: (x - config.mean) / config.std.
      statistics: of the training set.

    Returns:
      float32, the shape of `images`.

    Raises:
      UserError: the images have other channels than the statistics.
    """
    mean, std = _constants(config, statistics, images.shape[-1])
    # A product instead of a quotient: XLA does not turn a division by a constant array into one.
    return (images.astype(jnp.float32) - mean) * (1.0 / std)


def as_levels(config: AugmentConfig) -> AugmentConfig:
    """Returns the options with which a pipeline ends in levels of 0-255, before they are normalized."""
    return dataclasses.replace(config, normalize="fixed", mean=None, std=None)


def _constants(config: AugmentConfig, statistics: Statistics, channels: int) -> tuple[np.ndarray, np.ndarray]:
    mode = "dataset" if config.normalize == "auto" else config.normalize
    zeros, ones = (0.0,) * channels, (1.0,) * channels
    mean, std = {
        "fixed": (config.mean or zeros, config.std or ones),
        "dataset": (statistics.mean, statistics.scale),
        "mean": (statistics.mean, ones),
        "unit": (zeros, (255.0,) * channels),
        "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    }[mode]
    if len(mean) != channels:
        remedy = "prepare the data set again" if mode == "dataset" else "set config.augment.normalize=dataset"
        raise UserError(
            f"config.augment.normalize={mode} has figures for {len(mean)} channels, "
            f"the images have {channels}; {remedy}"
        )
    return np.asarray(mean, np.float32), np.asarray(std, np.float32)
