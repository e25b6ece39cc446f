"""Random: every order is as likely as any other, so HR@1 is 1 / (number of candidates)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.baselines.ratings import IdArray


def random_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
    times: IdArray | None = None,
) -> NDArray[np.float64]:
    """Uniform random scores [n, k] of candidates [n, k], whatever the times."""
    return rng.random(candidates.shape)
