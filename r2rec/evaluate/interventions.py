"""Ranking cases with one thing changed, to see what an answer depends on.

Each intervention is a function `(cases, rng) -> cases`; most of them draw nothing from `rng`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from r2rec.evaluate.arrays import Integers
from r2rec.prompts.cases import Chain, Item, RankingCase

Cases = Sequence[RankingCase]


class Shuffled(NamedTuple):
    """Cases whose candidates are shown in another order.

    `orders[n][k]` is the stored index of the candidate that case `n` shows at position `k`.
    """

    cases: list[RankingCase]
    orders: list[Integers]


def shuffled(cases: Cases, rng: Generator) -> Shuffled:
    """Show the candidates of each case in a random order of their own."""
    new_cases = []
    orders = []
    for case in cases:
        order = rng.permutation(len(case.candidates))
        candidates = tuple(case.candidates[index] for index in order)
        new_cases.append(case._replace(candidates=candidates))
        orders.append(order)
    return Shuffled(new_cases, orders)


def without_chains(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Remove all interaction chains."""
    return [case._replace(chains=()) for case in cases]


def swapped_chains(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Give each case the chains of another user: its predecessor in a random ring of all users."""
    ring = rng.permutation(len(cases))
    predecessors = np.empty(len(cases), np.int64)
    predecessors[ring] = np.roll(ring, 1)
    swapped = []
    for case, predecessor in zip(cases, predecessors.tolist(), strict=True):
        swapped.append(case._replace(chains=cases[predecessor].chains))
    return swapped


def reversed_ratings(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Turn every rating in a chain into its opposite on the scale 1 to 5: 5 stars become 1."""
    reversed_cases = []
    for case in cases:
        chains = tuple(_with_reversed_ratings(chain) for chain in case.chains)
        reversed_cases.append(case._replace(chains=chains))
    return reversed_cases


def _with_reversed_ratings(chain: Chain) -> Chain:
    rating_u2 = chain.rating_u2
    if rating_u2 is not None:  # None in an open chain
        rating_u2 = 6 - rating_u2
    return chain._replace(
        rating_u1=6 - chain.rating_u1,
        rating_v1=6 - chain.rating_v1,
        rating_v2=6 - chain.rating_v2,
        rating_u2=rating_u2,
    )


def without_history(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Remove the recently liked items."""
    return [case._replace(history=()) for case in cases]


def unknown_user(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Show the candidates alone: a correct answer then comes from prior knowledge."""
    return [RankingCase(None, (), (), case.candidates) for case in cases]


def masked_titles(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Replace titles by "Title 1", "Title 2", ...; attributes stay.

    Within one case an item has the same new title everywhere.
    """
    return [_with_masked_titles(case) for case in cases]


def _with_masked_titles(case: RankingCase) -> RankingCase:
    masked_items: dict[Item, Item] = {}

    def masked(item: Item) -> Item:
        if item not in masked_items:
            title = f"Title {len(masked_items) + 1}"
            masked_items[item] = Item(title, item.attributes)
        return masked_items[item]

    chains = []
    for chain in case.chains:
        item1 = masked(chain.item1)
        item2 = masked(chain.item2)
        chains.append(chain._replace(item1=item1, item2=item2))
    history = tuple(masked(item) for item in case.history)
    candidates = tuple(masked(item) for item in case.candidates)
    return RankingCase(case.profile, history, tuple(chains), candidates)
