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
        evidence = tuple(case.evidence[index] for index in order if case.evidence)
        facts = tuple(case.facts[index] for index in order if case.facts)
        new_cases.append(case._replace(candidates=candidates, evidence=evidence, facts=facts))
        orders.append(order)
    return Shuffled(new_cases, orders)


def without_chains(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Remove all interaction chains, closed ones and evidence. Facts about candidates stay."""
    return [case._replace(chains=(), evidence=()) for case in cases]


def swapped_chains(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Give each case the chains of another user: its predecessor in a random ring of all users.

    Evidence is about candidates, and users have different ones: what was told of the other user's
    candidate A is told of this user's candidate A, and so on. All cases have as many candidates.
    """
    ring = rng.permutation(len(cases))
    predecessors = np.empty(len(cases), np.int64)
    predecessors[ring] = np.roll(ring, 1)
    swapped = []
    for case, predecessor in zip(cases, predecessors.tolist(), strict=True):
        other = cases[predecessor]
        swapped.append(case._replace(chains=other.chains, evidence=other.evidence))
    return swapped


def reversed_ratings(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Turn every rating in a closed chain into its opposite on the scale 1 to 5: 5 becomes 1.

    Evidence stays as it is: of that, the order and the counts matter (`reversed_evidence`).
    """
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


def reversed_evidence(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Reverse the order of evidence: what is told of the strongest candidate becomes the weakest's.

    All that is told of one candidate, place and counts together, moves from the candidate at place
    p of n to that at place n + 1 - p. So the chains read as before, and only where they lead is
    wrong. If no chain led to the last candidates, none leads to the first ones now. Facts about
    candidates stay.
    """
    reversed_cases = []
    for case in cases:
        order = case.strongest()
        evidence = list(case.evidence)
        for index, opposite in zip(order, reversed(order), strict=True):
            evidence[index] = case.evidence[opposite]
        reversed_cases.append(case._replace(evidence=tuple(evidence)))
    return reversed_cases


def without_facts(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Remove how many rated and liked each candidate."""
    return [case._replace(facts=()) for case in cases]


def without_history(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Remove the recently liked items."""
    return [case._replace(history=()) for case in cases]


def unknown_user(cases: Cases, rng: Generator) -> list[RankingCase]:
    """Show the candidates alone: a correct answer then comes from prior knowledge.

    Facts about candidates go as well: popularity is no prior knowledge if the prompt tells it.
    """
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
    evidence = []
    for told in case.evidence:
        begins = told.item1 and masked(told.item1)
        evidence.append(told._replace(item1=begins))
    return case._replace(
        history=history, chains=tuple(chains), candidates=candidates, evidence=tuple(evidence)
    )
