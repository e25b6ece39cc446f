"""EASE (Steck, WWW 2019): the best linear map from a user's items to all items, in closed form."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.baselines.item_knn import interaction_matrix
from r2rec.baselines.ratings import IdArray


def ease_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
    regularisation: float = 200.0,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: a user's items times item-item weights (equation 8)."""
    matrix = interaction_matrix(train, users, candidates)
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    scores = matrix[users] @ weights
    return np.take_along_axis(scores, candidates.astype(np.int64), axis=1)
