"""What a user's whole past says of the candidates: EASE, as if the user were not in the data.

EASE (Steck, WWW 2019) is the linear map from a user's items to all items that errs least: how much
the people who rated an item rate another one too, beyond what their other items explain. Its
weights are learnt from all users. A training target is among the ratings of its user, so here the
user's own row is taken out again, exactly, by a rank-one update of the inverse (Sherman-Morrison).
A training prompt then sees what a test prompt will see.

Where a query has a moment, the weights are those of a snapshot: of the first ratings in time, at
least half of those before the moment and none of the others (`moments.snapshots`).
"""

from collections.abc import Iterator

import numpy as np
from scipy.linalg import lapack
from scipy.sparse import csr_matrix

from r2rec.base.errors import R2RecError
from r2rec.chains.graph import FloatArray, Graph, IntArray, Queries, rating_times
from r2rec.data.moments import snapshots

MOST_ITEMS = 10_000
"""Inverting an item-item matrix of this size takes 3 GB, and half a minute of one core."""

REGULARISATION = 200.0
QUERIES_AT_ONCE = 512


def tastes(
    graph: Graph, queries: Queries, candidates: IntArray, regularisation: float
) -> FloatArray:
    """[q, k] how well each candidate fits the past of its query.

    Args:
        candidates: [q, k].
        regularisation: What is added to the diagonal of the item-item matrix.

    Raises:
        R2RecError: There are more than `MOST_ITEMS` items.
    """
    if graph.n_items > MOST_ITEMS:
        raise R2RecError(
            f"chain_sampler.params.taste needs a matrix of all items, and {graph.n_items:,} are "
            f"more than {MOST_ITEMS:,}: set it to 0"
        )
    found = np.empty(candidates.shape)
    for query, ratings in _learnt_from(graph, queries):
        inverse = _inverse(ratings, regularisation)
        for begin in range(0, len(query), QUERIES_AT_ONCE):
            rows = query[begin : begin + QUERIES_AT_ONCE]
            own = ratings[queries.user[rows]]
            past = _ones(queries.past[rows])
            found[rows] = _without_own(inverse, own, past, candidates[rows])
    return found


def _learnt_from(graph: Graph, queries: Queries) -> Iterator[tuple[IntArray, csr_matrix]]:
    """Row numbers of queries, and the ratings [users, items] that their weights are learnt from."""
    if queries.time is None:
        yield np.arange(len(queries.user)), _ones(graph.ratings)
        return
    n_ratings = np.diff(graph.start)
    user = np.repeat(np.arange(len(n_ratings)), n_ratings)
    for query, is_in in snapshots(rating_times(graph), queries.time):
        pairs = (user[is_in], graph.item[is_in])
        yield query, csr_matrix((np.ones(is_in.sum()), pairs), graph.ratings.shape)


def _without_own(
    inverse: FloatArray, own: csr_matrix, past: csr_matrix, candidates: IntArray
) -> FloatArray:
    """[n, k] scores by the weights that are learnt from all rows but a query's own.

    Args:
        inverse: [items, items] of the matrix of all rows.
        own: [n, items] the whole row of each query's user.
        past: [n, items] the part of it that the query may use.
    """
    of_own = own @ inverse
    # Both are the first ratings of one history, so rows of one length are the same.
    is_whole = np.array_equal(past.indptr, own.indptr)
    of_past = of_own if is_whole else past @ inverse
    scale = 1 / (1 - _row_products(own, of_own))
    shift = _row_products(past, of_own) * scale
    own_at = np.take_along_axis(of_own, candidates, axis=1)
    past_at = np.take_along_axis(of_past, candidates, axis=1)
    diagonal = inverse.diagonal()[candidates] + own_at**2 * scale[:, None]
    total = past_at + own_at * shift[:, None]
    row = np.arange(len(candidates)).repeat(candidates.shape[1])
    is_past = np.asarray(past[row, candidates.ravel()]).reshape(candidates.shape)
    scores: FloatArray = is_past - total / diagonal  # an item says nothing of itself
    return scores


def _inverse(ratings: csr_matrix, regularisation: float) -> FloatArray:
    """The inverse of the regularised item-item matrix."""
    gram = (ratings.T @ ratings).toarray()
    gram[np.diag_indices_from(gram)] += regularisation
    factor, _ = lapack.dpotrf(gram, lower=True)
    lower, _ = lapack.dpotri(factor, lower=True)  # half of the work of a general inverse
    lower = np.tril(lower)
    inverse: FloatArray = lower + np.tril(lower, -1).T
    return inverse


def _ones(ratings: csr_matrix) -> csr_matrix:
    """The same entries, each 1."""
    return csr_matrix((np.ones(ratings.nnz), ratings.indices, ratings.indptr), ratings.shape)


def _row_products(sparse: csr_matrix, dense: FloatArray) -> FloatArray:
    """[n] the product of each row of one with the same row of the other."""
    products: FloatArray = np.asarray(sparse.multiply(dense).sum(axis=1)).ravel()
    return products
