"""Corrupt train ratings on purpose, to see how robust a method is: `noise=...`, applied by `split`.

Held-out items and candidates are chosen before, so results are paired with those of the clean run.
Every function takes and returns a train table (user, item, rating, timestamp; sorted by user, then
time). Fake users get the ids after the last real one.
"""

from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.data import negatives

POPULAR_SHARE = 0.01  # of all items: those that a bandwagon attack rates too
LOWEST_STAR, HIGHEST_STAR = 1, 5


def drop(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    share: float,
) -> pl.DataFrame:
    """Leave out a share of all ratings: sparser data."""
    is_kept = rng.random(train.height) >= share
    return train.filter(pl.Series(is_kept))


def flip(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    share: float,
) -> pl.DataFrame:
    """Turn a share of all ratings into their opposite, 5 stars into 1."""
    is_flipped = pl.Series(rng.random(train.height) < share)
    opposite = LOWEST_STAR + HIGHEST_STAR - pl.col("rating")
    return train.with_columns(rating=pl.when(is_flipped).then(opposite).otherwise("rating"))


def shift(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    share: float,
) -> pl.DataFrame:
    """Change tastes: the first share of every user's ratings become those of another user.

    The other user is one who rated about as many items. No rating is lost, unlike in `drop`: a
    user's own rating stays if the other has none left, or one of an item that the user has already.
    """
    position = pl.int_range(pl.len()).over("user")
    n_shifted = (pl.len() * share).floor().cast(pl.Int64).over("user")
    early = train.filter(position < n_shifted)
    taken = early.select("user", position=position, item_before="item")
    lent = early.select(other="user", position=position, item="item", lent_rating="rating")
    swaps = (
        taken.join(_lenders(train, rng), on="user")
        .join(lent, on=("other", "position"))
        .join(train, on=("user", "item"), how="anti")
        .select("user", "item_before", lent_item="item", lent_rating="lent_rating")
    )
    shifted = train.join(
        swaps,
        left_on=("user", "item"),
        right_on=("user", "item_before"),
        how="left",
        maintain_order="left",
    )
    return shifted.with_columns(
        item=pl.coalesce("lent_item", "item"),
        rating=pl.coalesce("lent_rating", "rating"),
    ).select(train.columns)


def _lenders(train: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """For each user an `other` who rated about as many items; equal ones at random."""
    counts = train.group_by("user").len().sort("user")
    by_count = np.lexsort((rng.random(counts.height), counts["len"].to_numpy()))
    users = counts["user"].to_numpy()[by_count]
    return pl.DataFrame({"user": users, "other": np.roll(users, 1)})


def sparse(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    kept: int,
) -> pl.DataFrame:
    """Keep only the last so many ratings of every user."""
    return train.filter(_from_the_end() < kept)


def cold(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    share: float,
    kept: int,
) -> pl.DataFrame:
    """Cold users among warm ones: keep only the last so many ratings of a share of the users."""
    users = np.unique(train["user"].to_numpy())
    cut = rng.permutation(users)[: round(share * len(users))]
    is_cold = pl.Series(np.isin(train["user"].to_numpy(), cut))
    return train.filter(~is_cold | (_from_the_end() < kept))


def _from_the_end() -> pl.Expr:
    """How many later ratings the user of a row has."""
    return pl.int_range(pl.len()).reverse().over("user")


def attack(
    train: pl.DataFrame,
    n_users: int,
    n_items: int,
    rng: np.random.Generator,
    *,
    kind: str,
    share: float,
    targets: int = 10,
) -> pl.DataFrame:
    """Add fake users who rate a few rare items 5 (a push attack).

    To look like real users they also rate other random items, as many as the median user (Lam &
    Riedl, 2004; Mobasher et al., 2007).

    Args:
        kind: "random": the other ratings are around the mean of all ratings. "average": around the
            mean of each item. "bandwagon": as "random", and the most popular items get a 5 too.
        share: Fake users per real user.
        targets: How many rare items are pushed.
    """
    n_ratings = np.bincount(train["item"].to_numpy(), minlength=n_items)
    rarest_first = np.argsort(n_ratings, kind="stable")
    liked = rng.permutation(rarest_first[: n_items // 2])[:targets]
    if kind == "bandwagon":
        n_popular = max(1, int(POPULAR_SHARE * n_items))
        popular = np.argsort(-n_ratings, kind="stable")[:n_popular]
        liked = np.union1d(liked, popular)
    n_fakes = round(share * train["user"].n_unique())
    filler = _filler_items(train, liked, n_fakes, n_items, rng)
    expected = _expected_stars(train, n_items, per_item=kind == "average")
    spread = cast(float, train["rating"].std() or 0.0)
    filler_stars = np.rint(rng.normal(expected[filler], spread))
    filler_stars = np.clip(filler_stars, LOWEST_STAR, HIGHEST_STAR)
    liked_shape = (n_fakes, len(liked))
    items = np.concatenate([filler, np.broadcast_to(liked, liked_shape)], axis=1)
    liked_stars = np.full(liked_shape, float(HIGHEST_STAR))
    stars = np.concatenate([filler_stars, liked_stars], axis=1)
    fake_ratings = _fake_ratings(train, n_users, items, stars, rng)
    return pl.concat([train, fake_ratings])


def _expected_stars(train: pl.DataFrame, n_items: int, *, per_item: bool) -> NDArray[np.float64]:
    """[items] the mean of all ratings, or of each item's own ratings if it has any."""
    mean = cast(float, train["rating"].mean())
    if not per_item:
        return np.full(n_items, mean)
    item = train["item"].to_numpy()
    count = np.bincount(item, minlength=n_items)
    total = np.bincount(item, weights=train["rating"].to_numpy(), minlength=n_items)
    item_mean = total / np.maximum(count, 1)
    return np.where(count > 0, item_mean, mean)


def _filler_items(
    train: pl.DataFrame,
    liked: NDArray[np.int64],
    n_fakes: int,
    n_items: int,
    rng: np.random.Generator,
) -> NDArray[np.uint32]:
    """[fakes, n] random items beside the liked ones, as many as the median user rated."""
    counts = train.group_by("user").len()["len"]
    median_count = int(cast(float, counts.median()))
    n_filler = min(median_count, n_items - len(liked))
    fakes = np.arange(n_fakes, dtype=np.int64)
    liked_keys = fakes[:, None] * n_items + np.sort(liked)
    return negatives.draw_negatives(fakes, liked_keys.ravel(), n_items, n_filler, rng)


def _fake_ratings(
    train: pl.DataFrame,
    n_users: int,
    items: NDArray[np.int64],
    stars: NDArray[np.float64],
    rng: np.random.Generator,
) -> pl.DataFrame:
    """Ratings of fake users, in random order, over the time of `train`.

    Args:
        items: [fakes, n]
        stars: [fakes, n]
    """
    n_fakes, n_each = items.shape
    in_order = np.broadcast_to(np.arange(n_each), items.shape)
    order = rng.permuted(in_order, axis=1)
    first = cast(int, train["timestamp"].min())
    last = cast(int, train["timestamp"].max())
    times = np.sort(rng.integers(first, last, items.shape, endpoint=True), axis=1)
    fake_ids = np.arange(n_users, n_users + n_fakes)
    ratings = pl.DataFrame(
        {
            "user": np.repeat(fake_ids, n_each),
            "item": np.take_along_axis(items, order, axis=1).ravel(),
            "rating": np.take_along_axis(stars, order, axis=1).ravel(),
            "timestamp": times.ravel(),
        }
    )
    return ratings.cast(train.schema)
