"""The one error that a user can cause."""


class R2RecError(Exception):
    """A mistake outside the code, told in one line: what is wrong, where, and what to do.

    `python -m r2rec` prints it as `error: ...` and exits with status 2, without a traceback.
    """


def one_line(error: Exception) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())
