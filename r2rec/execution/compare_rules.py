"""Whether comparisons that are declared before a run (`evaluation.compare`) name methods."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from r2rec.base.errors import guess
from r2rec.config import Config
from r2rec.config.place import CONF
from r2rec.evaluate.declared import as_declared
from r2rec.execution.own_folders import own_folders
from r2rec.execution.plan import plan
from r2rec.pipeline import STAGES

EXAMPLE = "give pairs of methods, e.g. evaluation.compare=[[r2rec,popularity]]"
NOT_TRAINED = ("backbone", "adapter")  # what models are called that a run does not train
NO_METHOD = "none"  # of the group `baseline`


def compare_rules(config: Config) -> Iterator[str]:
    """Pairs that are no pairs, and names of no method.

    Another job of a sweep may have the method, so those that this run lacks are known too.
    """
    pairs: list[Any] = config.evaluation.compare
    if not pairs:
        return
    known = {as_declared(method): method for method in _methods(config)}
    for pair in pairs:
        if not _is_pair(pair):
            yield f"evaluation.compare has {pair}, which is no pair; {EXAMPLE}"
            continue
        for name in pair:
            if as_declared(name) not in known:
                meant = guess(as_declared(name), known)
                methods = ", ".join(known.values())
                yield f"evaluation.compare: no method {name}{meant}; there are {methods}"
        if as_declared(pair[0]) == as_declared(pair[1]):
            yield f"evaluation.compare has {pair[0]} against itself; {EXAMPLE}"
    for one, other in pairwise(
        sorted(sorted(map(as_declared, pair)) for pair in filter(_is_pair, pairs))
    ):
        if one == other:
            yield f"evaluation.compare has {' and '.join(one)} twice"


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, str) for n in pair)


def _methods(config: Config) -> list[str]:
    """The methods of this run, then those that other runs may have."""
    found = {job.arm.method: None for job in plan(config) if job.arm}
    found |= dict.fromkeys(stage.method for stage in STAGES if stage.method)
    found |= dict.fromkeys(NOT_TRAINED)
    folders: list[Path] = [CONF, *own_folders()]
    for folder in folders:
        found |= dict.fromkeys(path.stem for path in sorted(folder.glob("baseline/*.yaml")))
    found.pop(NO_METHOD, None)
    return list(found)
