"""What prepare measures of a training set and the pipelines need: mean, deviation and principal color axes."""

from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
"""The usual figures (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) in levels of 0-255."""


@dataclass(frozen=True)
class Statistics:
    """Per-channel statistics of the training images in levels of 0-255.

    Attributes:
      mean, std: [C].
      covariance: [C, C] of the channels over all pixels.
      eigenvalues: [C], descending; their square roots are the deviations along the axes.
      eigenvectors: [C, C], one axis a column.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    eigenvalues: tuple[float, ...]
    eigenvectors: tuple[tuple[float, ...], ...]

    @property
    def scale(self) -> tuple[float, ...]:
        """The deviations to divide by: 1 for a channel that never varies."""
        return tuple(value if value > 1e-3 else 1.0 for value in self.std)

    @classmethod
    def from_moments(cls, count: int, total: np.ndarray, products: np.ndarray) -> "Statistics":
        """From exact sums over `count` pixels: `total` [C] of the values, `products` [C, C] of their outer products."""
        mean = total / count
        covariance = products / count - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
        order = np.argsort(values)[::-1]
        values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
        # An eigenvector's sign is free; fix it, so that the same images always give the same draws.
        vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), np.arange(len(values))] < 0, -1.0, 1.0)
        std = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return cls(_tuple(mean), _tuple(std), _tuple(covariance), _tuple(values), _tuple(vectors))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Statistics":
        return cls(**{name: _tuple(np.asarray(document[name])) for name in cls.__dataclass_fields__})


def _tuple(array: np.ndarray) -> Any:
    return tuple(_tuple(row) for row in array) if array.ndim > 1 else tuple(float(value) for value in array)


class Moments:
    """Exact sums over pixels, from which statistics are made; parts of a set add up in any order."""

    def __init__(self, channels: int):
        self.count = 0
        self.total = np.zeros(channels)
        self.products = np.zeros((channels, channels))

    def add(self, image: np.ndarray) -> None:
        # uint32 holds the sum of 65,536 products of two bytes, and float64 that of whole numbers below 2^53. BLAS, for
        # floats, takes twice as long, and would set threads of its own against those of the caller.
        pixels = image.reshape(-1, image.shape[2])
        self.count += len(pixels)
        for start in range(0, len(pixels), 1 << 16):
            bands = pixels[start : start + (1 << 16)].T.astype(np.uint32, order="C")
            self.total += bands.sum(1, dtype=np.uint32)
            self.products += np.einsum("ip,jp->ij", bands, bands)

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count, "total": self.total.tolist(), "products": self.products.tolist()}

    def add_json(self, document: dict[str, Any]) -> None:
        self.count += document["count"]
        self.total += np.asarray(document["total"])
        self.products += np.asarray(document["products"])

    def statistics(self) -> Statistics:
        return Statistics.from_moments(self.count, self.total, self.products)
