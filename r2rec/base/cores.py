"""How many cores there are for a computation: allowed, and not at work for somebody else.

Threads that compute together wait for the slowest one. Where another program keeps a core busy, two
threads take longer than one, so as many are used as there are free cores. Where one becomes busy
later, waiting threads sleep (`wait_asleep`): awake they would take the core from the one that they
wait for.
"""

import os
import sys
from pathlib import Path

SAMPLE = 0.1  # seconds over which the load is measured
CGROUPS = Path("/sys/fs/cgroup")
WAIT_POLICY = "OMP_WAIT_POLICY"


def wait_asleep() -> None:
    """Let threads of OpenMP sleep while they wait. No effect once torch is imported."""
    os.environ.setdefault(WAIT_POLICY, "PASSIVE")


def free_cores() -> int:
    """Cores that this process may use and that nothing else keeps busy; at least one."""
    import psutil

    mine = _allowed()
    loads: list[float] = psutil.cpu_percent(interval=SAMPLE, percpu=True)
    busy = sum(loads[core] for core in mine if core < len(loads)) / 100
    return max(1, min(round(len(mine) - busy), _quota(len(mine))))


def threads_used() -> dict[str, int]:
    """`threads`: how many of this process compute with torch, which is imported."""
    return {"threads": sys.modules["torch"].get_num_threads()}


def _allowed() -> list[int]:
    """The numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _quota(otherwise: int) -> int:
    """Cores' worth of time that the container may take (cgroups 2 and 1); at least one."""
    try:
        limit, period = (CGROUPS / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit = (CGROUPS / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (CGROUPS / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return otherwise
    if not limit.isdigit():  # "max", or -1
        return otherwise
    return max(1, int(limit) // int(period))
