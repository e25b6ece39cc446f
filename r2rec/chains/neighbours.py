"""Neighbours of a user, drawn exactly uniformly and without a loop over users.

Section 3.2.1, equation 1: V(u) is the set of users who share at least `min_shared` items with u.
Three exact ways to draw from it:

- Propose any active user and keep those in V(u). A uniform draw from a superset, kept only if it
  falls into V(u), is uniform over V(u). On dense data (MovieLens) nearly every proposal is kept,
  and V(u) is never written down.
- Propose the end of a path u - item - v, uniform over all such paths. A v who shares c items ends
  c of them, so those in V(u) are kept with probability `min_shared` / c: each is then kept as often
  as any other. The cost of a proposal does not grow with the popularity of u's items, so this
  serves queries with very many paths.
- Enumerate V(u) by a sparse product, and draw from the list. On sparse data (Amazon) nearly no
  proposal of the first kind would be kept, and the list is short.

Proposals are made while they pay; whoever still lacks neighbours is then served by enumeration.
Which way serves a user depends on how many proposals were kept, never on whom they named, so the
draw stays uniform. Neighbours of one query are distinct: the next is uniform over what remains.

Memory is linear in the ratings, and in the queries. Time grows with the paths of the queries; no
more than MANY_PATHS of one query are walked, unless V(u) is so small a part of their ends that
proposals miss it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains.before import Raters
from r2rec.chains.graph import BoolArray, Graph, IntArray, Queries, shared_items

PAYS = 0.2  # share of proposed users that must be kept for another round
MAX_PATHS_AT_ONCE = 20_000_000  # user-item-user paths enumerated at once; bounds memory
MANY_PATHS = 1_000_000  # a query with more has some of its paths proposed before all are walked
PATHS_PER_NEIGHBOUR = 16  # paths proposed at once for each missing neighbour
PATH_ROUNDS = 4  # how many times paths are proposed


class _Search(NamedTuple):
    """Who wants neighbours, where they are, and how many items they must share."""

    queries: Queries
    graph: Graph
    min_shared: int
    raters: Raters | None  # where only ratings before the moment of a query count

    @property
    def n_users(self) -> int:
        n_users: int = self.graph.ratings.shape[0]
        return n_users

    def keys(
        self,
        query: IntArray,
        neighbour: IntArray,
    ) -> IntArray:
        """Pairs of a query and a neighbour as one number each."""
        return query * self.n_users + neighbour


@dataclass
class _Progress:
    """The neighbours drawn so far, as keys in the order drawn, and how many each query lacks."""

    keys: IntArray
    missing: IntArray  # [q]
    n_users: int

    def add(self, keys: IntArray) -> None:
        self.keys = np.concatenate([self.keys, keys])
        query = keys // self.n_users
        self.missing -= np.bincount(query, minlength=len(self.missing))


def draw_neighbours(
    queries: Queries,
    graph: Graph,
    k: int,
    min_shared: int,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Draw up to k distinct neighbours per query, uniform over V(u).

    Args:
        min_shared: How many items a neighbour shares with the query's past, at least.

    Returns:
        query [n] (row numbers) and neighbour [n] (user ids), sorted by query; within a query in
        the order drawn.
    """
    raters = None if queries.time is None else Raters.of(graph)
    search = _Search(queries, graph, min_shared, raters)
    missing = np.zeros(len(queries.user), np.int64)
    past_length = np.diff(queries.past.indptr)
    missing[past_length >= min_shared] = k
    progress = _Progress(np.empty(0, np.int64), missing, search.n_users)
    _propose_users(search, progress, rng)
    if progress.missing.any():
        _propose_paths(search, progress, rng)
    if progress.missing.any():
        progress.add(_enumerated(search, progress, rng))
    by_query = np.argsort(progress.keys // search.n_users, kind="stable")
    keys = progress.keys[by_query]
    return keys // search.n_users, keys % search.n_users


def _propose_users(search: _Search, progress: _Progress, rng: np.random.Generator) -> None:
    """Rounds of proposed users, while enough of them are kept."""
    n_ratings = np.diff(search.graph.ratings.indptr)
    active = np.flatnonzero(n_ratings >= search.min_shared)
    if search.raters is not None:
        active = np.arange(search.n_users)  # who is active later must not change the draw
    every_query = np.arange(len(progress.missing))
    kept_share = 1.0
    while kept_share > PAYS and len(active) and progress.missing.any():
        query = np.repeat(every_query, progress.missing)
        keys = search.keys(query, rng.choice(active, len(query)))
        fresh = _unseen(keys, progress.keys)
        kept = fresh[_are_neighbours(search, fresh)]
        progress.add(kept)
        kept_share = len(kept) / len(keys)


def _unseen(keys: IntArray, seen: IntArray) -> IntArray:
    """Each key once, in the order of first occurrence, without those in `seen`."""
    _, first = np.unique(keys, return_index=True)
    distinct = keys[np.sort(first)]
    return distinct[~np.isin(distinct, seen)]


def _are_neighbours(search: _Search, keys: IntArray) -> BoolArray:
    query = keys // search.n_users
    neighbour = keys % search.n_users
    is_other: BoolArray = neighbour != search.queries.user[query]
    shares_enough = _n_shared(search, query, neighbour) >= search.min_shared
    return is_other & shares_enough


def _n_shared(
    search: _Search,
    query: IntArray,
    neighbour: IntArray,
) -> NDArray[np.int32]:
    """[pairs] how many items query and neighbour share."""
    shared = shared_items(search.queries, search.graph, query, neighbour)
    n_shared: NDArray[np.int32] = np.diff(shared.indptr)
    return n_shared


def _first_missing(progress: _Progress, keys: IntArray) -> IntArray:
    """The first `missing[q]` of each query's keys. Keys are sorted by query."""
    query = keys // progress.n_users
    place_in_query = np.arange(len(keys)) - np.searchsorted(query, query)
    return keys[place_in_query < progress.missing[query]]


def _path_starts(search: _Search) -> IntArray:
    """Where the paths through each entry of the pasts begin, if all paths stand in one row.

    Returns:
        [entries of all pasts + 1]
    """
    past = search.queries.past
    if search.raters is None:
        n_paths = np.diff(search.graph.raters.indptr)[past.indices]
    else:
        moment = np.repeat(np.asarray(search.queries.time), np.diff(past.indptr))
        n_paths = search.raters.counts(past.indices.astype(np.int64), moment)
    return np.concatenate([[0], np.cumsum(n_paths, dtype=np.int64)])


def _blocks(query: IntArray, cost: IntArray) -> list[IntArray]:
    """Split the queries into blocks that cost about MAX_PATHS_AT_ONCE; at least one query each."""
    block_number = np.cumsum(cost) // MAX_PATHS_AT_ONCE
    first_of_block = np.flatnonzero(np.diff(block_number)) + 1
    return np.split(query, first_of_block)


def _propose_paths(search: _Search, progress: _Progress, rng: np.random.Generator) -> None:
    """Serve queries with very many paths by proposing some of these."""
    starts = _path_starts(search)
    past_begin = search.queries.past.indptr
    n_paths = np.diff(starts[past_begin])
    many = np.flatnonzero((progress.missing > 0) & (n_paths > MANY_PATHS))
    past_length = np.diff(past_begin)[many]
    cost = past_length * progress.missing[many] * PATHS_PER_NEIGHBOUR
    for block in _blocks(many, cost):
        for _ in range(PATH_ROUNDS):
            missing = progress.missing[block]
            if not missing.any():
                break
            query = np.repeat(block, PATHS_PER_NEIGHBOUR * missing)
            keys = _kept_path_ends(search, query, starts, rng)
            progress.add(_first_missing(progress, _unseen(keys, progress.keys)))


def _kept_path_ends(
    search: _Search,
    query: IntArray,
    starts: IntArray,
    rng: np.random.Generator,
) -> IntArray:
    """Keys of a uniform draw from V(u) for each of `query`, without those that are rejected."""
    past = search.queries.past
    first_path = starts[past.indptr]
    path = rng.integers(first_path[query], first_path[query + 1])
    entry = np.searchsorted(starts, path, side="right") - 1
    neighbour = _path_ends(search, past.indices[entry], path - starts[entry])
    n_shared = _n_shared(search, query, neighbour)
    is_other = neighbour != search.queries.user[query]
    # `n_shared` paths end at v: accept each with probability min_shared / n_shared.
    is_accepted = rng.random(len(query)) * n_shared < search.min_shared
    kept = (n_shared >= search.min_shared) & is_other & is_accepted
    return search.keys(query[kept], neighbour[kept])


def _path_ends(search: _Search, item: IntArray, number: IntArray) -> IntArray:
    """[n] the users at the end of these paths: of each, its item and its number there."""
    if search.raters is not None:
        first = search.raters.timeline.start[item]
        known: IntArray = search.raters.user[first + number]
        return known
    raters = search.graph.raters
    ends: IntArray = raters.indices[raters.indptr[item] + number]
    return ends


def _enumerated(search: _Search, progress: _Progress, rng: np.random.Generator) -> IntArray:
    """Keys of the missing neighbours, fewer where V(u) has no more."""
    raters = _ones(search.graph.raters)
    query = np.flatnonzero(progress.missing)
    n_paths = np.diff(_path_starts(search)[search.queries.past.indptr])
    keys = []
    for block in _blocks(query, n_paths[query]):
        keys.append(_enumerated_block(search, progress, raters, block, rng))
    return np.concatenate(keys)


def _enumerated_block(
    search: _Search,
    progress: _Progress,
    raters: csr_matrix,
    block: IntArray,
    rng: np.random.Generator,
) -> IntArray:
    row, neighbour, n_shared = _all_ends(search, raters, block)
    is_other = neighbour != search.queries.user[block[row]]
    in_v = (n_shared >= search.min_shared) & is_other
    query = block[row[in_v]]
    keys = search.keys(query, neighbour[in_v])
    keys = keys[~np.isin(keys, progress.keys)]
    # A random order within each query.
    order = np.lexsort((rng.random(len(keys)), keys // search.n_users))
    return _first_missing(progress, keys[order])


def _all_ends(
    search: _Search, raters: csr_matrix, block: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Row in `block`, user, and how many items they share, of all ends of the block's paths."""
    past = search.queries.past[block]
    if search.raters is None:
        n_shared = (_ones(past) @ raters).tocoo()
        return n_shared.row, n_shared.col, n_shared.data
    row = np.repeat(np.arange(len(block)), np.diff(past.indptr))
    moment = np.asarray(search.queries.time)[block[row]]
    path, user = search.raters.listed(past.indices.astype(np.int64), moment)
    keys, counts = np.unique(search.keys(row[path], user), return_counts=True)
    return keys // search.n_users, keys % search.n_users, counts


def _ones(matrix: csr_matrix) -> csr_matrix:
    """The matrix with 1 in place of each stored value, so that a product counts."""
    ones = np.ones(matrix.nnz, np.int32)
    return csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
