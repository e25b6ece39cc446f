"""Train-side ratings as implicit feedback: what every classical baseline learns from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError


class Ratings(NamedTuple):
    """Who interacted with what: each user's items in time order, in one array."""

    n_users: int
    n_items: int
    user: NDArray[np.int64]  # [rows], sorted
    item: NDArray[np.int64]  # [rows]
    start: NDArray[np.int64]  # [n_users + 1]; the items of user u are item[start[u]:start[u + 1]]


def train_ratings(
    train: pl.DataFrame, n_users: int, n_items: int, above: float | None = None
) -> Ratings:
    """The rows of a train table (`split`), or those rated above a threshold."""
    rows = train if above is None else train.filter(pl.col("rating") > above)
    rows = rows.sort("user", maintain_order=True)
    user, item = (rows[column].to_numpy().astype(np.int64) for column in ("user", "item"))
    return Ratings(n_users, n_items, user, item, np.searchsorted(user, np.arange(n_users + 1)))


def load_ratings(prepare: Path, split: Path, above: float | None = None) -> Ratings:
    """From two artefacts.

    Raises:
        R2RecError: Nothing is left to learn from.
    """
    n_users, n_items = (
        pl.scan_parquet(prepare / f"{t}.parquet").select(pl.len()).collect().item() for t in SIDES
    )
    train = pl.read_parquet(split / "train.parquet")
    loaded = train_ratings(train, max(n_users, (train["user"].max() or 0) + 1), n_items, above)  # type: ignore[operator]
    if not len(loaded.user):
        raise R2RecError(
            "no train rating is left to learn from; lower evaluation.positive_above or give more data"
        )
    return loaded


SIDES = ("users", "items")
