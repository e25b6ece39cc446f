"""The peak memory of this process, stage by stage, and what is left to it."""

from contextlib import suppress
from pathlib import Path

CONTAINER = Path("/sys/fs/cgroup")  # of version 2, as a container sees its own


def reset_peak_memory() -> None:
    """Start counting anew. Linux only; elsewhere the peak is that of the process so far."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb() -> float:
    """Peak resident memory in MiB since `reset_peak_memory`."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024  # "VmHWM:   123456 kB"
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def available_memory() -> int | None:
    """Bytes that this process can still take, within its container; None where none can tell."""
    try:
        text = Path("/proc/meminfo").read_text()
        free = 1024 * int(text.split("MemAvailable:")[1].split()[0])  # "MemAvailable: 1234 kB"
    except (OSError, IndexError, ValueError):
        return None
    with suppress(OSError, ValueError):  # ValueError: "max", no limit
        limit = int((CONTAINER / "memory.max").read_text())
        used = int((CONTAINER / "memory.current").read_text())
        free = min(free, limit - used)
    return free
