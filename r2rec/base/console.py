"""What a run prints. A console that goes away never ends a run."""

import os
import sys
import unicodedata
from contextlib import suppress

from r2rec.base.provenance import hidden


def say(text: str) -> None:
    """Print a line without secrets, at once; without a console, print nothing from then on."""
    try:
        print(harmless(hidden(text)), flush=True)
    except OSError as error:  # a closed pipe, a full disk behind a redirection
        drop_output()
        warn(f"note: cannot write to standard output ({error.strerror}); the run goes on without")


def warn(text: str) -> None:
    """Print a line without secrets to standard error."""
    with suppress(OSError):
        print(harmless(hidden(text)), file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    """The text without what steers a terminal: control, format and private characters.

    Line breaks and tabs stay.
    """
    kept = []
    for character in text:
        steers = unicodedata.category(character).startswith("C") and character not in "\n\t"
        kept.append("\ufffd" if steers else character)
    return "".join(kept)


def drop_output() -> None:
    """Send standard output to nowhere, so that Python can flush it when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file, in tests
        pass
    finally:
        os.close(nowhere)
