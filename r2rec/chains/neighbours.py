"""Neighbours of a user, drawn exactly uniformly and without a loop over users (section 3.2.1, equation 1).

V(u) is the set of users who share at least `least` items with u. Three exact ways to draw from it:

- propose any active user and keep those in V(u). A uniform draw from a superset, kept only if it falls into V(u),
  is uniform over V(u). On dense data (MovieLens) nearly every proposal is kept, and V(u) is never written down.
- propose the end of a path u - item - v, uniform over all such paths. A v who shares c items ends c of them, so those
  in V(u) are kept with chance `least` / c: each is then kept as often as any other. What a proposal costs does not
  grow with the popularity of u's items, so this serves queries with very many paths.
- enumerate V(u) by a sparse product, and draw from the list. On sparse data (Amazon) nearly no proposal of the first
  kind would be kept, and the list is short.

Proposals are made while they pay; whoever is still short of neighbours is then served by enumeration. Which way
serves a user depends on how many proposals were kept, never on whom they named, so the draw stays uniform.
Neighbours of one query are distinct: the next is uniform over what remains.

Memory is linear in the ratings, and in the users that ask. Time grows with the paths of those who ask, of which
a query walks no more than LONG, unless V(u) is so small a part of their ends that proposals miss it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains.graph import Graph, Queries, shared_items

PAYS = 0.2  # share of proposals that must be kept for another round
PATHS = 20_000_000  # user-item-user paths enumerated at once, which bounds memory
LONG = 1_000_000  # paths of a query from which on some are proposed before all are walked
TRIES, ROUNDS = 16, 4  # paths proposed for each missing neighbour at once, and how many times


def draw_neighbours(
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
    for serve in (_by_path, _enumerated):
        if not missing.any():
            break
        more = serve(asked, graph, missing, least, got, rng)
        got = np.concatenate([got, more])
        missing -= np.bincount(more // n_users, minlength=len(missing))
    got = got[np.argsort(got // n_users, kind="stable")]
    return got // n_users, got % n_users


def _unseen(keys: NDArray[np.int64], got: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each key once, in the order of first occurrence, without those in `got`."""
    _, first = np.unique(keys, return_index=True)
    keys = keys[np.sort(first)]
    return keys[~np.isin(keys, got)]


def _related(
    keys: NDArray, asked: Queries, graph: Graph, n_users: int, least: int
) -> NDArray[np.bool_]:
    query, neighbour = keys // n_users, keys % n_users
    n_shared = np.diff(shared_items(asked, graph, query, neighbour).indptr)
    return (n_shared >= least) & (neighbour != asked.user[query])


def _first(keys: NDArray[np.int64], missing: NDArray[np.int64], n_users: int) -> NDArray[np.int64]:
    """The first `missing[q]` of each query's keys, which stand together and in the order of queries."""
    query = keys // n_users
    place = np.arange(len(keys)) - np.searchsorted(query, query)
    return keys[place < missing[query]]


def _begin(asked: Queries, graph: Graph) -> NDArray[np.int64]:
    """[entries of all pasts + 1]: where the paths through each entry begin, if all paths stand in a row."""
    return np.concatenate(
        [[0], np.cumsum(np.diff(graph.raters.indptr)[asked.past.indices], dtype=np.int64)]
    )


def _blocks(query: NDArray[np.int64], cost: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Queries, of at least one, in blocks that cost about PATHS."""
    return np.split(query, np.flatnonzero(np.diff(np.cumsum(cost) // PATHS)) + 1)


def _by_path(
    asked: Queries,
    graph: Graph,
    missing: NDArray,
    least: int,
    got: NDArray,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Keys of at most `missing[q]` further neighbours of each query with very many paths."""
    begin, found = _begin(asked, graph), np.empty(0, np.int64)
    many = np.flatnonzero((missing > 0) & (np.diff(begin[asked.past.indptr]) > LONG))
    for block in _blocks(many, np.diff(asked.past.indptr)[many] * missing[many] * TRIES):
        left = np.zeros_like(missing)
        left[block] = missing[block]
        for _ in range(ROUNDS):
            if not left.any():
                break
            keys = _ends(np.repeat(block, TRIES * left[block]), begin, asked, graph, least, rng)
            more = _first(_unseen(keys, np.concatenate([got, found])), left, graph.ratings.shape[0])
            found = np.concatenate([found, more])
            left -= np.bincount(more // graph.ratings.shape[0], minlength=len(left))
    return found


def _ends(
    query: NDArray,
    begin: NDArray,
    asked: Queries,
    graph: Graph,
    least: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Keys of a uniform draw from V(u) for each of `query`, less those that are thrown away."""
    start = begin[asked.past.indptr]
    path = rng.integers(start[query], start[query + 1])
    entry = np.searchsorted(begin, path, side="right") - 1
    item = asked.past.indices[entry]
    neighbour = graph.raters.indices[graph.raters.indptr[item] + path - begin[entry]]
    n_shared = np.diff(shared_items(asked, graph, query, neighbour).indptr)
    keep = (
        (n_shared >= least)
        & (neighbour != asked.user[query])
        & (rng.random(len(query)) * n_shared < least)
    )
    return query[keep] * graph.ratings.shape[0] + neighbour[keep]


def _enumerated(
    asked: Queries,
    graph: Graph,
    missing: NDArray,
    least: int,
    got: NDArray,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Keys of `missing[q]` further neighbours of each query, fewer where V(u) has no more."""
    todo, raters = np.flatnonzero(missing), _ones(graph.raters)
    paths = np.diff(_begin(asked, graph)[asked.past.indptr])[todo]
    blocks = _blocks(todo, paths)
    return np.concatenate(
        [_enumerated_block(asked, graph, raters, b, missing, least, got, rng) for b in blocks]
    )


def _enumerated_block(
    asked: Queries, graph: Graph, raters: csr_matrix, block: NDArray, missing: NDArray, least: int, got: NDArray,
    rng: np.random.Generator,
) -> NDArray[np.int64]:  # fmt: skip
    n_users = graph.ratings.shape[0]
    counts = (_ones(asked.past[block]) @ raters).tocoo()
    enough = (counts.data >= least) & (counts.col != asked.user[block[counts.row]])
    keys = block[counts.row[enough]].astype(np.int64) * n_users + counts.col[enough]
    keys = keys[~np.isin(keys, got)]
    order = np.lexsort((rng.random(len(keys)), keys // n_users))  # a random order within each query
    return _first(keys[order], missing, n_users)


def _ones(matrix: csr_matrix) -> csr_matrix:
    return csr_matrix(
        (np.ones(matrix.nnz, np.int32), matrix.indices, matrix.indptr), shape=matrix.shape
    )
