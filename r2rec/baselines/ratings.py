"""Train ratings as implicit feedback: what every classical baseline learns from."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError

IdArray = NDArray[np.integer[Any]]  # ids of users or items


class Ratings(NamedTuple):
    """Who interacted with what: the items of all users in time order, in one array."""

    n_users: int
    n_items: int
    user: NDArray[np.int64]  # [rows], sorted
    item: NDArray[np.int64]  # [rows]
    start: NDArray[np.int64]  # [n_users + 1]; the items of user u are item[start[u]:start[u + 1]]


def train_ratings(
    train: pl.DataFrame, n_users: int, n_items: int, above: float | None = None
) -> Ratings:
    """The rows of a train table (`split`), or only those with a rating above `above`."""
    rows = train
    if above is not None:
        rows = train.filter(pl.col("rating") > above)
    rows = rows.sort("user", maintain_order=True)
    user = rows["user"].to_numpy().astype(np.int64)
    item = rows["item"].to_numpy().astype(np.int64)
    start = np.searchsorted(user, np.arange(n_users + 1))
    return Ratings(n_users, n_items, user, item, start)


def load_ratings(
    prepare: Path, split: Path, above: float | None = None, ratings: Path | None = None
) -> Ratings:
    """The train ratings of two artefacts.

    Args:
        ratings: Another table in the place of train (`told_table`).

    Raises:
        R2RecError: No rating is left to learn from.
    """
    train = pl.read_parquet(ratings or split / "train.parquet")
    n_users = _count_rows(prepare / "users.parquet")
    # Noise adds fake users, whose ids follow those of the users table.
    n_users = max(n_users, highest_id(train["user"]) + 1)
    n_items = _count_rows(prepare / "items.parquet")
    data = train_ratings(train, n_users, n_items, above)
    if not len(data.user):
        raise R2RecError(
            "no train rating is left to learn from;"
            " lower evaluation.positive_above or use a larger data set"
        )
    return data


def highest_id(ids: pl.Series) -> int:
    """The largest of some ids; -1 where there are none."""
    largest = ids.max()
    return largest if isinstance(largest, int) else -1


def _count_rows(table: Path) -> int:
    count = pl.scan_parquet(table).select(pl.len())
    return int(count.collect().item())
