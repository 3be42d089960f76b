"""Beside the pipeline, baselines: what is run like a training and learns nothing.

Each is f(config, run folder, data_dir) -> the report, under the name that `config.model.name` calls it.
"""

from collections.abc import Callable
from typing import Any

from cnnjax.baselines.knn import run_knn

BASELINES: dict[str, Callable[..., dict[str, Any]]] = {"knn": run_knn}
