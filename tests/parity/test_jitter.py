"""Saturation and hue are changed as by torchvision's ColorJitter."""

import numpy as np
import pytest

from cnnjax.augment import color

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 17, 23, 3), np.uint8)


def torchvisions(name, factor):
    import torch
    from torchvision.transforms import functional

    tensor = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2) / np.float32(255))
    return getattr(functional, name)(tensor, factor).numpy().transpose(0, 2, 3, 1) * 255


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.9])
def test_saturation(torch_libraries, factor):
    expected = torchvisions("adjust_saturation", factor)
    # Its weights of gray sum to 0.9999 and not to 1.
    np.testing.assert_allclose(np.clip(color.saturated(IMAGES, factor), 0, 255), expected, atol=0.05)


@pytest.mark.parametrize("factor", [-0.5, -0.13, 0.0, 0.05, 0.27, 0.5])
def test_hue(torch_libraries, factor):
    expected = torchvisions("adjust_hue", factor)
    np.testing.assert_allclose(color.with_hue_turned(IMAGES, factor), expected, atol=0.01)


def test_gray_images_are_left_alone(torch_libraries):
    import torch
    from torchvision.transforms import functional

    gray = torch.from_numpy(IMAGES[..., :1].transpose(0, 3, 1, 2).copy())
    keys = np.zeros((4, 2), np.uint32)
    for name in ("saturation", "hue"):
        theirs = getattr(functional, f"adjust_{name}")(gray, 0.3).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(getattr(color, name)(keys, IMAGES[..., :1], amount=0.5), theirs)
