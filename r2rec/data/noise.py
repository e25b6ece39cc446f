"""Train ratings made worse on purpose, to see what a method bears: `noise=...`, applied by `split`.

Held-out items and candidates are chosen before, so results are paired with those of the clean run. Every function
takes and returns a train table (user, item, rating, timestamp; sorted by user, then time); fake users get the ids
after the last real one.
"""

import numpy as np
import polars as pl

from r2rec.data import negatives

POPULAR = 0.01  # share of items that a bandwagon rides on


def drop(
    train: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator, *, share: float
) -> pl.DataFrame:
    """Leave out a share of all ratings: sparser data."""
    return train.filter(pl.Series(rng.random(train.height) >= share))


def flip(
    train: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator, *, share: float
) -> pl.DataFrame:
    """Turn a share of all ratings into their opposite, 5 stars into 1."""
    turned = pl.Series(rng.random(train.height) < share)
    return train.with_columns(rating=pl.when(turned).then(6 - pl.col("rating")).otherwise("rating"))


def shift(
    train: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator, *, share: float
) -> pl.DataFrame:
    """Tastes that changed: the first share of every user's ratings become another user's, who rated about as many.

    No rating is lost, so that this is no `drop`: where the other has none left, or one of an item that the user has
    already, the user's own stays.
    """
    old = train.filter(
        pl.int_range(pl.len()).over("user") < (pl.len() * share).floor().cast(pl.Int64).over("user")
    )
    count = train.group_by("user").len().sort("user")
    users = count["user"].to_numpy()[
        np.lexsort((rng.random(count.height), count["len"].to_numpy()))
    ]
    ring = pl.DataFrame({"user": users, "other": np.roll(users, 1)})
    own = old.select("user", place=pl.int_range(pl.len()).over("user"), before="item")
    lent = old.select(
        other="user", place=pl.int_range(pl.len()).over("user"), item="item", lent="rating"
    )
    new = (
        own.join(ring, on="user")
        .join(lent, on=("other", "place"))
        .join(train, on=("user", "item"), how="anti")
        .select("user", "item", "lent", item_before="before")
    )
    return (
        train.join(
            new,
            left_on=("user", "item"),
            right_on=("user", "item_before"),
            how="left",
            maintain_order="left",
        )
        .with_columns(item=pl.coalesce("item_right", "item"), rating=pl.coalesce("lent", "rating"))
        .select(train.columns)
    )


def cold(
    train: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator, *, kept: int
) -> pl.DataFrame:
    """Every user has only their last so many ratings."""
    return train.filter(pl.int_range(pl.len()).reverse().over("user") < kept)


def attack(
    train: pl.DataFrame, n_users: int, n_items: int, rng: np.random.Generator,
    *, kind: str, share: float, targets: int = 10,
) -> pl.DataFrame:  # fmt: skip
    """Fake users, `share` as many as there are real ones, who rate a few rare items 5 (a push attack).

    So that they look like users they rate as many others as the median user does (Lam & Riedl, 2004; Mobasher et
    al., 2007): at random items around the mean of all ratings ("random") or of each item ("average"), or the most
    popular items 5 as well ("bandwagon").
    """
    rated = np.bincount(train["item"].to_numpy(), minlength=n_items)
    mean, sd = float(train["rating"].mean()), float(train["rating"].std() or 0.0)  # type: ignore[arg-type]
    around = np.full(n_items, mean)
    if kind == "average":
        total = np.bincount(
            train["item"].to_numpy(), weights=train["rating"].to_numpy(), minlength=n_items
        )
        around = np.where(rated > 0, total / np.maximum(rated, 1), mean)
    pushed = rng.permutation(np.argsort(rated, kind="stable")[: n_items // 2])[:targets]
    liked = pushed
    if kind == "bandwagon":
        liked = np.union1d(
            pushed, np.argsort(-rated, kind="stable")[: max(1, int(POPULAR * n_items))]
        )
    fakes = round(share * train["user"].n_unique())
    size = min(int(train.group_by("user").len()["len"].median()), n_items - len(liked))  # type: ignore[arg-type]
    each = np.arange(fakes, dtype=np.int64)
    filler = negatives.draw_negatives(
        each, (each[:, None] * n_items + np.sort(liked)).ravel(), n_items, size, rng
    )
    stars = np.clip(np.rint(rng.normal(around[filler], sd)), 1, 5)
    items = np.concatenate([filler, np.broadcast_to(liked, (fakes, len(liked)))], axis=1)
    stars = np.concatenate([stars, np.full((fakes, len(liked)), 5.0)], axis=1)
    order = rng.permuted(np.broadcast_to(np.arange(items.shape[1]), items.shape), axis=1)
    items, stars = np.take_along_axis(items, order, 1), np.take_along_axis(stars, order, 1)
    first, last = train["timestamp"].min(), train["timestamp"].max()
    times = np.sort(rng.integers(first, last, items.shape, endpoint=True), axis=1)  # type: ignore[arg-type]
    made = pl.DataFrame(
        {
            "user": np.repeat(np.arange(n_users, n_users + fakes), items.shape[1]),
            "item": items.ravel(), "rating": stars.ravel(), "timestamp": times.ravel(),
        }
    )  # fmt: skip
    return pl.concat([train, made.cast(train.schema)])
