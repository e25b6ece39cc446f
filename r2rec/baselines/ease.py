"""EASE (Steck, WWW 2019): the best linear map from a user's items to all items, in closed form."""

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from r2rec.base.errors import R2RecError
from r2rec.base.memory import available_memory
from r2rec.baselines.item_knn import early_matrices, interaction_matrix
from r2rec.baselines.ratings import IdArray

COPIES = 4  # of the items x items matrix in float64, while numpy inverts it
MOST_AT_ONCE = 16_000_000  # scores of some users for all items


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

    Raises:
        R2RecError: Items x items do not fit into memory.
    """
    matrix = interaction_matrix(train, users, candidates)
    refuse_too_many(matrix.shape[1])
    if times is None:
        return _scores(matrix, matrix, users, candidates, regularisation)
    scores = np.empty(candidates.shape)
    for rows, early in early_matrices(train, times, matrix.shape):
        scores[rows] = _scores(early, matrix, users[rows], candidates[rows], regularisation)
    return scores


def refuse_too_many(n_items: int) -> None:
    """Nothing, where a matrix of so many items can be inverted here.

    Raises:
        R2RecError: It would take more memory than is free.
    """
    needed = COPIES * 8 * n_items**2
    free = available_memory()
    if free is not None and needed > free:
        raise R2RecError(
            f"EASE inverts a matrix of {n_items:,} x {n_items:,} items, which takes "
            f"{needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are free: choose "
            "item_knn, which is sparse, or take a machine with more memory"
        )


def _scores(
    matrix: csr_array,
    past: csr_array,
    users: IdArray,
    candidates: IdArray,
    regularisation: float,
) -> NDArray[np.float64]:
    """Scores [n, k] by the items of each user in `past` and weights learnt from `matrix`."""
    weights = np.linalg.inv(_gram(matrix, regularisation))
    weights /= -weights.diagonal()
    np.fill_diagonal(weights, 0)
    scores = np.empty(candidates.shape)
    n_rows = max(1, MOST_AT_ONCE // len(weights))
    for start in range(0, len(users), n_rows):
        rows = slice(start, start + n_rows)
        of_all = past[users[rows]] @ weights
        scores[rows] = np.take_along_axis(of_all, candidates[rows].astype(np.int64), axis=1)
    return scores


def _gram(matrix: csr_array, regularisation: float) -> NDArray[np.float64]:
    """[items, items] how many users two items have in common, regularised."""
    gram: NDArray[np.float64] = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularisation
    return gram
