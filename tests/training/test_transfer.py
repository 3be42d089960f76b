"""Beginning with another run's weights: a first convolution for other channels; the rest is in test_convert.py."""

import numpy as np
import pytest

from cnnjax.runs import transfer

pytestmark = pytest.mark.usefixtures("no_curves")


@pytest.mark.parametrize("channels", [1, 2, 13])
def test_a_gray_image_looks_the_same_through_other_channels(channels):
    kernel = np.random.default_rng(0).standard_normal((3, 3, 3, 4), np.float32)
    adapted = transfer.adapt_channels(kernel, channels)
    assert adapted.shape == (3, 3, channels, 4)
    np.testing.assert_allclose(adapted.sum(2), kernel.sum(2), atol=1e-5)
