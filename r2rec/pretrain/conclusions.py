"""What a teacher concludes from counted candidates: steps of a thought, and the answer."""

from collections.abc import Sequence

import numpy as np

from r2rec.thoughts import taste, template

FAVOURITE_SHARE = 0.5  # of prompts: a candidate close to the best comes first (`taste.choices`)
WITHOUT_OTHER_SHARE = 0.85  # of worlds: sums leave out `taste.OTHER`, which is left to SFT


def conclude(
    support: dict[str, taste.Counted], change: bool, rng: np.random.Generator
) -> tuple[list[str], str]:
    """The steps of a thought from the candidates on, and the answer.

    Args:
        support: Label -> the candidate's traits, each with what speaks for it.
        change: The user looks for something new: the candidates least like the past come first.
    """
    scores = taste.trait_scores(support)
    favourite = pick_favourite(taste.choices(scores), rng)
    steps, answer = template.conclusion(support, favourite, rng)
    if not change:
        return steps, answer
    newest = sorted(scores, key=lambda label: scores[label])[: taste.BEST]
    least = scores[newest[0]]
    close = [label for label in newest if scores[label] - least <= taste.CLOSE]
    first = pick_favourite(close, rng) or newest[0]
    named = f"Newest: {template.listed(scores, newest)}."
    steps = [steps[0], named, f"First: {first}."]
    return steps, template.ranked(scores, newest, first)


def pick_favourite(close: Sequence[str], rng: np.random.Generator) -> str:
    """At times any of the labels that could come first, else "".

    A random one, so that the backbone learns no rule about which of them is right.
    """
    if close and rng.random() < FAVOURITE_SHARE:
        return close[int(rng.integers(len(close)))]
    return ""


def numbered(statements: Sequence[str], first: int) -> list[str]:
    """Statements as the steps of a thought, for example "Step 3: First: B."."""
    steps = []
    for number, text in enumerate(statements, first):
        steps.append(f"Step {number}: {text}")
    return steps
