"""What a run prints. A console that goes away never ends a run."""

import os
import sys
from contextlib import suppress

from r2rec.base.provenance import hidden


def say(text: str) -> None:
    """Print a line without secrets, at once; without a console, print nothing from then on."""
    try:
        print(hidden(text), flush=True)
    except OSError as error:  # a closed pipe, a full disk behind a redirection
        drop_output()
        warn(f"note: cannot write to standard output ({error.strerror}); the run goes on without")


def warn(text: str) -> None:
    """Print a line without secrets to standard error."""
    with suppress(OSError):
        print(hidden(text), file=sys.stderr, flush=True)


def drop_output() -> None:
    """Send standard output to nowhere, so that Python can flush it when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file, in tests
        pass
    finally:
        os.close(nowhere)
