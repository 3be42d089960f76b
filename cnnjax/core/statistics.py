"""What prepare measures of a training set and the pipelines need: mean, deviation and principal colour axes."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Statistics:
    """Per-channel statistics of the training pictures in levels of 0-255.

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

    @classmethod
    def from_moments(cls, count: int, total: np.ndarray, products: np.ndarray) -> "Statistics":
        """From exact sums over `count` pixels: `total` [C] of the values, `products` [C, C] of their outer products."""
        mean = total / count
        covariance = products / count - np.outer(mean, mean)
        values, vectors = np.linalg.eigh(covariance)
        order = np.argsort(values)[::-1]
        values, vectors = np.maximum(values[order], 0.0), vectors[:, order]
        # An eigenvector's sign is free; fix it, so that the same pictures always give the same draws.
        vectors = vectors * np.where(vectors[np.abs(vectors).argmax(0), np.arange(len(values))] < 0, -1.0, 1.0)
        std = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        return cls(_tuple(mean), _tuple(std), _tuple(covariance), _tuple(values), _tuple(vectors))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Statistics":
        return cls(**{name: _tuple(np.asarray(document[name])) for name in cls.__dataclass_fields__})


def _tuple(array: np.ndarray) -> Any:
    return tuple(_tuple(row) for row in array) if array.ndim > 1 else tuple(float(value) for value in array)
