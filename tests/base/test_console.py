"""What a console shows: colours for people, plain text for programs."""

import os
import pty
import re
import subprocess
import sys

import pytest

from r2rec.base.console import coloured

LINES = """prepare                    reused  2999 users, 3615 items  [1 of 15, about 31 min left]
rank R2Rec without RL     356.8 s  1000 users, 999 valid  [13 of 15]
  note: 77% of groups had equal rewards
HR@1 [0.1, 0.2] [bold]no markup[/bold] :smile: 千と千尋 longer than eighty columns, in one piece
outputs/run/TIME/report.html
verdict: No winner"""
CODE = f"from r2rec.base.console import say; say({LINES!r})"
ESCAPE = re.compile(r"\x1b\[[\d;]*m")


def printed_to_terminal(**environment: str) -> str:
    """What a terminal gets."""
    end, other_end = pty.openpty()
    known = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    known |= {"TERM": "xterm-256color", **environment}
    child = subprocess.Popen([sys.executable, "-c", CODE], stdout=other_end, env=known)
    os.close(other_end)
    text = b""
    while True:
        try:
            part = os.read(end, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        text += part
    os.close(end)
    assert child.wait() == 0
    return text.decode().replace("\r\n", "\n")


def test_a_terminal_has_colours_and_the_same_words() -> None:
    text = printed_to_terminal()
    assert ESCAPE.search(text)
    assert ESCAPE.sub("", text) == f"{LINES}\n"
    for words in ("prepare", "rank R2Rec without RL", "note:", "verdict:", "reused", "[13 of 15]"):
        assert re.search(rf"\x1b\[[\d;]+m{re.escape(words)}\x1b\[0m", text), words


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(environment: dict[str, str]) -> None:
    assert printed_to_terminal(**environment) == f"{LINES}\n"


def test_a_program_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert coloured(LINES, sys.stdout) == LINES
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == f"{LINES}\n"
