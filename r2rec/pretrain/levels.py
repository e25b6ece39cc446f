"""How hard the pretraining prompts are, and which share of training goes to each level.

A curriculum: single lines first, whole tasks of the evaluation protocol's size last.
"""

from typing import NamedTuple

import numpy as np


class Level(NamedTuple):
    """How hard the prompts of a world are."""

    candidates: int
    chains: int
    history: int
    # Lookup drill: read off what up to this many lines of a prompt say. 0: no lookup drill.
    lines: int = 0
    # Share of worlds whose users look for something new instead of more of the same.
    change: float = 0.0
    # Conclusion drill: the candidates are counted already, only the conclusion is written.
    counted: bool = False
    # Made-up evidence chains (`weighed`) in place of a world's own chains.
    weighed: bool = False


class Example(NamedTuple):
    """A prompt and what the backbone learns to write."""

    prompt: str
    completion: str
    given: str = ""  # the beginning of the completion, which the loss leaves out
    learned: str = ""  # a pattern: the loss is over what it finds in the rest; "": over all of it


# No prompt of the last three levels says what its user looks for. A backbone learns to read and to
# conclude; which conclusion recommends well is left to training on a data set.
LEVELS = (
    Level(candidates=20, chains=5, history=5, lines=2),
    Level(candidates=20, chains=5, history=5, lines=6),
    Level(candidates=20, chains=5, history=5, lines=20),
    Level(candidates=2, chains=1, history=1),
    Level(candidates=5, chains=2, history=2),
    Level(candidates=20, chains=0, history=3),
    Level(candidates=20, chains=0, history=0, change=0.3, counted=True),
    Level(candidates=10, chains=3, history=4, change=0.3),
    Level(candidates=20, chains=5, history=5, change=0.3),
)
READING = Level(candidates=3, chains=3, history=0, lines=3, weighed=True)
FEW = Level(candidates=6, chains=5, history=0, weighed=True)
WEIGHED = Level(candidates=20, chains=5, history=5, weighed=True)
READING_PROGRESS = 0.2  # share of training on evidence chains after which whole tasks begin
FEW_SHARE = 0.5  # of whole tasks: a prompt of 20 candidates takes four times as long
SHARES = (0.03, 0.05, 0.04, 0.03, 0.05, 0.16, 0.10, 0.12, 0.42)  # of all steps, level by level
CONCLUSION_DRILL = 6  # index in LEVELS
DRILL_SHARE = 0.3  # of worlds, once training is past that level
CURRENT_SHARE = 0.85  # worlds beyond this share take any level up to the current one


def level_at(progress: float, rng: np.random.Generator, chains: str = "closed") -> Level:
    """The level of the next world, at this share (0 to 1) of training.

    With evidence chains a model reads single chains first, then whole tasks, short and long. For
    closed chains:

    Mostly the current level. Earlier levels come back now and then, so that nothing is forgotten.
    Conclusion drills go on to the end: they are short, and whole tasks fail in the conclusion.
    """
    if chains == "evidence":
        if progress < READING_PROGRESS:
            return READING
        return FEW if rng.random() < FEW_SHARE else WEIGHED
    ends = np.cumsum(SHARES)[:-1]
    current = int(np.searchsorted(ends, progress, side="right"))
    draw = rng.random()
    if draw < DRILL_SHARE and current > CONCLUSION_DRILL:
        return LEVELS[CONCLUSION_DRILL]
    if draw < CURRENT_SHARE:
        return LEVELS[current]
    return LEVELS[rng.integers(current + 1)]


def varied(most: int, rng: np.random.Generator) -> int:
    """A size of a prompt: often the level's own, else any from a quarter of it."""
    if rng.random() < 0.6:
        return most
    return int(rng.integers(most // 4, most + 1))
