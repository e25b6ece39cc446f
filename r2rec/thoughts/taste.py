"""What a case says about a user's taste, counted: the template teacher puts this into words."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.prompts.render import CACHED_TEXTS, clean, clean_attributes

BEST = 3
"""Candidates that are put in order: as many as the metrics look at."""

CLOSE = 2
"""Sums that differ by this much or less are equally good: one rating read otherwise would turn them
round."""

TRAITS = 3
"""Traits of an item that are read: further ones say little and cost tokens."""

OTHER = "other"
"""Stands for the traits that an item lacks. Each counts as mentioned once, or items with many
traits would always win."""

SMALL = frozenset(
    "a an and at by for from in of on or the to with vol part pack set inch count size".split()
)
"""Words of titles that are no traits."""

Counted = list[tuple[str, int]]  # traits, each with a count


@lru_cache(maxsize=CACHED_TEXTS)
def traits(item: Item) -> tuple[str, ...]:
    """What an item can share with another: its attributes, or else the words of its title."""
    named = clean_attributes(item)
    if not named:
        words = re.findall(r"[^\W\d_]{3,}", clean(item.title))  # three letters or more: "Heat"
        named = [word for word in words if word.lower() not in SMALL]
    distinct = dict.fromkeys(named)
    return tuple(distinct)[:TRAITS]


def shared_traits(chain: Chain) -> list[str]:
    """The traits of item2 that item1 has as well."""
    return [trait for trait in traits(chain.item2) if trait in traits(chain.item1)]


def sign(rating: float) -> int:
    """1 for a like (above 3), -1 for a dislike (below 3), 0 between."""
    return (rating > 3) - (rating < 3)


def tastes_agree(chain: Chain) -> bool:
    """Whether user and neighbour have the same verdict on item1."""
    return sign(chain.rating_u1) == sign(chain.rating_v1)


def verdicts(case: RankingCase) -> list[tuple[Item, int]]:
    """The items in reading order, each with the user's verdict (`sign`).

    History comes first, then the two items of each chain. The user has not rated the second item of
    an open chain, so its verdict is 0.
    """
    pairs = [(item, 1) for item in case.history]
    for chain in case.chains:
        pairs.append((chain.item1, sign(chain.rating_u1)))
        pairs.append((chain.item2, sign(chain.rating_u2 or 3)))
    return pairs


def running(read: Iterable[tuple[Item, int]]) -> Iterator[Counted]:
    """For each item: its traits, each with the sum of the verdicts on it so far.

    The item's own verdict is included, and a sum never falls below 0.
    """
    sums: Counter[str] = Counter()
    for item, verdict in read:
        for trait in traits(item):
            sums[trait] = max(0, sums[trait] + verdict)
        yield [(trait, sums[trait]) for trait in traits(item)]


def support(case: RankingCase) -> dict[str, Counted]:
    """Label -> the candidate's traits, each with its sum over all history and chains."""
    sums: dict[str, int] = {}
    for counted in running(verdicts(case)):
        sums.update(counted)
    by_label = {}
    for label, item in zip(LABELS, case.candidates, strict=False):
        by_label[label] = [(trait, sums.get(trait, 0)) for trait in traits(item)]
    return by_label


def filled(support: dict[str, Counted]) -> dict[str, Counted]:
    """The same support, with one mention (`OTHER`) for each trait short of `TRAITS`.

    A candidate without any trait stays without support.
    """
    by_label = {}
    for label, counted in support.items():
        lacking = TRAITS - len(counted)
        if counted and lacking > 0:
            by_label[label] = [*counted, (OTHER, lacking)]
        else:
            by_label[label] = counted
    return by_label


def total(counted: Counted) -> int:
    """The sum of the counts."""
    return sum(count for _, count in counted)


def trait_scores(support: dict[str, Counted]) -> dict[str, int]:
    """Label -> the sum over its traits."""
    return {label: total(counted) for label, counted in support.items()}


def best(scores: dict[str, int]) -> list[str]:
    """The `BEST` labels with most support, ties in the order listed; none without support."""
    supported = [label for label in scores if scores[label]]
    supported.sort(key=lambda label: -scores[label])
    return supported[:BEST]


def choices(scores: dict[str, int]) -> list[str]:
    """Of the best labels, those nearly as good as the first: the evidence does not decide here."""
    order = best(scores)
    return [label for label in order if scores[order[0]] - scores[label] <= CLOSE]
