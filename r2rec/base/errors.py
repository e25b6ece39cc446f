"""The one error that a user can cause."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

MAX_REASON = 200  # characters of another library's message


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


@contextmanager
def read_whole(path: Path, advice: str) -> Iterator[None]:
    """Tell in one line that a file is not what it was: damaged, or written by somebody else.

    Args:
        advice: What to do then.

    Raises:
        R2RecError: The block failed, in whatever way.
    """
    try:
        yield
    except R2RecError:
        raise
    except Exception as error:  # what libraries make of damaged files has no common kind
        reason = one_line(error)[:MAX_REASON]
        raise R2RecError(
            f"{path} cannot be read ({type(error).__name__}: {reason}); {advice}"
        ) from error
