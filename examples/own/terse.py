"""A teacher: it says what is liked, and puts the true answer first."""

from collections.abc import Sequence

from r2rec.prompts.answer import render_ranking
from r2rec.prompts.cases import LABELS, RankingCase


def write(cases: Sequence[RankingCase], answers: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """(thought, answer) of each case; `answers` are the labels of what users went on to like."""
    written = []
    for case, answer in zip(cases, answers, strict=True):
        others = LABELS[: len(case.candidates)].replace(answer, "")
        steps = [
            "The user likes what is listed above.",
            "The chains lead to people of like taste.",
            f"{answer} comes first.",
        ]
        thought = "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, 1))
        written.append((thought, render_ranking(answer + others)))
    return written
