"""The template teacher on evidence chains: read the strongest, compare where they lead, conclude.

    Step 1: Chain 1: the user gave 4 to "Heat"; 212 others rated it; 34 of them soon rated C, 28
    liked it; 9 recent ratings lead to C: "Fargo", 512 ratings, 78% liked.
    Step 2: Chain 2: ...
    Step 3: No chain leads to B: "Speed", 512 ratings, 64% liked.
    Step 4: People: C 34 to F 12, better; C 34 to B 0, better; best by people: C.
    Step 5: Recent ratings: C 9 to F 11, worse; F 11 to B 0, better; best by recent ratings: F.
    Step 6: Liked: C 78% to F 78%, even; C 78% to B 64%, better; best by liked: C.
    Step 7: By all evidence: C comes first, then F, then B.

A chain is read hop by hop: the user, the item, those who rated it too, the candidate. What comes
first is chosen by all evidence, or by one criterion where the answer is the best by it: there the
evidence leaves a choice, and the answer guides it. The rest of the ranking is the order of the
evidence. A model that learns from such thoughts learns which criterion to trust, and when.
"""

from collections.abc import Sequence
from typing import NamedTuple

from r2rec.prompts.answer import render_ranking
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import title

COMPARED = 3
"""Candidates that are read and compared: as many as the metrics look at."""

CRITERIA = ("people", "recent ratings", "liked", "rank")
"""What is compared of candidates, as far as the prompt tells it."""

BETTER, WORSE, EVEN = VERDICTS = ("better", "worse", "even")

ALL = "all evidence"


class Criterion(NamedTuple):
    """One number of each of the compared candidates."""

    name: str
    values: tuple[tuple[str, int], ...]  # label and number, the strongest candidate first
    best: str  # the label of the best number; of equal ones, that of the strongest candidate

    def lead(self) -> float:
        """How far the best number is ahead of the next one, relative to the larger: 0 to 1."""
        first, second = sorted((value for _, value in self.values), reverse=self.name != "rank")[:2]
        return abs(first - second) / max(first, second, 1)


def reason(case: RankingCase, positive: str) -> tuple[list[str], str]:
    """The steps of a thought, and the answer.

    Args:
        positive: The label of the positive; "": nothing guides the choice.
    """
    order = [LABELS[index] for index in case.strongest()]
    steps = [read_step(case, n) for n in range(len(order[:COMPARED]))]
    told = criteria(case)
    steps += [criterion_step(criterion) for criterion in told]
    by = ALL
    first = order[0]
    speaking = [criterion for criterion in told if criterion.best == positive]
    if speaking and positive != first:
        by = max(speaking, key=Criterion.lead).name
        first = positive
    ranked = [first, *(label for label in order if label != first)]
    steps.append(conclusion_step(by, ranked[:COMPARED]))
    return steps, render_ranking(ranked)


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


def criteria(case: RankingCase) -> list[Criterion]:
    """What is compared of the strongest candidates; nothing where there is but one."""
    compared = case.strongest()[:COMPARED]
    linked = [index for index in compared if case.evidence[index].item1 is not None]
    numbers = {
        "people": {index: case.evidence[index].soon for index in compared},
        "recent ratings": {index: case.evidence[index].links for index in compared},
    }
    if case.facts:
        numbers["liked"] = {index: case.facts[index].liked for index in compared}
    ranks = {index: case.evidence[index].witness for index in linked}
    if all(ranks.values()):
        numbers["rank"] = {index: rank or 0 for index, rank in ranks.items()}
    found = []
    for name, of_candidate in numbers.items():
        if len(of_candidate) > 1:
            values = [(LABELS[index], number) for index, number in of_candidate.items()]
            found.append(criterion(name, values))
    return found


def criterion(name: str, values: Sequence[tuple[str, int]]) -> Criterion:
    """Candidates by one number: each a label with its number, the strongest candidate first."""
    best = values[0]
    for other in values[1:]:
        if verdict(name, best[1], other[1]) == WORSE:
            best = other
    return Criterion(name, tuple(values), best[0])


def verdict(name: str, one: int, other: int) -> str:
    """How one number of a criterion compares with another."""
    if one == other:
        return EVEN
    is_more = one > other
    prefers_more = name != "rank"  # a small rank is a good one
    return BETTER if is_more == prefers_more else WORSE


def criterion_step(criterion: Criterion) -> str:
    """The best so far beside each further candidate, and what remains the best."""
    name = criterion.name
    unit = "%" if name == "liked" else ""
    label, number = criterion.values[0]
    told = []
    for other, value in criterion.values[1:]:
        found = verdict(name, number, value)
        told.append(f"{label} {number}{unit} to {other} {value}{unit}, {found}")
        if found == WORSE:
            label, number = other, value
    return f"{name.capitalize()}: {'; '.join(told)}; best by {name}: {criterion.best}."


def conclusion_step(by: str, labels: Sequence[str]) -> str:
    """Which candidates come first, second and third.

    Args:
        by: `ALL`, or the name of the criterion that decides which is first.
    """
    return f"By {by}: {', then '.join([f'{labels[0]} comes first', *labels[1:]])}."
