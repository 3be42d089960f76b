"""Stage 2, augment: batches of uint8 images -> varied, normalized float32 images, on the device.

Before it: data, whose feed brings the batch there; after it: models. `pipeline` states the order of the operations as
law; geometry, color, erase, mix and normalize hold the operations, pure functions f(keys, images, ...) that run inside
the jitted step; draw makes each image's numbers from its own key; policy holds the presets.
"""

from cnnjax.augment.pipeline import eval_pipeline, train_pipeline
from cnnjax.augment.policy import resolve

__all__ = ["eval_pipeline", "resolve", "train_pipeline"]
