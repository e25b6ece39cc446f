"""Comparisons declared before a run (`evaluation.compare`): Holm's family is these alone.

What else is compared is exploratory: it was not asked beforehand, so its p-values are no test.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from r2rec.base.errors import read_whole

Declared = Sequence[tuple[str, str]]  # names of two methods, as a user spells them


def as_declared(method: str) -> str:
    """A method's name as names are compared: "R2Rec without RL" is r2recwithoutrl."""
    return re.sub(r"[\W_]+", "", method).casefold()


def is_declared(methods: tuple[str, str], declared: Declared) -> bool:
    """Whether two methods are one of the declared pairs, in either order."""
    return set(map(as_declared, methods)) in [set(map(as_declared, pair)) for pair in declared]


def undone(declared: Declared, compared: Iterable[tuple[str, str]]) -> list[str]:
    """The declared pairs that are not among the compared ones, as "a - b"."""
    done = list(compared)
    return [" - ".join(pair) for pair in declared if not is_declared((pair[0], pair[1]), done)]


def declared_by(jobs: Iterable[Path]) -> list[tuple[str, str]]:
    """The pairs that the configurations of these run folders declare, each once."""
    pairs: dict[tuple[str, str], None] = {}
    for job in jobs:
        file = job / "config.yaml"
        if not file.is_file():
            continue
        with read_whole(file, "run that job again"):
            config = yaml.safe_load(file.read_text(encoding="utf-8"))
            for first, second in config.get("evaluation", {}).get("compare", []):
                pairs[str(first), str(second)] = None
    return list(pairs)
