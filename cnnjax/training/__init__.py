"""Stage 5, training: the state, one pure step, the loop around it, and the checkpoints that make it resumable.

Before it: the pipelines of augment, the model and the optimizer, which are given to it ready-made; after it: evaluation
and report, which read the run folder. Nothing here knows a source, a model or an optimizer by name.
"""
