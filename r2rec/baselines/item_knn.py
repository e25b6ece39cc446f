"""ItemKNN (Sarwar et al., WWW 2001; Deshpande & Karypis, 2004): similarity to past items."""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from r2rec.baselines.ratings import IdArray, highest_id
from r2rec.data.moments import snapshots


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
        return _scores(matrix, matrix[users], candidates, neighbours, shrink)
    scores = np.empty(candidates.shape)
    for rows, early in early_matrices(train, times, matrix.shape):
        of_rows = matrix[users[rows]], candidates[rows]
        scores[rows] = _scores(early, *of_rows, neighbours, shrink)
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
    matrix: csr_array, histories: csr_array, candidates: IdArray, neighbours: int, shrink: float
) -> NDArray[np.float64]:
    """Scores [n, k] by the items [n, items] of each user, close by the ratings in `matrix`."""
    common = (matrix.T @ matrix).toarray().astype(np.float64)
    norm = np.sqrt(common.diagonal())
    similarity = common / (np.outer(norm, norm) + shrink)
    np.fill_diagonal(similarity, 0)
    if neighbours < len(similarity):
        nearest = np.partition(similarity, -neighbours, axis=1)
        least = nearest[:, -neighbours, None]
        similarity[similarity < least] = 0
    scores = histories @ similarity.T
    return np.take_along_axis(scores, candidates.astype(np.int64), axis=1)


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


def _size(column: pl.Series, ids: IdArray) -> int:
    """One more than the largest id in either."""
    return max(highest_id(column), int(ids.max())) + 1
