"""Metrics of one's own, beside those that every evaluation has."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from cnnjax.core.arrays import HostArray
from cnnjax.core.registry import Registry, caller

Metric = Callable[[HostArray, HostArray], float]
Function = TypeVar("Function", bound=Metric)

METRICS: Registry[Metric] = Registry("metric")
"""Each takes probabilities float32 [N, K] and labels int [N], or 0 and 1 [N, K] of several, and returns a number."""


def register_metric(name: str) -> Callable[[Function], Function]:
    """Registers f(probabilities, labels) -> number as a metric that config.evaluate.metrics can name, see METRICS."""
    return METRICS.add(name, home=caller())


def measured(names: Sequence[str], probabilities: HostArray, labels: HostArray) -> dict[str, float]:
    """Returns the metrics `names` of a split, under the names without their module."""
    return {name.rpartition(":")[2]: float(METRICS[name](probabilities, labels)) for name in names}
