"""A chain sampler: the neighbours are those who share most items."""

import numpy as np
from numpy.random import Generator

from r2rec.chains.graph import Graph, Queries
from r2rec.chains.samplers import Chains


def nearest(graph: Graph, queries: Queries, per_query: int, rng: Generator) -> Chains:
    """Chains u - item1 - neighbour - item2 - u, one through each of the nearest neighbours."""
    rows = []
    for query, user in enumerate(queries.user):
        past = queries.past[query].indices
        shared = np.diff(graph.raters[past].T.tocsr().indptr)  # of each user with u
        shared[user] = 0
        for neighbour in np.argsort(-shared, kind="stable")[:per_query]:
            common = np.intersect1d(past, graph.ratings[neighbour].indices)
            if len(common) > 1:
                item1, item2 = rng.permutation(common)[:2]
                rows.append((query, item1, neighbour, item2))
    return Chains(*np.array(rows, np.int64).reshape(-1, 4).T)
