"""What a case says about a user's taste, counted: the reading that the template teacher puts into words."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import clean

BEST = 3  # candidates are put in order: as many as metrics look at
CLOSE = 2  # sums this near to the best are as good: one rating read otherwise would turn them round
TRAITS = 3  # of an item are read: what comes after says little, and costs tokens
OTHER = "other"  # the traits that an item has not: each counts as mentioned once, or items of many would always win
SMALL = frozenset(
    "a an and at by for from in of on or the to with vol part pack set inch count size".split()
)


Counted = list[tuple[str, int]]  # traits with a number each


@lru_cache(maxsize=1 << 16)
def traits(item: Item) -> tuple[str, ...]:
    """What an item can share with another: its attributes, or the words of its title where it has none."""
    if named := [text for a in item.attributes if (text := clean(a, 40).replace(",", "").strip())]:
        return tuple(dict.fromkeys(named))[:TRAITS]
    words = re.findall(r"[^\W\d_]{3,}", clean(item.title))
    return tuple(dict.fromkeys(w for w in words if w.lower() not in SMALL))[:TRAITS]


def sign(rating: float) -> int:
    """1 for a like (above 3), -1 for a dislike (below 3), 0 between."""
    return (rating > 3) - (rating < 3)


def verdicts(case: RankingCase) -> list[tuple[Item, int]]:
    """The items read, in reading order, with the user's own verdict: history, then each chain's two.

    The second item of an open chain has no rating of the user's: 0.
    """
    pairs = [(item, 1) for item in case.history]
    for chain in case.chains:
        pairs += [(chain.item1, sign(chain.rating_u1)), (chain.item2, sign(chain.rating_u2 or 3))]
    return pairs


def running(read: Iterable[tuple[Item, int]]) -> Iterator[Counted]:
    """For each item, what speaks for its traits so far, its own verdict included: one up, one down, never below 0."""
    sums: Counter[str] = Counter()
    for item, verdict in read:
        for trait in traits(item):
            sums[trait] = max(0, sums[trait] + verdict)
        yield [(trait, sums[trait]) for trait in traits(item)]


def support(case: RankingCase) -> dict[str, Counted]:
    """Label -> the candidate's traits, each with what history and chains in all say for it."""
    sums = dict(pair for counted in running(verdicts(case)) for pair in counted)
    return {
        LABELS[k]: [(t, sums.get(t, 0)) for t in traits(item)]
        for k, item in enumerate(case.candidates)
    }


def filled(support: dict[str, Counted]) -> dict[str, Counted]:
    """With one mention for each trait short of three; a candidate without any has nothing that speaks for it."""
    return {
        label: [*counted, (OTHER, TRAITS - len(counted))] if 0 < len(counted) < TRAITS else counted
        for label, counted in support.items()
    }


def trait_scores(support: dict[str, Counted]) -> dict[str, int]:
    """Label -> sum of what speaks for its traits."""
    return {label: sum(count for _, count in counted) for label, counted in support.items()}


def best(scores: dict[str, int]) -> list[str]:
    """The labels with most support, none without any, equals as listed."""
    return sorted(filter(scores.get, scores), key=lambda label: -scores[label])[:BEST]


def choices(scores: dict[str, int]) -> list[str]:
    """Of the best, those nearly as good as the first: evidence leaves a choice between these."""
    order = best(scores)
    return [label for label in order if scores[order[0]] - scores[label] <= CLOSE]
