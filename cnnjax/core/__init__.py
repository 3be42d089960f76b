"""The ground floor: small leaves that every other room stands on and that import no cnnjax package.

errors (one sentence, one exit status), registry (nearest names), arrays and trees ({"a/b/c": array}), keys (all
randomness), files (atomic writes and digests), logs (progress, JSONL, TensorBoard), meters, mesh (devices), startup
(what holds before jax begins), statistics (of a data set's images), rundir (paths of a run).
"""
