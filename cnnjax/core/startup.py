"""What can be set only before jax starts its devices: how memory is kept, devices of the CPU, and flags of XLA.

jax is imported where it is used, since the command line sets the flags before it needs jax.
"""

import ctypes
import os
import platform
import sys
from typing import Literal

KEEP_MEMORY = {
    "M_MMAP_MAX": (-4, 0),  # large blocks come from the heap, not from the kernel
    "M_TRIM_THRESHOLD": (-1, 2**31 - 1),  # what is freed is not given back
    "M_TOP_PAD": (-2, 64 << 20),  # the heap grows by 64 MiB
    "M_ARENA_MAX": (-8, 1),  # for XLA's threads too: heaps of their own are given back whatever the others say
}
"""mallopt's parameters (malloc.h of glibc) and what they are set to."""

PATIENCE = (
    "--xla_cpu_collective_call_warn_stuck_timeout_seconds=120",
    "--xla_cpu_collective_call_terminate_timeout_seconds=600",
)
"""How long a device may wait for another before XLA ends the process; its minute is too short for a core shared."""

YNN_FUSION = {"0.10.2": "-reduce"}
"""What is taken from YNNPACK, XLA:CPU's library of kernels, by the version of jaxlib.

Entries are joined by commas: "-reduce,-individual_convolution". jaxlib 0.10.2 has individual_dot,
individual_convolution and reduce there by default, and the last computes wrong sums (jax issue 39103) and crashes
(40412). Nets train as fast without it, since the large sums of a step are matrix products (models/sums.py). An
unknown flag ends the process when jax starts its devices, so only versions are listed on which the entry was tried,
each on Linux and x86-64.
"""
YNN_FLAG = "xla_cpu_experimental_ynn_fusion_type"
SAME_BITS = ("xla_force_host_platform_device_count", "xla_cpu_collective_call", "xla_dump")
"""How flags begin that change no bit of a result; of the first, `devices` of environment.json has the outcome."""

_added: list[str] = []
_reported = False


def settle() -> None:
    """Keeps freed memory, sets XLA's flags, makes every core a device, unless the environment says otherwise.

    Once jax has started its devices, the last two change nothing. CNNJAX_MALLOC=system leaves the allocator as it is;
    JAX_NUM_CPU_DEVICES=1 leaves all cores to one device; an entry of XLA_FLAGS is never replaced.
    """
    keep_memory()
    set_flags()
    if "xla_force_host_platform_device_count" in flags():
        return
    if not devices_are_given():
        import jax

        try:
            jax.config.update("jax_num_cpu_devices", cores())
        except RuntimeError:  # the program has used jax before: its devices stay
            return
    if not any(name.startswith("xla_cpu_collective_call") for name in flags()):
        _add(*PATIENCE)


def set_flags() -> None:
    """Adds what YNN_FUSION has for this jaxlib to XLA_FLAGS, and logs once where it is not in force.

    Whatever may start the devices calls it first: the command line, `make_mesh`, `create_model`, `build_model`.
    """
    entry, present = ynn_fusion(), flags().get(YNN_FLAG)
    if entry is None or leaves_out(present, entry):
        return
    if present is not None:
        _report(
            f"with --{YNN_FLAG}={present} in XLA_FLAGS some sums are wrong on a CPU (jax issue 39103); "
            f"add {entry} to it, or leave the flag out"
        )
    elif devices_have_started():
        _report(
            f"jax had started its devices before cnnjax could set XLA_FLAGS=--{YNN_FLAG}={entry}, without which some "
            "sums are wrong on a CPU (jax issue 39103); set it in the environment, or call cnnjax before you use jax"
        )
    else:
        _add(f"--{YNN_FLAG}={entry}")


def leaves_out(value: str | None, entry: str) -> bool:
    """Returns whether a value of YNN_FLAG takes an entry, such as -reduce, from the default list of fusions.

    Args:
      value: entries with signs change the default list, entries without are the list; None: the default list.
    """
    if value is None:
        return False
    words = [word for word in value.split(",") if word]
    if any(word[0] in "+-" for word in words):
        return entry in words
    return entry.lstrip("-") not in words


def ynn_fusion() -> str | None:
    """Returns the default entry for the jaxlib that is installed, without starting its devices."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return None
    from jaxlib import version  # which loads nothing else

    return YNN_FUSION.get(version.__version__)


def flags() -> dict[str, str]:
    """Returns the flags of XLA_FLAGS by name, without dashes; of a name that is there twice the last, as XLA does."""
    words = (_flag_text() or "").split()
    pairs = (word.lstrip("-").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def flags_for_bits(backend: str) -> list[str]:
    """Returns the flags, NAME=VALUE in order, that may change the bits of what a backend computes."""
    others = (*SAME_BITS, "xla_gpu_" if backend == "cpu" else "xla_cpu_")
    return sorted(f"{name}={value}" for name, value in flags().items() if not name.startswith(others))


def origin(name: str) -> Literal["cnnjax", "user"]:
    """Returns who has set a flag."""
    return "cnnjax" if any(entry.startswith(f"--{name}=") for entry in _added) else "user"


def devices_have_started() -> bool:
    """Whether jax has started its devices, after which it reads no flags."""
    if "jax" not in sys.modules:
        return False
    import jax

    count = jax.config.jax_num_cpu_devices  # type: ignore[attr-defined]
    try:  # jax refuses another number from then on
        jax.config.update("jax_num_cpu_devices", count + 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", count)
    return False


def _report(sentence: str) -> None:
    """Logs it once, unless jax has started devices of which the default is no CPU."""
    global _reported
    if _reported:
        return
    from cnnjax.core import logs  # which needs this file

    _reported = True
    if devices_have_started():
        import jax

        if jax.default_backend() != "cpu":
            return
    logs.say(sentence)


def _add(*entries: str) -> None:
    """Adds flags to the environment; those of a file that XLA_FLAGS names come along: XLA reads one or the other."""
    text = _flag_text()
    if text is not None:
        os.environ["XLA_FLAGS"] = " ".join([*text.split(), *entries])
        _added.extend(entries)


def _flag_text() -> str | None:
    """Returns XLA_FLAGS, or what the file says whose path it is; None where XLA will say that it cannot read it."""
    text = os.environ.get("XLA_FLAGS", "").strip()
    if not text or text.startswith("--"):
        return text
    try:
        with open(text, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def keep_memory() -> bool:
    """Has glibc keep what is freed for the next step; returns whether it does.

    XLA takes its temporaries anew at every step, and glibc gives large ones back to the kernel, which zeroes them page
    by page: 19,100 page faults and 37 ms of a 270 ms step (vgg_small_bn, batch 64) against 950 and 3. It must happen
    before XLA's threads begin, since each keeps the heap that it began with. The price: memory stays at its peak.
    """
    if os.environ.get("CNNJAX_MALLOC") == "system" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(parameter, value) for parameter, value in KEEP_MEMORY.values()])


def devices_are_given() -> bool:
    """Whether the environment says how many devices the CPU shall be."""
    return "JAX_NUM_CPU_DEVICES" in os.environ or "xla_force_host_platform_device_count" in flags()


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
