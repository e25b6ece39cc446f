"""ItemKNN (Sarwar et al., WWW 2001; Deshpande & Karypis, 2004): candidates close to what the user has."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array


def item_knn_scores(
    train: pl.DataFrame,
    users: NDArray,
    candidates: NDArray,
    rng: np.random.Generator,
    neighbours: int = 100,
    shrink: float = 10.0,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: summed cosines with the user's items, each item's nearest alone.

    Args:
        shrink: Added to the cosine's denominator, so that few common users make no close pair.
    """
    matrix = interactions(
        train, int(max(users.max(), train["user"].max() or 0)) + 1, int(candidates.max()) + 1
    )
    common = (matrix.T @ matrix).toarray().astype(np.float64)
    norm = np.sqrt(common.diagonal())
    similarity = common / (np.outer(norm, norm) + shrink)
    np.fill_diagonal(similarity, 0)
    if neighbours < len(similarity):
        least = np.partition(similarity, -neighbours, axis=1)[:, -neighbours, None]
        similarity[similarity < least] = 0
    return np.take_along_axis(matrix[users] @ similarity.T, candidates.astype(np.int64), 1)


def interactions(train: pl.DataFrame, n_users: int, n_items: int) -> csr_array:
    """Users x items, 1 where there is a rating."""
    user, item = (
        train["user"].to_numpy().astype(np.int64),
        train["item"].to_numpy().astype(np.int64),
    )
    n_items = max(n_items, int(item.max(initial=-1)) + 1)
    matrix = csr_array((np.ones(len(user), np.float32), (user, item)), shape=(n_users, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
