"""ItemKNN (Sarwar et al., WWW 2001; Deshpande & Karypis, 2004): similarity to past items.

Items x items is never dense: similarities of the candidates alone are computed, a block of them at
a time, and forgotten once their users are scored. So memory doesn't grow with the number of items.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from r2rec.baselines.ratings import IdArray, highest_id
from r2rec.data.moments import snapshots

MOST_AT_ONCE = 4_000_000  # entries of sparse matrices in a block, some 16 bytes each


def item_knn_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
    neighbours: int = 100,
    shrink: float = 10.0,
    times: IdArray | None = None,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: summed cosine similarity to the user's items.

    Args:
        neighbours: Only so many nearest items of each item count.
        shrink: Added to the cosine's denominator, so that two items with few users in common are
            not close.
        times: [n] items are close by ratings before these moments alone (`moments.snapshots`).
    """
    matrix = interaction_matrix(train, users, candidates)
    if times is None:
        return _scores(matrix, matrix, users, candidates, neighbours, shrink)
    scores = np.empty(candidates.shape)
    for rows, early in early_matrices(train, times, matrix.shape):
        of_rows = users[rows], candidates[rows]
        scores[rows] = _scores(early, matrix, *of_rows, neighbours, shrink)
    return scores


def early_matrices(
    train: pl.DataFrame, times: IdArray, shape: tuple[int, int]
) -> Iterator[tuple[NDArray[np.int64], csr_array]]:
    """Numbers of the moments that share a snapshot, and its matrix as in `interaction_matrix`."""
    user = train["user"].to_numpy()
    item = train["item"].to_numpy()
    for rows, is_in in snapshots(train["timestamp"].to_numpy(), times):
        ones = np.ones(is_in.sum(), np.float32)
        yield rows, csr_array((ones, (user[is_in], item[is_in])), shape=shape)


def _scores(
    matrix: csr_array,
    past: csr_array,
    users: IdArray,
    candidates: IdArray,
    neighbours: int,
    shrink: float,
) -> NDArray[np.float64]:
    """Scores [n, k] by the items of each user in `past`, close by the ratings in `matrix`."""
    raters = csr_array(matrix.T)
    items, position = np.unique(candidates.ravel(), return_inverse=True)
    user = np.repeat(users.astype(np.int64), candidates.shape[1])
    by_item = np.argsort(position, kind="stable")
    first_pair = np.searchsorted(position[by_item], np.arange(len(items) + 1))
    lengths = np.diff(past.indptr).astype(np.int64)
    # at least the similar items
    met = np.minimum(raters[items] @ np.diff(matrix.indptr).astype(np.int64), matrix.shape[1])
    scores = np.empty(candidates.size)
    for block in _blocks(met):
        near = _similarities(matrix, raters, items[block], neighbours, shrink)
        pairs = by_item[first_pair[block.start] : first_pair[block.stop]]
        row = position[pairs] - block.start
        for part in _blocks(np.diff(near.indptr)[row] + lengths[user[pairs]]):
            rated = past[user[pairs[part]]]
            scores[pairs[part]] = _row_sums(rated.multiply(near[row[part]]))
    return scores.reshape(candidates.shape)


def interaction_matrix(train: pl.DataFrame, users: IdArray, candidates: IdArray) -> csr_array:
    """[users, items]: 1 where train has a rating.

    Args:
        users, candidates: The matrix has a row or column for these too.
    """
    user = train["user"].to_numpy().astype(np.int64)
    item = train["item"].to_numpy().astype(np.int64)
    shape = (_size(train["user"], users), _size(train["item"], candidates))
    ones = np.ones(len(user), np.float32)
    matrix = csr_array((ones, (user, item)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _blocks(entries: IdArray) -> Iterator[slice]:
    """Slices of rows that have about `MOST_AT_ONCE` entries together, or one row that has more."""
    number = np.cumsum(entries, dtype=np.int64) // MOST_AT_ONCE
    cuts = np.flatnonzero(np.diff(number)) + 1
    edges = [0, *cuts.tolist(), len(entries)]
    for start, stop in pairwise(edges):
        yield slice(start, stop)


def _similarities(
    matrix: csr_array, raters: csr_array, items: IdArray, neighbours: int, shrink: float
) -> csr_array:
    """[len(items), all items]: the nearest items of each, 0 for others and for itself."""
    norm = np.sqrt(np.diff(raters.indptr))
    near = (raters[items] @ matrix).astype(np.float64)
    row = np.repeat(np.arange(len(items)), np.diff(near.indptr))
    near.data /= norm[items][row] * norm[near.indices] + shrink
    near.data[near.indices == items[row]] = 0
    for first, last in pairwise(near.indptr):
        if last - first > neighbours:
            similarity = near.data[first:last]
            least = np.partition(similarity, -neighbours)[-neighbours]
            similarity[similarity < least] = 0
    near.eliminate_zeros()
    near.sort_indices()
    return near


def _row_sums(matrix: csr_array) -> NDArray[np.float64]:
    """[rows], added up from the left; `sum` takes another order and differs in the last digit."""
    sums: NDArray[np.float64] = matrix.tocsr() @ np.ones(matrix.shape[1])
    return sums


def _size(column: pl.Series, ids: IdArray) -> int:
    """One more than the largest id in either."""
    return max(highest_id(column), int(ids.max())) + 1
