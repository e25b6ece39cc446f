"""EASE (Steck, WWW 2019): the best linear map from what a user has to what they like, in closed form."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.baselines.item_knn import interactions


def ease_scores(
    train: pl.DataFrame,
    users: NDArray,
    candidates: NDArray,
    rng: np.random.Generator,
    regularisation: float = 200.0,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: a user's items times the item-item weights (equation 8)."""
    matrix = interactions(
        train, int(max(users.max(), train["user"].max() or 0)) + 1, int(candidates.max()) + 1
    )
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = np.linalg.inv(gram)
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    return np.take_along_axis(matrix[users] @ weights, candidates.astype(np.int64), 1)
