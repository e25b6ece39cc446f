"""Random: every order is as likely as any other, so HR@1 is 1 in the number of candidates."""

import numpy as np
import polars as pl
from numpy.typing import NDArray


def random_scores(
    train: pl.DataFrame, users: NDArray, candidates: NDArray, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: noise."""
    return rng.random(candidates.shape)
