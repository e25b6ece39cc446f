"""Popularity: candidates by their number of train ratings."""

import numpy as np
import polars as pl
from numpy.typing import NDArray


def popularity_scores(
    train: pl.DataFrame, users: NDArray, candidates: NDArray, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: ratings of each item in train."""
    counts = np.bincount(train["item"].to_numpy(), minlength=int(candidates.max()) + 1)
    return counts[candidates].astype(np.float64)
