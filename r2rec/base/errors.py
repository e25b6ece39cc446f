"""The one error that a user can cause."""

from collections.abc import Iterable
from difflib import get_close_matches


class R2RecError(Exception):
    """A mistake outside the code, told in one line: what is wrong, where, and what to do.

    `python -m r2rec` prints it as `error: ...` and exits with status 2, without a traceback.
    """


def guess(word: str, known: Iterable[str]) -> str:
    """ " (did you mean WORD?)" for a misspelt one of the known words, else "": within a message."""
    words = list(known)
    close = [name for name in words if word and name.startswith(word)]
    close = close or get_close_matches(word, words, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def one_line(error: Exception | str) -> str:
    """The message of an error on one line, without what steers a terminal."""
    printable = "".join(c if c.isprintable() else " " for c in str(error))
    return " ".join(printable.split())
