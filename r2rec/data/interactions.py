"""What every data source hands over, and the dense, sorted tables the rest of the house works on."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError

# Timestamps from here on (the year 2100, in seconds) are mistakes of unit, not dates.
LATEST_S = 4_102_444_800


class Raw(NamedTuple):
    """One data set as its files say it, ids untouched.

    ratings: user u32 and item u32 (rows of the tables below), rating f32, time_ms i64 (milliseconds since 1970); in
             the order of the file.
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

    Raises R2RecError when there are no ratings, or when a rated id is described twice or not at all.
    """
    if raw.ratings.is_empty():
        raise R2RecError(
            "the data set has no usable rating: check dataset.root and dataset.category"
        )
    users, user = _numbered(raw.users, raw.ratings["user"], "user")
    items, item = _numbered(raw.items, raw.ratings["item"], "item")
    known = _earliest(raw.ratings.with_columns(user=user, item=item))
    repeats = raw.ratings.height - known.height
    notes = [f"{repeats:,} later ratings of an already rated item skipped"] if repeats else []
    interactions = known.select("user", "item", "rating", timestamp=pl.col("time_ms") // 1000)
    return Tables(interactions, users, items, raw.notes + notes)


def rows_of(ids: pl.Series, table: pl.DataFrame) -> pl.Series:
    """The row (u32) of `table` that has each of `ids` as its raw_id; null where none has.

    Ids are text, or i64 (none missing): those that are written as such numbers are, without zeros before them.
    """
    raw_id, asked = pl.col("raw_id"), ids
    if ids.dtype == pl.Int64:
        number = raw_id.cast(pl.Int64, strict=False)
        raw_id = pl.when(number.cast(pl.String) == raw_id).then(number)
        largest = int(ids.to_numpy().max(initial=0))
        if ids.to_numpy().min(initial=0) == 0 and largest < len(
            ids
        ):  # no great gaps: each number is looked up once
            asked = pl.Series(np.arange(largest + 1))
    rows = table.select(raw_id.alias("id"), row=pl.int_range(pl.len(), dtype=pl.UInt32))
    found = asked.to_frame("id").join(rows, on="id", how="left", maintain_order="left")["row"]
    return found if asked is ids else found.gather(ids)


def used_rows(table: pl.DataFrame, rows: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """The rows of `table` that `rows` (none missing) name, in order; and `rows` as rows (u32) of these."""
    used = np.zeros(table.height, bool)
    used[rows.to_numpy()] = True
    place = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    return table.filter(pl.Series(used)), pl.Series(place[rows.to_numpy()])


def raw_file(root: Path, *names: str) -> Path:
    """The first of `names` that is a file in the folder `root`; R2RecError when there is none."""
    if not os.path.isdir(root):
        raise R2RecError(
            f"{root} is not a folder: set dataset.root to the folder with the raw files"
        )
    for name in names:
        if os.path.isfile(root / name):
            return root / name
    raise R2RecError(
        f"{root} holds no {' or '.join(names)}: set dataset.root to the folder with it"
    )


def _numbered(table: pl.DataFrame, used: pl.Series, name: str) -> tuple[pl.DataFrame, pl.Series]:
    """The rows of `table` that are used, with dense ids; and `used` as such ids."""
    if (last := int(used.to_numpy().max())) >= table.height:
        raise R2RecError(f"{name} of row {last} is rated, but only {table.height} are described")
    kept, rows = used_rows(table, used)
    order = kept.with_row_index("row").sort(_id_order(kept["raw_id"]))
    raw_id = order["raw_id"]
    if (twice := raw_id[1:].filter(raw_id[1:] == raw_id[:-1])).len():
        raise R2RecError(f"{name} {twice[0]!r} is described twice: remove one of the descriptions")
    ids = np.empty(kept.height, np.uint32)
    ids[order["row"].to_numpy()] = np.arange(kept.height)
    numbered = order.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias(name), pl.exclude("row"))
    return numbered, pl.Series(ids[rows.to_numpy()])


def _id_order(raw_ids: pl.Series) -> list[pl.Expr]:
    """Sort keys; numbers are compared as (length, digits), which holds for numbers of any size.

    Text is compared by its first eight bytes as one number, and whole where these are equal: eight times as fast.
    """
    raw_id = pl.col("raw_id")
    if not raw_ids.str.contains("^[0-9]+$").all():
        begin = raw_id.str.pad_end(8, "\0").cast(pl.Binary).bin.slice(0, 8)
        return [begin.bin.reinterpret(dtype=pl.UInt64, endianness="big"), raw_id]
    digits = raw_id.str.strip_chars_start("0")
    return [digits.str.len_bytes(), digits, raw_id]


def _earliest(ratings: pl.DataFrame) -> pl.DataFrame:
    """Sorted by user, time, file order; the first row of each user and item."""
    ordered = ratings[_by_user_and_time(ratings["user"].to_numpy(), ratings["time_ms"].to_numpy())]
    pair = (
        ordered["user"].to_numpy().astype(np.uint64) << np.uint64(32) | ordered["item"].to_numpy()
    )
    alike = np.sort(pair)
    if (alike[1:] != alike[:-1]).all():
        return ordered
    return ordered.filter(pl.Series(pair).is_first_distinct())


def _by_user_and_time(user: NDArray[np.uint32], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stable order of rows by user, then time.

    By one number where the two fit into 64 bits; where the row fits as well, by sorting such numbers, which is faster
    than asking for their order.
    """
    since = time - time.min()
    since //= max(
        1, np.gcd.reduce(since)
    )  # whole seconds are as good as their milliseconds, and shorter
    span, row_bits = int(since.max()) + 1, (len(user) - 1).bit_length()
    largest = (int(user.max()) + 1) * span - 1
    if largest >= 2**64:
        return np.lexsort((since, user))
    key = user.astype(np.uint64) * np.uint64(span) + since.astype(np.uint64)
    if largest << row_bits >= 2**63:
        return np.argsort(key, kind="stable")
    with_row = (key << np.uint64(row_bits)).view(np.int64) | np.arange(len(user))
    with_row.sort()
    return with_row & ((1 << row_bits) - 1)
