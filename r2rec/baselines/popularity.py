"""Popularity: candidates by their number of train ratings."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.baselines.ratings import IdArray, highest_id
from r2rec.data.moments import Timeline


def popularity_scores(
    train: pl.DataFrame,
    users: IdArray,
    candidates: IdArray,
    rng: np.random.Generator,
    times: IdArray | None = None,
) -> NDArray[np.float64]:
    """Scores [n, k] of candidates [n, k]: how many train ratings each item has.

    Args:
        times: [n] only ratings before these moments count.
    """
    n_items = int(candidates.max()) + 1
    if times is not None:
        n_items = max(n_items, highest_id(train["item"]) + 1)
        timeline = Timeline.of(train["item"].to_numpy(), train["timestamp"].to_numpy(), n_items)
        item = candidates.ravel().astype(np.int64)
        end = timeline.end(item, np.repeat(times, candidates.shape[1]))
        return (end - timeline.start[item]).reshape(candidates.shape).astype(np.float64)
    counts = np.bincount(train["item"].to_numpy(), minlength=n_items)
    return counts[candidates].astype(np.float64)
