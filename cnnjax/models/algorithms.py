"""Which algorithms compute a layer: XLA's own operations, or those that are faster on a CPU."""

import contextlib
import contextvars
from collections.abc import Iterator

import jax

_PLAIN = contextvars.ContextVar("_PLAIN", default=False)


@contextlib.contextmanager
def plain() -> Iterator[None]:
    """Traces convolutions and sums as XLA's own, one operation each, as an exporter wants to read them.

    jax keeps what it has traced: of a function that was traced before, give it another (lambda *args: f(*args)).
    """
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def uses_cpu_algorithms() -> bool:
    """Returns whether what is traced now may be computed in the ways that are fast on a CPU."""
    return jax.default_backend() == "cpu" and not _PLAIN.get()
