"""Stage 2, augment: batches of uint8 pictures -> varied, normalised float32 pictures, on the device.

Before it: data, whose feed brings the batch there; after it: models. `pipeline` states the order of the operations as
law; geometry, colour, erase, mix and normalise hold the operations, pure functions f(keys, images, ...) that run inside
the jitted step; draw makes each picture's numbers from its own key; policy holds the presets.
"""

from cnnjax.augment.pipeline import eval_pipeline, train_pipeline
from cnnjax.augment.policy import resolve

__all__ = ["eval_pipeline", "resolve", "train_pipeline"]
