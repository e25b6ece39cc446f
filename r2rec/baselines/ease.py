"""EASE (Steck, WWW 2019): the best linear map from a user's items to all items, in closed form."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from r2rec.baselines.item_knn import early_matrices, interaction_matrix
from r2rec.baselines.ratings import IdArray


def ease_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
    regularisation: float = 200.0,
    times: IdArray | None = None,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: a user's items times item-item weights (equation 8).

    Args:
        times: [n] weights are learnt from ratings before these moments (`moments.snapshots`).
    """
    matrix = interaction_matrix(train, users, candidates)
    if times is None:
        return _scores(matrix, matrix[users], candidates, regularisation)
    scores = np.empty(candidates.shape)
    for rows, early in early_matrices(train, times, matrix.shape):
        scores[rows] = _scores(early, matrix[users[rows]], candidates[rows], regularisation)
    return scores


def _scores(
    matrix: csr_array, histories: csr_array, candidates: IdArray, regularisation: float
) -> NDArray[np.float64]:
    """Scores [n, k] by the items [n, items] of each user and weights learnt from `matrix`."""
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    scores = histories @ weights
    return np.take_along_axis(scores, candidates.astype(np.int64), axis=1)
