"""What every data source hands over, and the dense, sorted tables the rest of the house works on."""

import os
from pathlib import Path
from typing import NamedTuple

import polars as pl

from r2rec.errors import R2RecError

# Timestamps from here on (the year 2100, in seconds) are mistakes of unit, not dates.
LATEST_S = 4_102_444_800


class Raw(NamedTuple):
    """One data set as its files say it, ids untouched.

    ratings: user str, item str, rating f32, time_ms i64 (milliseconds since 1970); rows in file order.
    users:   raw_id str, profile str or null (one readable phrase, such as "female, 25-34, writer").
    items:   raw_id str, title str, attributes list[str].
    notes:   one readable line per kind of skipped row, with its count; the run prints them.
    """

    ratings: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    notes: list[str]


class Tables(NamedTuple):
    """The same data under dense ids, as the store keeps it.

    interactions: user u32, item u32, rating f32, timestamp i64 (seconds), sorted by user, then time in
                  milliseconds, then file order; at most one row per user and item.
    users:        user u32, raw_id str, profile str or null; row n is user n.
    items:        item u32, raw_id str, title str, attributes list[str]; row n is item n.
    notes:        those of the source, then those made here.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    notes: list[str]


def index(raw: Raw) -> Tables:
    """Number the users and items that have a rating 0, 1, 2, ... and sort their ratings.

    Ids follow the order of raw ids (by number when all are whole numbers, else as text), so they do not
    depend on the order of the files. A pair rated more than once keeps its earliest rating: a later one
    would make a known item look new.

    Raises R2RecError when there are no ratings, or when ratings and tables disagree on an id.
    """
    if raw.ratings.is_empty():
        raise R2RecError("the data set has no usable rating: check dataset.root and dataset.category")
    users = _numbered(raw.users, raw.ratings["user"], "user")
    items = _numbered(raw.items, raw.ratings["item"], "item")
    known = _earliest(_with_ids(raw.ratings, users, items))
    repeats = raw.ratings.height - known.height
    notes = [f"{repeats:,} later ratings of an already rated item skipped"] if repeats else []
    interactions = known.select("user", "item", "rating", timestamp=pl.col("time_ms") // 1000)
    return Tables(interactions, users, items, raw.notes + notes)


def raw_file(root: Path, *names: str) -> Path:
    """The first of `names` that is a file in the folder `root`; R2RecError when there is none."""
    if not os.path.isdir(root):
        raise R2RecError(f"{root} is not a folder: set dataset.root to the folder with the raw files")
    for name in names:
        if os.path.isfile(root / name):
            return root / name
    raise R2RecError(f"{root} holds no {' or '.join(names)}: set dataset.root to the folder with it")


def _numbered(table: pl.DataFrame, used: pl.Series, name: str) -> pl.DataFrame:
    rated = table.join(used.unique().to_frame("raw_id"), on="raw_id", how="semi", maintain_order="left")
    twice = rated.filter(pl.col("raw_id").is_duplicated())
    if not twice.is_empty():
        raise R2RecError(f"{name} {twice['raw_id'][0]!r} is described twice: remove one of the descriptions")
    ordered = rated.sort(_id_order(rated["raw_id"]))
    return ordered.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias(name), pl.all())


def _id_order(raw_ids: pl.Series) -> list[pl.Expr]:
    """Sort keys; numbers are compared as (length, digits), which holds for numbers of any size."""
    raw_id = pl.col("raw_id")
    if not raw_ids.str.contains("^[0-9]+$").all():
        return [raw_id]
    digits = raw_id.str.strip_chars_start("0")
    return [digits.str.len_bytes(), digits, raw_id]


def _with_ids(ratings: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Ratings with u32 ids in place of raw ones, still in file order."""
    for name, table in {"user": users, "item": items}.items():
        ids = table.select(pl.col("raw_id").alias(name), pl.col(name).alias("id"))
        joined = ratings.join(ids, on=name, how="left", maintain_order="left")
        lost = joined.filter(pl.col("id").is_null())
        if not lost.is_empty():
            raise R2RecError(f"{name} {lost[name][0]!r} is rated, not described: add it to the {name} table")
        ratings = joined.drop(name).rename({"id": name})
    return ratings


def _earliest(ratings: pl.DataFrame) -> pl.DataFrame:
    """Sorted by user, time, file order; the first row of each user and item."""
    ordered = ratings.sort("user", "time_ms", maintain_order=True)  # rows of equal time keep the order of the file
    pair = pl.col("user").cast(pl.UInt64) * 2**32 + pl.col("item")
    if ordered.select(pair.n_unique()).item() == ordered.height:
        return ordered
    return ordered.filter(pair.is_first_distinct())  # with `over("user")` four times as long where users are many
