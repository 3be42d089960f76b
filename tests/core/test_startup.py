"""What is settled before jax starts, each in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

PRELUDE = "import resource, jax; from cnnjax.core.mesh import make_mesh\n"


def told(code, **changes):
    environment = {**os.environ, "XLA_FLAGS": "", **changes}
    done = subprocess.run([sys.executable, "-c", PRELUDE + code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_what_is_freed_is_taken_again_by_every_thread():
    code = """
import threading
def faults():
    for _ in range(3):
        b"x" * (40 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        b"x" * (40 << 20)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
make_mesh()
faults()
thread = threading.Thread(target=faults)
thread.start()
thread.join()
"""
    assert all(int(count) > 40_000 for count in told(code, CNNJAX_MALLOC="system")), "40 MiB are 10,240 pages"
    assert all(int(count) < 5_000 for count in told(code, CNNJAX_MALLOC=""))


def test_every_core_is_a_device_unless_the_environment_says_otherwise():
    cores = str(len(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else str(os.cpu_count())
    code = "print(make_mesh().size)"
    assert told(code) == [cores]
    assert told(code, JAX_NUM_CPU_DEVICES="3") == ["3"]
    assert told(code, XLA_FLAGS="--xla_force_host_platform_device_count=5") == ["5"]
    assert told(f"jax.devices(); {code}") == ["1"], "jax was there first"
