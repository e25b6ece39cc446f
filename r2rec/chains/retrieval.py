"""Chains that lead to the candidates: u - item1 - v - candidate, through items with common raters.

The paper draws its chains independently of the candidates, and names a better choice as future
work. Here one rule scores every candidate, whatever the order in which they are shown, and nothing
in it can know which one is the positive.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from r2rec.base.errors import R2RecError
from r2rec.chains.before import Raters
from r2rec.chains.graph import FloatArray, Graph, IntArray, Queries, moments_of
from r2rec.chains.samplers import Chains, one_of_each_row

MOST_COLUMNS = 1 << 26  # of a matrix with a column for each query and user
BLOCK_QUERIES = 256  # queries whose candidates are compared with their pasts at once; bounds memory
DECIMALS = 12  # strengths that agree in so many are equal: rounding errors must not order them


class _Block(NamedTuple):
    """Some queries, with their candidates and what counts of their pasts."""

    query: IntArray  # [q] row numbers
    user: IntArray  # [q]
    candidates: IntArray  # [q, k]
    item: IntArray  # [entries] the items of all pasts, query by query, the latest first
    weight: FloatArray  # [entries]
    begin: IntArray  # [q + 1] where each query's entries begin
    time: IntArray | None  # [q] the moment of each query, where there is one

    @property
    def entry_query(self) -> IntArray:
        """[entries] the row in this block of the query of each entry."""
        return np.repeat(np.arange(len(self.query)), np.diff(self.begin))


class _Ones(NamedTuple):
    """The graph with 1 in place of each rating."""

    ratings: csr_matrix  # [users, items]
    raters: csr_matrix  # [items, users]
    in_time: Raters | None  # where queries have moments


class _Overlap(NamedTuple):
    """How many others rated an item of a past, a candidate, and both."""

    past: IntArray  # [entries]
    candidate: FloatArray  # [q, k]
    both: FloatArray  # [entries, k]


def retrieved(
    graph: Graph,
    queries: Queries,
    per_query: int,
    rng: np.random.Generator,
    shrink: float = 10.0,
    recent: int | None = None,
    decay: float = 1.0,
) -> Chains:
    """A chain to each of the candidates nearest to the query's past, the nearest first.

    The nearness of two items is the cosine of their raters; that of a candidate to a past is the
    weighted sum over the items of the past (ItemKNN). The chain goes through the item of the past
    that adds most to it, the latest of equal ones, and through a v that is uniform over those who
    rated both. A candidate that nobody links to the past gets no chain.

    Ratings of the query's own user count nowhere: in training the rating of the positive is in the
    graph, and would reveal it. Where a query has a moment, only ratings before it count.

    Args:
        shrink: Added to the cosine's denominator, so that few common raters make no near pair.
        recent: How many of the user's latest items count. None: all.
        decay: Weight of an item relative to the next later one.

    Raises:
        R2RecError: The queries have no candidates.
    """
    if queries.candidates is None:
        raise R2RecError(
            "the chain sampler retrieval leads to candidates: set chain_sampler.forward=true"
        )
    in_time = None if queries.time is None else Raters.of(graph)
    ones = _Ones(_ones(graph.ratings), _ones(graph.raters), in_time)
    n_queries = len(queries.user)
    size = BLOCK_QUERIES
    if in_time:
        size = max(1, min(size, MOST_COLUMNS // ones.ratings.shape[0]))
    chains = []
    for begin in range(0, max(n_queries, 1), size):  # one empty block for no queries
        query = np.arange(begin, min(begin + size, n_queries))
        block = _block(graph, queries, query, recent, decay)
        chains.append(_block_chains(ones, block, per_query, rng, shrink))
    columns = [np.concatenate(parts) for parts in zip(*chains, strict=True)]
    return Chains(*columns)


def _block(
    graph: Graph, queries: Queries, query: IntArray, recent: int | None, decay: float
) -> _Block:
    """The block of these queries, which have candidates."""
    user = queries.user[query]
    length = queries.length[query]
    counted = length if recent is None else np.minimum(length, recent)
    row, age = np.nonzero(np.arange(counted.max(initial=0)) < counted[:, None])
    return _Block(
        query=query,
        user=user,
        candidates=np.asarray(queries.candidates)[query].astype(np.int64),
        item=graph.item[graph.start[user[row]] + length[row] - 1 - age],
        weight=np.float64(decay) ** age,
        begin=np.concatenate([[0], np.cumsum(counted)]),
        time=moments_of(queries, query),
    )


def _block_chains(
    ones: _Ones,
    block: _Block,
    per_query: int,
    rng: np.random.Generator,
    shrink: float,
) -> Chains:
    nearness = _nearness(ones, block, shrink)
    n_entries = len(block.item)
    entry_to_query = csr_matrix(
        (np.ones(n_entries), np.arange(n_entries), block.begin),
        shape=(len(block.query), n_entries),
    )
    strength = entry_to_query @ nearness  # [q, k]
    # Equal candidates go by their id: the order in which they are shown must not matter.
    order = np.lexsort((block.candidates, -strength.round(DECIMALS)))[:, :per_query]
    is_linked = np.take_along_axis(strength, order, 1) > 0
    row, place = np.nonzero(is_linked)
    column = order[row, place]
    entry = _nearest_entries(nearness, block.begin, row, column)
    item1 = block.item[entry]
    item2 = block.candidates[row, column]
    moment = None if block.time is None else block.time[row]
    linking = _rated_both(ones, item1, item2, block.user[row], moment)
    return Chains(block.query[row], item1, one_of_each_row(linking, rng), item2)


def _nearness(ones: _Ones, block: _Block, shrink: float) -> FloatArray:
    """[entries, k] of each item in a query's past to each of the query's candidates, weighted."""
    overlap = _overlap(ones, block) if ones.in_time is None else _overlap_before(ones, block)
    of_candidate = overlap.candidate[block.entry_query]
    denominator = np.sqrt(overlap.past[:, None] * of_candidate) + shrink
    nearness: FloatArray = overlap.both / denominator * block.weight[:, None]
    return nearness


def _overlap(ones: _Ones, block: _Block) -> _Overlap:
    """The overlaps of all ratings."""
    entry_query = block.entry_query
    past_items, entry_row = np.unique(block.item, return_inverse=True)
    shown_items, flat_column = np.unique(block.candidates, return_inverse=True)
    column = flat_column.reshape(block.candidates.shape)
    if len(past_items):
        product = ones.raters[past_items] @ ones.raters[shown_items].T
        common = np.asarray(product.todense())  # [past items, shown items] who rated both
    else:
        common = np.empty((0, len(shown_items)))
    rated = np.asarray(ones.ratings[block.user][:, shown_items].todense())
    # 1 where the query's own user rated the candidate, who must not count.
    own = rated[np.arange(len(block.query))[:, None], column]
    n_raters = np.diff(ones.raters.indptr)
    return _Overlap(
        past=n_raters[block.item] - 1,
        candidate=n_raters[block.candidates] - own,
        both=common[entry_row[:, None], column[entry_query]] - own[entry_query],
    )


def _overlap_before(ones: _Ones, block: _Block) -> _Overlap:
    """The overlaps of ratings before the moments of the queries.

    Each query has columns of its own, one for each user, so that a product of item by candidate
    counts no rating twice.
    """
    n_queries, k = block.candidates.shape
    n_users = ones.ratings.shape[0]
    shape = (n_queries, n_users)
    query = block.entry_query
    past = _raters_before(ones, block, block.item, query, shape)
    of_candidate = np.repeat(np.arange(n_queries), k)
    shown = _raters_before(ones, block, block.candidates.ravel(), of_candidate, shape)
    common = (past @ shown.T).tocsr()  # [entries, q * k], of one query in each row
    column = query[:, None] * k + np.arange(k)
    both = np.zeros(column.shape)
    if column.size:
        row = np.repeat(np.arange(len(query)), k)
        both = np.asarray(common[row, column.ravel()]).reshape(column.shape)
    n_shown = np.diff(shown.indptr).reshape(n_queries, k).astype(np.float64)
    return _Overlap(np.diff(past.indptr), n_shown, both)


def _raters_before(
    ones: _Ones, block: _Block, item: IntArray, query: IntArray, shape: tuple[int, int]
) -> csr_matrix:
    """[n, queries * users] 1 where another user had rated an item before its query's moment."""
    assert ones.in_time is not None
    assert block.time is not None
    row, user = ones.in_time.listed(item, block.time[query])
    is_other = user != block.user[query[row]]
    row, user = row[is_other], user[is_other]
    column = query[row] * shape[1] + user
    return csr_matrix((np.ones(len(row)), (row, column)), (len(item), shape[0] * shape[1]))


