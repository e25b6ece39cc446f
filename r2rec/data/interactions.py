"""What every reader returns, and the tables with dense ids that all later stages read."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError

# The year 2100 in seconds. A later timestamp has the wrong unit.
LATEST_S = 4_102_444_800
# What the note of a reader says that finds no times.
NO_TIMES = "has no times: the order of its rows counts as their order in time"
MAX_LISTED = 8  # files that a message names
MOST_SPAN = 1 << 24  # of whole numbers that are looked up in an array, without a join


class Raw(NamedTuple):
    """One data set as its files have it, with their ids. Every reader returns this.

    Attributes:
        ratings: user u32 and item u32 (row numbers of the two tables below), rating f32,
            time_ms i64 (milliseconds since 1970); in the order of the file.
        users: raw_id str, profile str or null (one readable phrase, such as
            "female, 25-34, writer").
        items: raw_id str, title str, attributes list[str].
        notes: One line per kind of skipped row, with its count. The run prints them.
    """

    ratings: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    notes: list[str]


class Tables(NamedTuple):
    """The same data with dense ids, as stage `prepare` stores it.

    Attributes:
        interactions: user u32, item u32, rating f32, timestamp i64 (seconds). Sorted by user, then
            time in milliseconds, then file order; at most one row per user and item.
        users: user u32, raw_id str, profile str or null. Row n is user n.
        items: item u32, raw_id str, title str, attributes list[str]. Row n is item n.
        notes: The reader's notes, then those made here.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    notes: list[str]


def index(raw: Raw) -> Tables:
    """Number the rated users and items 0, 1, 2, ... and sort their ratings.

    Ids follow the order of raw ids (by number if all are whole numbers, otherwise as text), so
    they do not depend on the order of the files. If a pair is rated more than once, its earliest
    rating is kept: a later one would make a known item look new. Of several at one time the lowest
    is kept, so that no dislike is taken for a like, whatever the order of the file.

    Raises:
        R2RecError: There are no ratings, or a rated user or item is described twice or not at all.
    """
    if raw.ratings.is_empty():
        why = "; ".join(raw.notes) or "check dataset.root and dataset.category"
        raise R2RecError(f"the data set has no usable rating: {why}")
    users, user = _numbered(raw.users, raw.ratings["user"], "user")
    items, item = _numbered(raw.items, raw.ratings["item"], "item")
    ratings, n_disputed = _earliest(raw.ratings.with_columns(user=user, item=item))
    notes = list(raw.notes)
    n_repeats = raw.ratings.height - ratings.height
    if n_repeats:
        notes.append(f"{counted(n_repeats, 'further rating')} of an already rated item left out")
    if n_disputed:
        pairs = counted(n_disputed, "pair")
        notes.append(f"{pairs} of user and item rated differently at one time: the lowest kept")
    seconds = pl.col("time_ms") // 1000
    interactions = ratings.select("user", "item", "rating", timestamp=seconds)
    return Tables(interactions, users, items, notes)


def rows_of(ids: pl.Series, table: pl.DataFrame) -> pl.Series:
    """The row of `table` that has each id as its raw_id: u32, null where no row has.

    Args:
        ids: Text, or whole numbers, which stand for their usual writing.
    """
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    rows = table.select(pl.col("raw_id").alias("id"), row=row)
    if ids.dtype.is_integer():
        number = ids.unique()
        texts = number.cast(pl.String).to_frame("id")
        found = texts.join(rows, on="id", how="left", maintain_order="left")["row"]
        return found.gather(_places(ids, number))
    joined = ids.to_frame("id").lazy().join(rows.lazy(), on="id", how="left", maintain_order="left")
    return joined.select("row").collect()["row"]  # without a copy of the ids


