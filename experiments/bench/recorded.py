"""The table in README.md that `run.py --write` puts there; what is said about it stays by hand."""

import sys
from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- recorded by make bench ARGS=--write -->"
END = "<!-- end of what was recorded -->"


def write(lines: Sequence[str], file: Path = README) -> None:
    """Replace what stands between the two marks by these lines, as they were printed."""
    text = file.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"error: {file} has no lines {BEGIN} and {END}: put them around its table")
    block = "\n".join(["```", *lines, "```"])
    file.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")
