"""Whose code an error came from: messages name a user's own function and the line of its file."""

import inspect
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from r2rec.base.code import user_files


def failure(error: Exception, targets: Iterable[str]) -> str | None:
    """How an error in a user's own code is told: "fails at FILE:LINE: ..."; None: not their code.

    Args:
        targets: Dotted paths of the functions that the user names.
    """
    own = {path.resolve() for path in user_files(targets)}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).resolve() in own:
            return f"fails at {frame.filename}:{frame.lineno}: {kind_and_reason(error)}"
    return None


def kind_and_reason(error: Exception) -> str:
    """Kind and reason of an error in one line: "KeyError: 'stars'"."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def place_of(function: Callable[..., Any]) -> str:
    """Where a function is defined: "my_reward.py:7"; "" where that is unknown."""
    try:
        plain = inspect.unwrap(function)
        return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
    except (OSError, TypeError, ValueError):
        return ""