def used_rows(table: pl.DataFrame, rows: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    """Keep only the rows of `table` that `rows` (without nulls) refers to.

    Returns:
        The kept rows, in order; and `rows` as row numbers (u32) of that smaller table.
    """
    is_used = np.zeros(table.height, bool)
    is_used[rows.to_numpy()] = True
    new_row = np.cumsum(is_used, dtype=np.uint32) - np.uint32(1)
    kept = table.filter(pl.Series(is_used))
    return kept, pl.Series(new_row[rows.to_numpy()])


def counted(n: int, noun: str) -> str:
    """ "1 row", "1,200 rows"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def find_file(root: Path, *names: str) -> Path | None:
    """The first of `names` that is a file in the folder `root`; `*` in a name stands for anything.

    Raises:
        R2RecError: Several files fit a name with `*`.
    """
    for name in names:
        # os.path instead of Path: a name that the file system refuses counts as missing.
        if name and os.path.isfile(root / name):
            return root / name
        if "*" in name:
            found = [path for path in sorted(root.glob(name)) if path.is_file()]
            if len(found) > 1:
                raise R2RecError(
                    f"{root} holds {_listed(found)}, and all are called {name}: "
                    "name one in dataset.params"
                )
            if found:
                return found[0]
    return None


def raw_file(root: Path, *names: str) -> Path:
    """The same, where there must be one.

    Raises:
        R2RecError: `root` is not a folder, or holds none of the files, or several.
    """
    if not os.path.isdir(root):
        raise R2RecError(
            f"{root} is not a folder: set dataset.root to the folder with the raw files"
        )
    found = find_file(root, *names)
    if found is None:
        others = _listed([path for path in sorted(root.iterdir()) if path.is_file()])
        raise R2RecError(
            f"{root} holds no {' or '.join(name for name in names if name)}, "
            f"but {others or 'no file at all'}: set dataset.root to the folder with it"
        )
    return found


def _listed(paths: list[Path]) -> str:
    """Names of files in one line, not too many."""
    names = [path.name for path in paths[:MAX_LISTED]]
    if len(paths) > MAX_LISTED:
        names.append(f"{len(paths) - MAX_LISTED:,} more files")
    return ", ".join(names)


def _places(ids: pl.Series, distinct: pl.Series) -> pl.Series:
    """Where in `distinct` each of the ids (whole numbers) stands: u32."""
    place = pl.Series("place", np.arange(len(distinct), dtype=np.uint32))
    low, high = distinct.min(), distinct.max()
    if not isinstance(low, int) or not isinstance(high, int) or high - low > MOST_SPAN:
        places = pl.DataFrame({"id": distinct, "place": place})
        return ids.to_frame("id").join(places, on="id", how="left", maintain_order="left")["place"]
    place_of = np.zeros(high - low + 1, np.uint32)
    place_of[distinct.to_numpy() - low] = place.to_numpy()
    return pl.Series(place_of[ids.to_numpy() - low])


def _numbered(table: pl.DataFrame, rows: pl.Series, name: str) -> tuple[pl.DataFrame, pl.Series]:
    """Give dense ids to the rows of `table` that `rows` refers to.

    Returns:
        The kept rows in the order of their ids, with the id as first column `name`; and `rows`
        as ids.
    """
    last = int(rows.to_numpy().max())
    if last >= table.height:
        raise R2RecError(
            f"{name} of row {last} is rated, but only {table.height} are described: "
            "the reader must describe every rated row"
        )
    kept, kept_rows = used_rows(table, rows)
    ordered = kept.with_row_index("row").sort(_id_order(kept["raw_id"]))
    _reject_repeats(ordered["raw_id"], name)
    ids = np.empty(kept.height, np.uint32)
    ids[ordered["row"].to_numpy()] = np.arange(kept.height)
    dense_id = pl.int_range(pl.len(), dtype=pl.UInt32).alias(name)
    numbered = ordered.select(dense_id, pl.exclude("row"))
    return numbered, pl.Series(ids[kept_rows.to_numpy()])


def _reject_repeats(sorted_ids: pl.Series, name: str) -> None:
    later = sorted_ids[1:]
    repeated = later.filter(later == sorted_ids[:-1])
    if repeated.len():
        raise R2RecError(
            f"{name} {repeated[0]!r} is described twice: remove one of the descriptions"
        )


def _id_order(raw_ids: pl.Series) -> list[pl.Expr]:
    """Sort keys of raw ids.

    Numbers are compared by (length, digits), which works for numbers of any size. Text is compared
    by its first eight bytes as one number, and as a whole only if these are equal: eight times as
    fast as comparing text alone.
    """
    raw_id = pl.col("raw_id")
    all_numbers = raw_ids.str.contains("^[0-9]+$").all()  # "10", "007"; not "-1", "B00X"
    if all_numbers:
        digits = raw_id.str.strip_chars_start("0")
        return [digits.str.len_bytes(), digits, raw_id]
    padded = raw_id.str.pad_end(8, "\0").cast(pl.Binary)
    first_bytes = padded.bin.slice(0, 8)
    prefix = first_bytes.bin.reinterpret(dtype=pl.UInt64, endianness="big")
    return [prefix, raw_id]


def _earliest(ratings: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The earliest rating of each user and item, sorted by user, time, file order.

    Also how many of them were the lowest of several that differ.
    """
    order = _by_user_and_time(ratings["user"].to_numpy(), ratings["time_ms"].to_numpy())
    ordered = ratings[order]
    user = ordered["user"].to_numpy().astype(np.uint64)
    pair = user << np.uint64(32) | ordered["item"].to_numpy()
    sorted_pairs = np.sort(pair)
    has_repeats = (sorted_pairs[1:] == sorted_pairs[:-1]).any()
    if not has_repeats:
        return ordered, 0
    # Sorting again, with places, takes less memory than a hash table of all pairs.
    place = np.argsort(pair, kind="stable")
    first_of_two = np.flatnonzero(pair[place[1:]] == pair[place[:-1]])
    later = place[first_of_two + 1]
    is_kept = np.ones(len(pair), bool)
    is_kept[later] = False
    is_repeated = ~is_kept
    is_repeated[place[first_of_two]] = True
    moment = ["user", "item", "time_ms"]
    repeated = ordered.filter(is_repeated).group_by(moment)
    ranges = repeated.agg(lowest=pl.min("rating"), highest=pl.max("rating"))
    first = ordered.filter(is_repeated & is_kept)
    first = first.join(ranges, on=moment, how="left", maintain_order="left")
    rating = ordered["rating"].to_numpy().copy()
    rating[is_repeated & is_kept] = first["lowest"].to_numpy()
    kept = ordered.select(*moment, rating=pl.Series(rating)).filter(is_kept)
    n_disputed = int((first["lowest"] < first["highest"]).sum())
    return kept, n_disputed


def _by_user_and_time(user: NDArray[np.uint32], time: NDArray[np.int64]) -> NDArray[np.int64]:
    """The stable order [n] of rows by user, then time.

    User and time are packed into one 64-bit key if they fit. If the row number fits as well, the
    packed keys are sorted directly, which is faster than `argsort`.
    """
    elapsed = time - time.min()
    # Whole seconds sort like their milliseconds, and need fewer bits.
    elapsed //= max(1, np.gcd.reduce(elapsed))
    span = int(elapsed.max()) + 1
    row_bits = (len(user) - 1).bit_length()
    largest_key = (int(user.max()) + 1) * span - 1
    if largest_key >= 2**64:
        return np.lexsort((elapsed, user))
    key = user.astype(np.uint64) * np.uint64(span) + elapsed.astype(np.uint64)
    if largest_key << row_bits >= 2**63:
        return np.argsort(key, kind="stable")
    rows = np.arange(len(user), dtype=np.int64)
    shifted_key = (key << np.uint64(row_bits)).view(np.int64)
    key_and_row: NDArray[np.int64] = shifted_key | rows
    key_and_row.sort()
    row_mask = (1 << row_bits) - 1
    return key_and_row & row_mask
