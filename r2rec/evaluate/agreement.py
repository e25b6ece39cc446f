"""How far several rankings of the same candidates agree."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from r2rec.evaluate.arrays import Integers
from r2rec.evaluate.orders import Order, aggregate


def first_of_all(orders: Sequence[Order], k: int) -> int:
    """The index that the aggregate of valid orders ranks first; -1 without any order."""
    combined = aggregate(orders, k)
    if not combined:
        return -1
    return combined[0]


def kendall_tau(a: Order, b: Order, k: int) -> float:
    """Kendall's tau-b of two rankings of `k` items; items left out share the last rank.

    0 where it is not defined: all items of a ranking share one rank.
    """
    from scipy.stats import kendalltau

    ranks_a = _ranks(a, k)
    ranks_b = _ranks(b, k)
    return float(np.nan_to_num(kendalltau(ranks_a, ranks_b).statistic))


def _ranks(order: Order, k: int) -> Integers:
    """[k] the 0-based rank of each item; `k` for items that `order` leaves out."""
    ranks = np.full(k, k)
    ranks[list(order)] = np.arange(len(order))
    return ranks


def mean_or_none(values: ArrayLike) -> float | None:
    """The mean, or None of nothing: what was not measured is not zero."""
    values = np.asarray(values)
    if not len(values):
        return None
    return float(values.mean())
