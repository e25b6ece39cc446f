"""Limits on what code of others may take while it runs here: time, memory, text."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from r2rec.base.errors import R2RecError

SECONDS = 5.0
MEMORY = 256 * 2**20  # bytes
TEXT = 2**22  # characters
AGAIN_SECONDS = 0.1  # between signals: code of others may swallow the first


class OutOfBoundsError(R2RecError):
    """Code of others took more than it may."""


@contextmanager
def limited() -> Iterator[None]:
    """End a block that takes too long, or more memory than it may on top of what there is.

    Time is limited in the main thread, and memory on Linux.

    Raises:
        OutOfBoundsError: It was ended.
    """
    try:
        with _time_limit(SECONDS), _memory_limit(MEMORY):
            yield
    except MemoryError:
        raise OutOfBoundsError(f"it takes more than {MEMORY // 2**20} MiB of memory") from None


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    running = True

    def end(number: int, frame: FrameType | None) -> None:
        if running:
            raise OutOfBoundsError(f"it takes longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _memory_limit(memory: int) -> Iterator[None]:
    if sys.platform != "linux":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    limit = pages * resource.getpagesize() + memory
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
