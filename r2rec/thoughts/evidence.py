"""What a case says about a user's taste, counted: the reading that the template teacher puts into words."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import clean

TRAITS = 3  # of an item are read: what comes after says little, and costs tokens
SMALL = frozenset("a an and at by for from in of on or the to with vol part pack set inch count size".split())


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
    """For each item, its traits with their sums of verdicts so far, its own included."""
    sums: Counter[str] = Counter()
    for item, verdict in read:
        for trait in traits(item):
            sums[trait] += verdict
        yield [(trait, sums[trait]) for trait in traits(item)]


def tastes(case: RankingCase, most: int = 4) -> Counted:
    """The traits that history and chains speak for most, strongest first; ties in the order read."""
    sums = dict(pair for counted in running(verdicts(case)) for pair in counted)
    return [(t, sums[t]) for t in sorted(sums, key=lambda t: -sums[t]) if sums[t] > 0][:most]


def support(case: RankingCase, taste: Counted) -> dict[str, Counted]:
    """Label -> the tastes that this candidate meets, with their weights."""
    return {LABELS[k]: [(t, w) for t, w in taste if t in traits(item)] for k, item in enumerate(case.candidates)}


def scores(support: dict[str, Counted]) -> dict[str, int]:
    """Label -> sum of the weights of what it meets."""
    return {label: sum(weight for _, weight in met) for label, met in support.items()}
