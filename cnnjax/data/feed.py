"""Host arrays onto the devices, ahead of the step that needs them.

A batch is {"images": uint8 [B, H, W, C], "labels": int32 [B] or uint8 [B, K], "position": uint32 [B]}, on a canvas also
"sizes": int32 [B, 2], in evaluation also "mask": float32 [B]; its first axis is shared by the devices.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from cnnjax.core.arrays import Batch


def put(batch: dict[str, np.ndarray], sharding: Sharding) -> Batch:
    """Puts one batch on the devices, each of which takes its share of the rows.

    On the CPU the result may be an alias of the NumPy memory, so that must not be written to again.
    """
    return jax.device_put(batch, sharding)


def ahead(batches: Iterable[Any], count: int = 2) -> Iterator[Any]:
    """Yields the items of `batches` in order, always having asked for `count` more than were taken."""
    waiting: deque[Any] = deque()
    for batch in batches:
        waiting.append(batch)
        if len(waiting) > count:
            yield waiting.popleft()
    yield from waiting
