"""The template teacher on evidence chains: read the strongest, compare where they lead, conclude.

    Step 1: Chain 1: the user gave 4 to "Heat"; 212 others rated it; 34 of them soon rated C, 28
    liked it; 9 recent ratings lead to C: "Fargo", 512 ratings, 78% liked.
    Step 2: Chain 2: ...
    Step 3: No chain leads to B: "Speed", 512 ratings, 64% liked.
    Step 4: C against F: people 34 to 12, better; recent ratings 9 to 11, worse; liked 78% to 78%,
    even.
    Step 5: C against B: ...
    Step 6: C comes first, then F, then B.

A chain is read hop by hop: the user, the item, those who rated it too, the candidate. The order of
the evidence decides, unless the answer is one of the compared candidates and something speaks for
it: there the evidence leaves a choice, and the answer guides it. The rest of the ranking is the
order of the evidence.
"""

from collections.abc import Sequence
from typing import NamedTuple

from r2rec.prompts.answer import render_ranking
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import title

COMPARED = 3
"""Candidates that are read and compared: as many as the metrics look at."""

CRITERIA = ("people", "recent ratings", "liked", "rank")
"""What is compared of two candidates, as far as the prompt tells it."""

BETTER, WORSE, EVEN = VERDICTS = ("better", "worse", "even")


class Criterion(NamedTuple):
    """One number in which two candidates are compared."""

    name: str
    first: str  # the values, as they are written
    second: str
    winner: str  # the label of the candidate it speaks for; "": both have the same


def reason(case: RankingCase, positive: str) -> tuple[list[str], str]:
    """The steps of a thought, and the answer.

    Args:
        positive: The label of the positive; "": nothing guides the choice.
    """
    order = case.strongest()
    best, *others = order[:COMPARED]
    steps = [read_step(case, n) for n in range(len(order[:COMPARED]))]
    steps += [comparison_step(case, best, other) for other in others]
    first = best
    for other in others:
        speaks_for_it = LABELS[other] in {part.winner for part in criteria(case, best, other)}
        if LABELS[other] == positive and speaks_for_it:
            first = other
    ranked = [first, *(index for index in order if index != first)]
    labels = [LABELS[index] for index in ranked]
    steps.append(conclusion_step(labels[:COMPARED]))
    return steps, render_ranking(labels)


def read_step(case: RankingCase, n: int) -> str:
    """What the evidence says of the n-th strongest candidate, from 0 on."""
    index = case.strongest()[n]
    told = case.evidence[index]
    label = LABELS[index]
    if told.item1 is None:
        return f"No chain leads to {candidate_line(case, index)}."
    ranked = ""
    if told.witness is not None:
        ranked = f" another model ranks {label} {told.witness};"
    return (
        f"Chain {n + 1}: the user gave {told.rating_u1:g} to {title(told.item1)}; "
        f"{told.raters} others rated it; {told.soon} of them soon rated {label}, "
        f"{told.liked} liked it;{ranked} {told.links} recent ratings lead to "
        f"{candidate_line(case, index)}."
    )


def candidate_line(case: RankingCase, index: int) -> str:
    """Which item a candidate is, and how many rated and liked it: its line in the prompt."""
    told = f"{LABELS[index]}: {title(case.candidates[index])}"
    if case.facts:
        told += f", {case.facts[index].ratings} ratings, {case.facts[index].liked}% liked"
    return told


def criteria(case: RankingCase, one: int, other: int) -> list[Criterion]:
    """What is compared of two candidates."""
    first = case.evidence[one]
    second = case.evidence[other]
    values = {
        "people": (first.soon, second.soon),
        "recent ratings": (first.links, second.links),
    }
    if case.facts:
        values["liked"] = (case.facts[one].liked, case.facts[other].liked)
    if first.witness and second.witness and first.item1 and second.item1:
        values["rank"] = (first.witness, second.witness)
    parts = []
    for name, (one_has, other_has) in values.items():
        parts.append(criterion(name, (LABELS[one], one_has), (LABELS[other], other_has)))
    return parts


def criterion(name: str, one: tuple[str, int], other: tuple[str, int]) -> Criterion:
    """The comparison of two candidates, each a label with its number."""
    unit = "%" if name == "liked" else ""
    order = [one, other]
    order.sort(key=lambda pair: pair[1], reverse=name != "rank")  # a small rank is a good one
    winner = order[0][0] if one[1] != other[1] else ""
    return Criterion(name, f"{one[1]}{unit}", f"{other[1]}{unit}", winner)


def comparison_step(case: RankingCase, one: int, other: int) -> str:
    """Two candidates side by side."""
    return compared(LABELS[one], LABELS[other], criteria(case, one, other))


def compared(one: str, other: str, parts: Sequence[Criterion]) -> str:
    """Comparisons of two candidates as a step."""
    told = []
    for part in parts:
        verdict = EVEN
        if part.winner:
            verdict = BETTER if part.winner == one else WORSE
        told.append(f"{part.name} {part.first} to {part.second}, {verdict}")
    return f"{one} against {other}: {'; '.join(told)}."


def conclusion_step(labels: Sequence[str]) -> str:
    """Which candidates come first, second and third."""
    return f"{', then '.join([f'{labels[0]} comes first', *labels[1:]])}."
