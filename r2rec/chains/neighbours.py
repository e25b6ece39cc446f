"""Neighbours of a user, drawn exactly uniformly and without a loop over users (section 3.2.1, equation 1).

V(u) is the set of users who share at least `least` items with u. Two exact ways to draw from it:

- propose any active user and keep those in V(u). A uniform draw from a superset, kept only if it falls into V(u),
  is uniform over V(u). On dense data (MovieLens) nearly every proposal is kept, and V(u) is never written down.
- enumerate V(u) by a sparse product, and draw from the list. On sparse data (Amazon) nearly no proposal would be
  kept, and the list is short.

Proposals are made while they pay; whoever is still short of neighbours is then served by enumeration. Which way
serves a user depends on how many proposals were kept, never on whom they named, so the draw stays uniform.
Neighbours of one query are distinct: the next is uniform over what remains.
"""

import numpy as np
from numpy.typing import NDArray

from r2rec.chains.graph import Graph, Queries, shared

PAYS = 0.2  # share of proposals that must be kept for another round
PATHS = 20_000_000  # user-item-user paths enumerated at once, which bounds memory


def draw(
    asked: Queries, graph: Graph, k: int, least: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Up to k distinct neighbours per query, uniform over V(u).

    Args:
        least: Items that a neighbour shares with the query's past, at least.

    Returns:
        query [n], neighbour [n], sorted by query; within one, in the order drawn.
    """
    n_users = graph.ratings.shape[0]
    active = np.flatnonzero(np.diff(graph.ratings.indptr) >= least)
    asks = np.flatnonzero(np.diff(asked.past.indptr) >= least)
    got = np.empty(0, np.int64)  # keys query * n_users + neighbour, in the order drawn
    missing = np.zeros(len(asked.user), np.int64)
    missing[asks] = k
    pays = 1.0
    while pays > PAYS and len(active) and missing.any():
        query = np.repeat(np.arange(len(missing)), missing)
        keys = query * n_users + rng.choice(active, len(query))
        fresh = _unseen(keys, got)
        keep = fresh[_related(fresh, asked, graph, n_users, least)]
        got = np.concatenate([got, keep])
        missing -= np.bincount(keep // n_users, minlength=len(missing))
        pays = len(keep) / len(keys)
    if missing.any():
        got = np.concatenate([got, _enumerated(asked, graph, missing, least, got, rng)])
    got = got[np.argsort(got // n_users, kind="stable")]
    return got // n_users, got % n_users


def _unseen(keys: NDArray[np.int64], got: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each key once, in the order of first occurrence, without those in `got`."""
    _, first = np.unique(keys, return_index=True)
    keys = keys[np.sort(first)]
    return keys[~np.isin(keys, got)]


def _related(keys: NDArray, asked: Queries, graph: Graph, n_users: int, least: int) -> NDArray[np.bool_]:
    query, neighbour = keys // n_users, keys % n_users
    n_shared = np.diff(shared(asked, graph, query, neighbour).indptr)
    return (n_shared >= least) & (neighbour != asked.user[query])


def _enumerated(
    asked: Queries, graph: Graph, missing: NDArray, least: int, got: NDArray, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Keys of `missing[q]` further neighbours of each query, fewer where V(u) has no more."""
    n_users = graph.ratings.shape[0]
    todo = np.flatnonzero(missing)
    past = asked.past[todo]
    paths = np.add.reduceat(
        np.append(np.diff(graph.raters.indptr)[past.indices], 0), np.minimum(past.indptr[:-1], past.nnz)
    ) * (np.diff(past.indptr) > 0)
    blocks = np.split(todo, np.flatnonzero(np.diff(np.cumsum(paths) // PATHS)) + 1)
    return np.concatenate([_enumerated_block(asked, graph, b, missing, least, got, n_users, rng) for b in blocks])


def _enumerated_block(
    asked: Queries, graph: Graph, block: NDArray, missing: NDArray, least: int, got: NDArray, n_users: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:  # fmt: skip
    past, raters = asked.past[block], graph.raters
    past = type(past)((np.ones(past.nnz, np.int32), past.indices, past.indptr), shape=past.shape)
    raters = type(raters)((np.ones(raters.nnz, np.int32), raters.indices, raters.indptr), shape=raters.shape)
    counts = (past @ raters).tocoo()
    enough = (counts.data >= least) & (counts.col != asked.user[block[counts.row]])
    keys = block[counts.row[enough]].astype(np.int64) * n_users + counts.col[enough]
    keys = keys[~np.isin(keys, got)]
    query = keys // n_users
    order = np.lexsort((rng.random(len(keys)), query))  # a random order within each query
    keys, query = keys[order], query[order]
    place = np.arange(len(keys)) - np.searchsorted(query, query)
    return keys[place < missing[query]]
