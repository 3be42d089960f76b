"""scikit-learn's bundled scans: 1,797 digits of 8 x 8 (Alpaydin and Kaynak 1998), the default, never downloaded."""

from pathlib import Path

import numpy as np

from cnnjax.config import DataConfig
from cnnjax.data.sources import Source, from_arrays


def open_source(kind: str, place: str, config: DataConfig, data_dir: Path) -> Source:
    """The levels 0..16 of the scans become 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return Source(tuple("0123456789"), {"train": from_arrays(images, digits.target.astype(np.int32), "digits")})
