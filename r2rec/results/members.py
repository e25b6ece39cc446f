"""The members of configuration groups, each with what its file says first."""

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from r2rec.base.errors import R2RecError, guess

NOT_PROSE = ("# @package", "# python -m", "#  ")  # lines of a comment that are for machines


def groups(folders: Sequence[Path]) -> list[str]:
    """The names of all configuration groups in these folders."""
    found = {path.parent.name for folder in folders for path in folder.glob("*/*.yaml")}
    return sorted(found)


def members(group: str, folders: Sequence[Path]) -> dict[str, str]:
    """Member -> what it is, in a sentence; "" where its file begins without a comment.

    Args:
        group: Its name, or the plural of it: "baseline", "baselines", "samplers".
        folders: Configuration folders; a later one's members replace those of an earlier one.

    Raises:
        R2RecError: There is no such group.
    """
    name = _named(group, groups(folders))
    found = {}
    for folder in folders:
        for path in sorted((folder / name).glob("*.yaml")):
            found[path.stem] = first_sentence(path.read_text(encoding="utf-8"))
    return found


def _named(group: str, known: Sequence[str]) -> str:
    """The group that a word means."""
    for name in known:
        singular = group.replace("-", "_").removesuffix("s")
        if singular in (name, name.removesuffix("s"), name.rpartition("_")[2]):
            return name
    raise R2RecError(f"no group {group}{guess(group, known)}; there are {', '.join(known)}")


def first_sentence(text: str) -> str:
    """The first sentence of the comment that a YAML file begins with."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    prose = [line.lstrip("# ") for line in comment if not line.startswith(NOT_PROSE)]
    sentence, period, _ = " ".join(prose).partition(". ")
    return sentence + period.strip()
