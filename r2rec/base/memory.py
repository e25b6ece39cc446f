"""The peak memory of this process, stage by stage."""

from contextlib import suppress
from pathlib import Path


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
