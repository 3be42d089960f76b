"""What devices can do at best, from their vendors' data sheets: dense products, without sparsity."""

PEAKS = {
    "v100": {"float32": 15.7e12},
    "a100": {"bfloat16": 312e12, "float32": 156e12},
    "h100 pcie": {"bfloat16": 756e12, "float32": 378e12},
    "h100 nvl": {"bfloat16": 835e12, "float32": 417e12},
    "h100": {"bfloat16": 989e12, "float32": 494e12},
    "h200 nvl": {"bfloat16": 835e12, "float32": 417e12},
    "h200": {"bfloat16": 989e12, "float32": 494e12},
    "tpu v2": {"bfloat16": 22.5e12},
    "tpu v3": {"bfloat16": 61.5e12},
    "tpu v4": {"bfloat16": 275e12},
    "tpu v5 lite": {"bfloat16": 197e12},
    "tpu v5": {"bfloat16": 459e12},
    "tpu v6 lite": {"bfloat16": 918e12},
}
"""FLOP/s by a part of `jax.Device.device_kind` in small letters, the longer name first, and by the type computed in.

float32 is TF32 on A100 and later, which JAX multiplies in unless told otherwise. A V100 has no bfloat16 units. A TPU v2
or v3 counts by the core, as JAX does; v5 lite is v5e, v5 is v5p, v6 lite is v6e.
"""


def peak(device_kind: str, dtype: str) -> float | None:
    """Returns the FLOP/s that one device can reach, or None where that is not known."""
    kind = device_kind.lower()
    return next((rates.get(dtype) for name, rates in PEAKS.items() if name in kind), None)
