"""The same questions in several orders of their candidates, and one ranking from all answers.

Language models favour some positions of a list. Over several orders that preference averages out.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.random import Generator

from r2rec.evaluate.interventions import Shuffled, shuffled
from r2rec.prompts.cases import RankingCase

Order = tuple[int, ...]
"""A ranking as indices of candidates, best first; empty where an answer is invalid."""


def reordered(cases: Sequence[RankingCase], n_orders: int, rng: Generator) -> list[Shuffled]:
    """Every case in its stored order, then `n_orders` - 1 times in random orders."""
    stored_orders = [np.arange(len(case.candidates)) for case in cases]
    rounds = [Shuffled(list(cases), stored_orders)]
    for _ in range(n_orders - 1):
        rounds.append(shuffled(cases, rng))
    return rounds


def aggregate(orders: Sequence[Order], k: int) -> Order:
    """One ranking of all candidates that any of `orders` names, out of `k`.

    A candidate earns 1 / rank in each order (the Dowdall count), so long tails that repeat the list
    count little. Ties keep the order in which the candidates are first named. Empty if every order
    is.
    """
    points = np.zeros(k)
    for order in orders:
        ranks = np.arange(1, len(order) + 1)
        points[list(order)] += 1 / ranks
    named = dict.fromkeys(chain.from_iterable(orders))
    return tuple(sorted(named, key=lambda index: -points[index]))
