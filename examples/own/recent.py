"""A baseline: popularity that fades."""

import numpy as np
import polars as pl
from numpy.random import Generator

DAY = 86_400  # seconds


def recent(
    train: pl.DataFrame, users: np.ndarray, candidates: np.ndarray, rng: Generator, days: float
) -> np.ndarray:
    """Scores [n, k] of candidates [n, k]; higher is better. Users play no part."""
    time = train["timestamp"].to_numpy()
    weights = 0.5 ** ((time.max() - time) / DAY / days)
    counts = np.bincount(train["item"], weights, minlength=int(candidates.max()) + 1)
    return counts[candidates]
