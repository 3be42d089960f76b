"""What can be said only before jax starts its devices: how memory is kept, and that every CPU core is a device."""

import ctypes
import os
import platform

import jax

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


def settle() -> None:
    """Keeps freed memory and makes every core a device, unless the environment says otherwise; once jax runs, nothing.

    CNNJAX_MALLOC=system leaves the allocator as it is; JAX_NUM_CPU_DEVICES=1 leaves all cores to one device.
    """
    keep_memory()
    flags = os.environ.get("XLA_FLAGS", "")
    if "host_platform_device_count" in flags:
        return
    if not devices_are_given():
        try:
            jax.config.update("jax_num_cpu_devices", cores())
        except RuntimeError:  # the program has used jax before: its devices stay
            return
    if "xla_cpu_collective_call" not in flags:
        os.environ["XLA_FLAGS"] = " ".join([flags, *PATIENCE]).strip()


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
    return "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