def _nearest_entries(
    nearness: FloatArray,
    past_begin: IntArray,
    row: IntArray,
    column: IntArray,
) -> IntArray:
    """[n] the entry of a query's past that is nearest to a candidate; the latest of equal ones.

    Args:
        row: [n] the query's row in the block.
        column: [n] the candidate's place among those of the query.
    """
    entries = []
    for query_row, candidate in zip(row, column, strict=True):
        begin = past_begin[query_row]
        end = past_begin[query_row + 1]
        entries.append(begin + nearness[begin:end, candidate].argmax())
    return np.array(entries, np.int64)


def _rated_both(
    ones: _Ones,
    item1: IntArray,
    item2: IntArray,
    user: IntArray,
    time: IntArray | None,
) -> csr_matrix:
    """[n, users] who rated item1 and item2, without `user`, and before moments [n] if given."""
    if ones.in_time is None or time is None:
        first, second = ones.raters[item1], ones.raters[item2]
    else:
        shape = (len(item1), ones.ratings.shape[0])
        first, second = (
            csr_matrix((np.ones(len(row)), (row, rater)), shape)
            for row, rater in (ones.in_time.listed(item, time) for item in (item1, item2))
        )
    both = first.multiply(second).tocsr()
    own_user = np.repeat(user, np.diff(both.indptr))
    both.data[both.indices == own_user] = 0
    both.eliminate_zeros()
    return both


def _ones(matrix: csr_matrix) -> csr_matrix:
    ones = np.ones(matrix.nnz, np.float64)
    return csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
