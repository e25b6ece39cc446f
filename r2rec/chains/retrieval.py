"""Chains that speak of the candidates: u - i1 - v - candidate, through items that the same people rated.

The paper draws its chains without a look at what is asked, and names a better choice as future work. Here one rule
scores every candidate, in whatever order they are shown, and nothing in it can know which one is the positive.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains.graph import Graph, Queries
from r2rec.chains.samplers import Chains, one_of_each_row

BLOCK = 256  # queries whose candidates meet the items of their pasts at once, which bounds memory


def retrieved(
    graph: Graph, asked: Queries, per_query: int, rng: np.random.Generator, shrink: float = 10.0
) -> Chains:
    """A chain to each of the candidates nearest to the query's past, the nearest first.

    Two items are near as the cosine of their raters says, a candidate to a past as the sum over its items does
    (ItemKNN). The chain goes through the past item nearest to the candidate, and through v uniform over those who
    rated both. A candidate that nobody links to the past gets no chain.

    What the query's own user rated counts nowhere: in training the target's edge is in the graph, and would tell.

    Args:
        shrink: Added to the cosine's denominator, so that few common raters make no near pair.
    """
    ones, n = _ones(graph.raters), len(asked.user)
    blocks = [
        _of_block(graph, ones, asked, np.arange(at, min(at + BLOCK, n)), per_query, rng, shrink)
        for at in range(0, max(n, 1), BLOCK)
    ]
    return Chains(*map(np.concatenate, zip(*blocks, strict=True)))


def _of_block(
    graph: Graph, raters: csr_matrix, asked: Queries, block: NDArray, per_query: int, rng: np.random.Generator,
    shrink: float,
) -> Chains:  # fmt: skip
    assert asked.candidates is not None, "this sampler leads to candidates: give the queries theirs"
    user, shown = asked.user[block], asked.candidates[block].astype(np.int64)  # [q], [q, k]
    past = asked.past[block]
    of_entry = np.repeat(np.arange(len(block)), np.diff(past.indptr))  # [entries] rows of `past`
    mine, row = np.unique(past.indices, return_inverse=True)
    shelf, column = np.unique(shown, return_inverse=True)
    column = column.reshape(shown.shape)
    both = (
        np.asarray((raters[mine] @ raters[shelf].T).todense())
        if len(mine)
        else np.empty((0, len(shelf)))
    )
    n_raters = np.diff(raters.indptr)
    own = np.asarray(_ones(graph.ratings)[user][:, shelf].todense())[
        np.arange(len(block))[:, None], column
    ]
    common = (
        both[row[:, None], column[of_entry]] - own[of_entry]
    )  # [entries, k] others who rated both
    others = (n_raters[past.indices] - 1)[:, None] * (n_raters[shown] - own)[of_entry]
    near = common / (np.sqrt(others) + shrink)
    strength = (
        csr_matrix((np.ones(past.nnz), np.arange(past.nnz), past.indptr), (len(block), past.nnz))
        @ near
    )
    # ties by the candidate's id: its place among those shown must not matter
    order = np.lexsort((shown, -strength.round(12)))[:, :per_query]
    query, place = np.nonzero(np.take_along_axis(strength, order, 1) > 0)
    place = order[query, place]
    entry = _nearest(near, past.indptr, query, place)
    item1, item2 = past.indices[entry].astype(np.int64), shown[query, place]
    linked = raters[item1].multiply(raters[item2]).tocsr()
    linked.data[linked.indices == np.repeat(user[query], np.diff(linked.indptr))] = 0
    linked.eliminate_zeros()
    return Chains(block[query], item1, one_of_each_row(linked, rng), item2)


def _nearest(near: NDArray, start: NDArray, query: NDArray, place: NDArray) -> NDArray[np.int64]:
    """The entry of each query's past that is nearest to the candidate at this place; of equal ones the first."""
    found = [
        start[q] + near[start[q] : start[q + 1], k].argmax()
        for q, k in zip(query, place, strict=True)
    ]
    return np.array(found, np.int64)


def _ones(matrix: csr_matrix) -> csr_matrix:
    return csr_matrix(
        (np.ones(matrix.nnz, np.float64), matrix.indices, matrix.indptr), shape=matrix.shape
    )
