"""What a case says about a user's taste, counted: the reading that the template teacher puts into words."""

import re
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.prompts.render import clean

SMALL = frozenset("a an and at by for from in of on or the to with vol part pack set inch count size".split())


@lru_cache(maxsize=1 << 16)
def traits(item: Item) -> tuple[str, ...]:
    """What an item can share with another: its attributes, or the words of its title where it has none."""
    if named := [text for a in item.attributes if (text := clean(a, 40).replace(",", "").strip())]:
        return tuple(dict.fromkeys(named))
    words = re.findall(r"[^\W\d_]{3,}", clean(item.title))
    return tuple(dict.fromkeys(w for w in words if w.lower() not in SMALL))[:6]


def sign(rating: float) -> int:
    """1 for a like (above 3), -1 for a dislike (below 3), 0 between."""
    return (rating > 3) - (rating < 3)


def tally(items: Iterable[tuple[Item, int]]) -> Counter[str]:
    """Trait -> sum of signs over the items that have it."""
    counts: Counter[str] = Counter()
    for item, liked in items:
        for trait in traits(item):
            counts[trait] += liked
    return counts


def of_chain(chain: Chain) -> list[tuple[Item, int]]:
    """The target user's own verdicts in a chain; an open chain has one."""
    first = [(chain.item1, sign(chain.rating_u1))]
    return first if chain.rating_u2 is None else [*first, (chain.item2, sign(chain.rating_u2))]


def tastes(case: RankingCase, most: int = 4) -> list[tuple[str, int]]:
    """The traits that history and chains speak for, strongest first, then the one most spoken against."""
    seen = [(item, 1) for item in case.history] + [v for chain in case.chains for v in of_chain(chain)]
    counts = tally(seen)
    order = sorted(counts, key=lambda t: -counts[t])  # stable: ties in the order read
    liked = [(t, counts[t]) for t in order if counts[t] > 0][:most]
    disliked = [(t, counts[t]) for t in order if counts[t] < 0][-1:]
    return liked + disliked


def support(case: RankingCase, taste: list[tuple[str, int]]) -> dict[str, list[tuple[str, int]]]:
    """Label -> the tastes that this candidate meets, with their weights."""
    return {LABELS[k]: [(t, w) for t, w in taste if t in traits(item)] for k, item in enumerate(case.candidates)}
