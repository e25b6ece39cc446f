"""One question in several orders of its candidates, and the answers added up: what a place does to them evens out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r2rec.evaluate.interventions import shuffled
from r2rec.prompts.cases import RankingCase

Order = tuple[int, ...]  # places of candidates, best first; () where invalid


def reordered(
    cases: Sequence[RankingCase], n: int, rng: np.random.Generator
) -> tuple[list[RankingCase], list[NDArray[np.int64]]]:
    """Every case as it is, then n - 1 times shuffled [n * cases]; and where the k-th shown stood at first, of each."""
    every, stood = list(cases), [np.arange(len(case.candidates)) for case in cases]
    for _ in range(n - 1):
        moved, orders = shuffled(cases, rng)
        every, stood = every + moved, stood + orders
    return every, stood


def aggregate(orders: Sequence[Order], k: int) -> Order:
    """All that any order names, by its points: 1 / rank in each (Dowdall: tails that repeat the list count little).

    () without a valid order; of equals, what the first order has before.
    """
    points = np.zeros(k)
    for order in orders:
        points[list(order)] += 1 / np.arange(1, len(order) + 1)
    named = dict.fromkeys(place for order in orders for place in order)
    return tuple(sorted(named, key=lambda place: -points[place]))
