"""Every test sees eight virtual CPU devices and no network, and fails on a warning (exceptions: pyproject.toml)."""

import os
import socket
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()
os.environ["MPLBACKEND"] = "Agg"
os.environ["CNNJAX_MALLOC"] = "system"  # or the processes of the tests would stay at their largest
# Many tests compile the same small steps; the processes of one session share what was compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="cnnjax-tests-"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import pytest

from cnnjax.core import startup

startup.set_flags()  # as every program of the library does, before a test uses jax

QUICKLY_COMPILED = (
    *("core", "data", "report", "weights", "test_cli.py", "test_config.py", "test_configs.py", "test_readme.py"),
    *("bench/test_bench.py", "explain/test_study.py", "robustness/test_trials.py", "training/test_resume.py"),
    "training/test_embed.py",
)
"""Folders and files whose tests compare no numbers with other software's or another program's: XLA compiles in two
thirds of the time without optimizations. All others run what users run; a fault of fused MACs shows nowhere
else. A test that is unlike the others of its file is marked optimized(True) or optimized(False)."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Turns XLA's optimizations off for QUICKLY_COMPILED alone, before any fixture of the test compiles something.

    With --all (JAX_DISABLE_MOST_OPTIMIZATIONS=0) they are on everywhere.
    """
    import jax

    tests = item.config.rootpath / "tests"
    quickly = any(item.path.is_relative_to(tests / part) for part in QUICKLY_COMPILED)
    if mark := item.get_closest_marker("optimized"):
        quickly = not mark.args[0]
    without = quickly and os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") != "0"
    if without != jax.config.read("jax_disable_most_optimizations"):
        jax.clear_caches()  # or a program would serve both
        jax.config.update("jax_disable_most_optimizations", without)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Only this machine may be reached: a test that needs the outside fails at once, by name."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise OSError(f"tests may not reach {host}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


def mesh_of(count):
    """The first devices, of the eight that there are."""
    import jax
    import numpy as np

    return jax.sharding.Mesh(np.asarray(jax.devices()[:count]), ("data",))


@pytest.fixture
def mesh():
    """Returns f(count), which makes a mesh of so many devices."""
    return mesh_of


@pytest.fixture
def no_curves(monkeypatch):
    """Runs draw no curves, which takes as long as a short training; tests/report and tests/test_cli.py look at them."""
    monkeypatch.setattr("cnnjax.report.charts.curves", lambda *args, **options: None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("CNNJAX_DATA_DIR", str(tmp_path_factory.getbasetemp() / "data"))
