"""What is settled before jax starts, each in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest
from jaxlib import version

from cnnjax.core import startup

PRELUDE = "import resource, jax; from cnnjax.core.mesh import make_mesh\n"


FLAG = "--xla_cpu_experimental_ynn_fusion_type"
listed = pytest.mark.skipif(startup.ynn_fusion() is None, reason=f"no entry for jaxlib {version.__version__} here")


def run(code, **changes):
    environment = {**os.environ, "XLA_FLAGS": "", **changes}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def told(code, **changes):
    return run(PRELUDE + code, **changes).stdout.split()


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


@listed
def test_flag_of_this_jaxlib_is_added_to_what_is_there():
    entry, code = f"{FLAG}={startup.ynn_fusion()}", "import os; make_mesh(); print(os.environ['XLA_FLAGS'])"
    assert entry in told(code)
    assert told(code, XLA_FLAGS="--xla_force_host_platform_device_count=5") == [
        "--xla_force_host_platform_device_count=5",
        entry,
    ]
    assert told(f"{code}; print(jax.device_count())", XLA_FLAGS="--xla_force_host_platform_device_count=5")[-1] == "5"


@listed
def test_flags_of_a_file_are_kept(tmp_path):
    path = tmp_path / "flags"
    path.write_text("--xla_force_host_platform_device_count=3\n")
    code = "import os; make_mesh(); print(jax.device_count(), os.environ['XLA_FLAGS'])"
    count, *words = told(code, XLA_FLAGS=str(path))
    assert (count, words[0]) == ("3", "--xla_force_host_platform_device_count=3")
    assert words[1].startswith(FLAG)


def test_file_of_flags_that_cannot_be_read_is_left_to_xla(tmp_path):
    """Which names the file as it was given."""
    path = str(tmp_path / "missing")
    code = (
        "import os; from cnnjax.core import startup; startup.settle(); print(os.environ['XLA_FLAGS'], startup.flags())"
    )
    assert run(code, XLA_FLAGS=path).stdout.split() == [path, "{}"]


@listed
@pytest.mark.parametrize(("own", "count"), [("+reduce", 1), ("-individual_dot", 1), ("", 0), ("-reduce", 0)])
def test_users_own_entry_that_leaves_wrong_sums_is_reported_once(own, count):
    done = run(PRELUDE + "make_mesh(); make_mesh()", XLA_FLAGS=f"{FLAG}={own}")
    assert done.stderr.count("some sums are wrong on a CPU (jax issue 39103)") == count
    assert done.stderr.count("\n") == count


@pytest.mark.parametrize("own", ["+reduce", "", "-individual_dot"])
def test_users_own_entry_is_never_replaced(own):
    code = "import os; from cnnjax.core import startup; make_mesh(); print(os.environ['XLA_FLAGS'])"
    code += "; print(startup.origin('xla_cpu_experimental_ynn_fusion_type'))"
    words = told(code, XLA_FLAGS=f"{FLAG}={own}")
    assert [word for word in words if word.startswith(FLAG)] == [f"{FLAG}={own}"]
    assert words[-1] == "user"


def test_other_versions_and_machines_get_no_flag(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(startup, "devices_have_started", lambda: False)
    for versions in ("0.0.1", "0.10.2.dev20260601", "0.10.20"):
        monkeypatch.setattr(version, "__version__", versions)
        startup.set_flags()
        assert os.environ["XLA_FLAGS"] == ""
    monkeypatch.setattr(version, "__version__", next(iter(startup.YNN_FUSION)))
    for system, machine in (("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")):
        monkeypatch.setattr(platform, "system", lambda system=system: system)
        monkeypatch.setattr(platform, "machine", lambda machine=machine: machine)
        startup.set_flags()
        assert os.environ["XLA_FLAGS"] == ""


@listed
def test_devices_that_have_started_are_reported_once():
    begun = "import jax; jax.devices(); from cnnjax.core.mesh import make_mesh; make_mesh(); make_mesh(); import os;"
    done = run(f"{begun} print(os.environ['XLA_FLAGS'])")
    assert done.stdout.split() == []
    assert done.stderr.count("jax had started its devices before cnnjax could set XLA_FLAGS") == 1
    assert done.stderr.count("\n") == 1
    assert run(begun, XLA_FLAGS=f"{FLAG}=-reduce").stderr == "", "nothing is lost"
    assert run("import jax; from cnnjax.core.mesh import make_mesh; make_mesh(); make_mesh()").stderr == ""


@listed
@pytest.mark.parametrize(
    "call",
    [
        "import cnnjax; model = cnnjax.create_model('lenet5'); import jax; model.init(jax.random.key(0))",
        "from cnnjax.cli import main; main(['summary', '--model', 'lenet5'])",
        "import cnnjax; from cnnjax.runs import actions; "
        "actions.summarize(cnnjax.load_config('configs/lenet_mnist.py'))",
    ],
    ids=["notebook", "command line", "recipe"],
)
def test_flag_is_set_before_the_library_starts_the_devices(call):
    code = f"{call}; import os, jax; jax.devices(); print(os.environ['XLA_FLAGS'])"
    done = run(code)
    assert done.stderr == ""
    assert f"{FLAG}={startup.ynn_fusion()}" in done.stdout


def test_devices_that_have_started_are_known():
    code = "from cnnjax.core import startup; print(startup.devices_have_started()); import jax; "
    code += "print(startup.devices_have_started(), jax.config.jax_num_cpu_devices); jax.devices(); "
    assert run(code + "print(startup.devices_have_started())").stdout.split() == ["False", "False", "-1", "True"]


def test_flags_that_change_no_bit_are_left_out(monkeypatch):
    flags = "--xla_dump_to=/tmp --xla_gpu_autotune_level=0 --xla_cpu_enable_fast_math=true --xla_x=1 --xla_x=2"
    monkeypatch.setenv("XLA_FLAGS", " ".join([flags, *startup.PATIENCE, "--xla_force_host_platform_device_count=8"]))
    assert startup.flags_for_bits("cpu") == ["xla_cpu_enable_fast_math=true", "xla_x=2"]
    assert startup.flags_for_bits("gpu") == ["xla_gpu_autotune_level=0", "xla_x=2"]
