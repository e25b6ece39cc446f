"""Popularity: candidates by their number of train ratings."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.baselines.ratings import IdArray


def popularity_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: how many train ratings each item has."""
    n_items = int(candidates.max()) + 1
    counts = np.bincount(train["item"].to_numpy(), minlength=n_items)
    return counts[candidates].astype(np.float64)
