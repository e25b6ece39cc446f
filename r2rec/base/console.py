"""What a run prints. A console that goes away never ends a run.

Colours are for people: where the output is a terminal, and NO_COLOR is not set.
"""

import os
import sys
import unicodedata
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, ClassVar, TextIO

from r2rec.base.provenance import hidden

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "stage": "bold",
    "reused": "dim",
    "place": "dim",
    "note": "yellow",
    "error": "bold red",
    "verdict": "bold green",
    "page": "cyan",
}
PATTERNS = (
    r"(?m)^(?P<stage>\w\S*(?: \S+)*)(?= {2,}(?:[\d.]+ s|reused) )",  # "sft    428.0 s  500 samples"
    r"(?m)^.*  (?P<reused>reused)  ",
    r"(?m)(?P<place>\[\d+ of \d+[^]]*\])$",
    r"(?m)^ *(?P<note>note:)",
    r"(?m)^(?P<error>error:)",
    r"(?m)^(?P<verdict>verdict:)",
    r"(?P<page>\S+/report\.html)",
)


def say(text: str) -> None:
    """Print a line without secrets, at once; without a console, print nothing from then on."""
    try:
        print(coloured(harmless(hidden(text)), sys.stdout), flush=True)
    except OSError as error:  # a closed pipe, a full disk behind a redirection
        drop_output()
        warn(f"note: cannot write to standard output ({error.strerror}); the run goes on without")


def warn(text: str) -> None:
    """Print a line without secrets to standard error."""
    with suppress(OSError):
        print(coloured(harmless(hidden(text)), sys.stderr), file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    """The text without what steers a terminal: control, format and private characters.

    Line breaks and tabs stay.
    """
    kept = []
    for character in text:
        steers = unicodedata.category(character).startswith("C") and character not in "\n\t"
        kept.append("\ufffd" if steers else character)
    return "".join(kept)


def coloured(text: str, stream: TextIO | None) -> str:
    """The text as a stream shall show it: with colours for a person, as it is for a program.

    Args:
        stream: None where it was closed before Python began.
    """
    if os.environ.get("NO_COLOR") or stream is None or not stream.isatty():
        return text
    console = _painter()
    with console.capture() as painted:
        console.print(text, end="", soft_wrap=True)
    return painted.get()


@cache
def _painter() -> "Console":
    from rich.console import Console
    from rich.highlighter import RegexHighlighter
    from rich.theme import Theme

    class Highlights(RegexHighlighter):
        highlights: ClassVar = list(PATTERNS)

    return Console(
        force_terminal=True,
        highlighter=Highlights(),
        theme=Theme(STYLES, inherit=False),
        markup=False,  # "[1 of 12]" is no markup
        emoji=False,
    )


def drop_output() -> None:
    """Send standard output to nowhere, so that Python can flush it when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file, in tests
        pass
    finally:
        os.close(nowhere)
