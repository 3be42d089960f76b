"""`cnnjax doctor`: what is installed here, which faults its versions are known for, and whether it computes right."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import cnnjax
from cnnjax import data
from cnnjax.bench import canaries
from cnnjax.core import startup
from cnnjax.core.mesh import make_mesh

NEEDED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "chex", "numpy")
OPTIONAL = {
    "pillow": "decoding images",
    "simplejpeg": "decoding JPEG files faster",
    "tifffile": "TIFF files of more than 8 bits",
    "tensorflow-datasets": "sources tfds:NAME",
    "tensorflow-cpu": "preparing the builders of tensorflow-datasets",
    "scikit-learn": "the digits data set",
    "matplotlib": "curves and figures",
    "tensorboardX": "TensorBoard events",
    "safetensors": "files of weights",
    "h5py": "files of weights from Keras",
    "torch": "PyTorch's files of weights that are pickled, and comparing with PyTorch",
    "torchvision": "comparing with its models",
    "timm": "comparing with its models",
    "keras": "comparing with its models",
}
"""What runs without, and what is not to be had then."""
PLUGINS = ("jax-cuda12-plugin", "jax-cuda12-pjrt", "jax-cuda13-plugin", "jax-cuda13-pjrt")
TPU = "libtpu"


@dataclass(frozen=True)
class Fault:
    """A fault that some versions of a package are known for.

    Attributes:
      backends: that have it.
      avoided_by: an entry of --xla_cpu_experimental_ynn_fusion_type with which it is not met.
      machine: the only one that has it, as `platform` calls its system and processor; None: any.
    """

    package: str
    versions: tuple[str, ...]
    backends: tuple[str, ...]
    what: str
    links: tuple[str, ...]
    avoided_by: str
    machine: tuple[str, str] | None = None


KNOWN_FAULTS = (
    Fault(
        "jaxlib",
        ("0.10.2",),
        ("cpu",),
        "sums behind a product of small matrices are wrong in some rows",
        ("https://github.com/jax-ml/jax/issues/39103",),
        "-reduce",
    ),
    Fault(
        "jaxlib",
        ("0.10.2", "0.11.0"),
        ("cpu",),
        "sums over float32 arrays of seven or more axes crash the process or never end",
        ("https://github.com/jax-ml/jax/issues/40412", "https://github.com/jax-ml/jax/issues/39257"),
        "-reduce",
        ("Linux", "x86_64"),
    ),
)


def examine(data_dir: str | Path | None = None) -> dict[str, Any]:
    """Gathers what a report of a fault should say, and runs the canaries.

    Returns:
      ok: no canary failed, devices start, and no GPU plugin is of another version than jaxlib.
      versions: of Python and each package, None where it is missing; optional: what those that may be missing are for.
      devices: by backend, their kinds. cores, memory (bytes: total, available, limit), platform.
      folders: of data and of compiled steps: path and bytes free.
      gpu: driver, devices and plugins {name: version}, each None or empty where there is none.
      flags: XLA_FLAGS in force: name, value, origin (cnnjax or user).
      known_faults: of what is installed: package, version, what, links, avoided (by the flags in force), remedy.
      problems: sentences. canaries: see `Canary.run`.
    """
    versions = {name: _version(name) for name in (*NEEDED, *OPTIONAL)}
    gpu = _gpu()
    problems = [
        _mismatch(name, version)
        for name, version in gpu["plugins"].items()
        if _release(version) != _release(versions["jaxlib"])
    ]
    backends = []
    try:
        make_mesh()  # which settles memory, flags and devices as training does
        backends = canaries.present()
    except RuntimeError as error:  # JAX_PLATFORMS names a backend that does not start
        problems.append(f"jax starts no device: {' '.join(str(error).split())[:300]}")
    found = canaries.run(backends)
    return {
        "ok": all(canary["ok"] for canary in found) and not problems,
        "versions": {"python": platform.python_version(), "cnnjax": cnnjax.__version__} | versions,
        "optional": dict(OPTIONAL),
        "platform": platform.platform(),
        "devices": {backend: [d.device_kind for d in jax.local_devices(backend=backend)] for backend in backends},
        "cores": startup.cores(),
        "memory": _memory(),
        "folders": _folders(data_dir),
        "gpu": gpu,
        "flags": [
            {"name": name, "value": value, "origin": startup.origin(name)} for name, value in startup.flags().items()
        ],
        "known_faults": known_faults(versions, backends),
        "problems": problems,
        "canaries": found,
    }


def verdict(report: Mapping[str, Any]) -> str:
    """Returns one sentence that names what failed, or "" where all is well."""
    failed = [f"{canary['name']} ({canary['backend']})" for canary in report["canaries"] if not canary["ok"]]
    sentences = list(report["problems"])
    if failed:
        sentences.insert(0, f"what is compiled here computes wrong numbers in {'; '.join(failed)}")
    return "; ".join(sentences)


def known_faults(versions: Mapping[str, str | None], backends: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the rows of KNOWN_FAULTS for this machine, these versions and backends."""
    fusion, here = startup.flags().get(startup.YNN_FLAG), (platform.system(), platform.machine())
    return [
        {
            "package": fault.package,
            "version": versions[fault.package],
            "what": fault.what,
            "links": list(fault.links),
            "avoided": startup.leaves_out(fusion, fault.avoided_by),
            "remedy": f"XLA_FLAGS=--{startup.YNN_FLAG}={fault.avoided_by}",
        }
        for fault in KNOWN_FAULTS
        if versions.get(fault.package) in fault.versions
        and set(fault.backends) & set(backends)
        and fault.machine in (None, here)
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _release(version: str | None) -> str:
    """Returns the numbers of a version: 0.10.2 of 0.10.2.post1 and of 0.10.2+cuda13."""
    found = re.match(r"\d+(\.\d+)*", version or "")
    return found[0] if found else ""


def _mismatch(plugin: str, version: str) -> str:
    return (
        f"{plugin} {version} does not fit jaxlib {_version('jaxlib')}, so that jax leaves the GPU out; install both "
        "in one version: pip install --upgrade 'jax[cuda13]' or 'jax[cuda12]'"
    )


def _gpu() -> dict[str, Any]:
    """Returns the driver and the GPUs as nvidia-smi knows them, whether or not jax finds them, and jax's plugins."""
    query = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    rows: list[list[str]] = []
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10)
        if done.returncode == 0:
            rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line]
    except (OSError, subprocess.TimeoutExpired):  # no NVIDIA driver here, or one that hangs
        pass
    return {
        "driver": rows[0][0] if rows else None,
        "devices": [", ".join(row[1:]) for row in rows],
        "plugins": {name: version for name in PLUGINS if (version := _version(name))},
        "libtpu": _version(TPU),
    }


def _memory() -> dict[str, int | None]:
    """Returns bytes of the machine, those free for programs, and what the container allows; None: not known."""
    page = os.sysconf("SC_PAGE_SIZE")
    available = None
    if (path := Path("/proc/meminfo")).is_file():
        words = dict(line.split(":") for line in path.read_text().splitlines())
        available = int(words["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in words else None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return {
        "total": page * os.sysconf("SC_PHYS_PAGES"),
        "available": available,
        "limit": int(text) if text.isdigit() else None,
    }


def _folders(data_dir: str | Path | None) -> dict[str, dict[str, Any]]:
    """Returns where data and compiled steps are kept, whether or not the folders are there yet."""
    kept = Path(data_dir or data.default_data_dir())
    compiled = jax.config.jax_compilation_cache_dir or kept / "compiled"  # type: ignore[attr-defined]
    return {
        name: {"path": str(path), "free": _free(Path(path))} for name, path in (("data", kept), ("compiled", compiled))
    }


def _free(folder: Path) -> int:
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
