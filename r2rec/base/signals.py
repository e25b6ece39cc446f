"""How a run ends when it is asked to: by Ctrl-C, SIGTERM (SLURM, containers) or SIGHUP.

A signal raises `Interrupted`, so that trackers are finished and locks released on the way out. A
trainer can hold it back until its current step is done and a checkpoint is kept (`deferred`).
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from r2rec.base import processes

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # SIGHUP does not exist on Windows

_deferring = False
_pending: int | None = None
_raised: int | None = None  # a signal that was raised, and should have ended the run


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end. Not an `Exception`: nothing may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def status(self) -> int:
        """Exit status, as a shell reports a process that died of this signal: 128 + number."""
        return 128 + self.number


def install() -> None:
    """Handle the signals from now on. Only a process's main thread may call this."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _handle)


def forget() -> None:
    """A new run begins: signals of before do not count."""
    global _raised
    _raised = None


def check() -> None:
    """Raise a signal again that got lost: Python swallows what is raised inside `__del__`."""
    if _raised is not None:
        raise Interrupted(_raised)


def pending() -> int | None:
    """The number of a signal that waits for the end of a step; None where there is none."""
    return _pending


@contextmanager
def deferred() -> Iterator[None]:
    """Hold the first signal back until the block ends; a second one ends the run at once.

    The block must watch `pending`. With several processes nothing is deferred: one process that
    stops after a step would leave the others waiting.
    """
    global _deferring, _pending
    _deferring = processes.count() == 1
    try:
        yield
    finally:
        _deferring = False
        number = _pending
        _pending = None
    if number is not None:
        raise Interrupted(number)


def _handle(number: int, frame: FrameType | None) -> None:
    global _pending, _raised
    if _deferring and _pending is None:
        _pending = number
        message = b"stopping after this step, with a checkpoint; once more to stop at once\n"
        os.write(2, message)
        return
    _raised = number
    raise Interrupted(number)
