"""Amazon Reviews 2023, any category: `<category>.jsonl[.gz]` and `meta_<category>.jsonl[.gz]`.

Fields: https://amazon-reviews-2023.github.io, "Data Fields". Only those needed are parsed, in a stream.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import LATEST_S, Raw, raw_file, rows_of, used_rows

MAX_ATTRIBUTES = 4
CHUNK_BYTES = 1 << 22
LINE_BYTES = 1 << 24  # far above any review; a parser needs several times a line's size
BOM = b"\xef\xbb\xbf"


class _Format(NamedTuple):
    """How a file is read: the JSON fields, the columns made of them, and what a row must not be."""

    fields: Mapping[str, pl.DataType | type[pl.DataType]]
    columns: list[pl.Expr]
    faults: dict[str, pl.Expr]


def _id(name: str) -> pl.Expr:
    """An id, null when empty."""
    return pl.when(pl.col(name) != "").then(pl.col(name))


def _phrase(name: str) -> pl.Expr:
    """Text on one line, null when empty."""
    text = pl.col(name).str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()
    return pl.when(text != "").then(text)


RATINGS = _Format(
    dict.fromkeys(["user_id", "parent_asin", "asin"], pl.String)
    | {"rating": pl.Float64, "timestamp": pl.Int64},
    [
        _id("user_id").alias("user"),
        pl.coalesce(_id("parent_asin"), _id("asin")).alias("item"),
        pl.col("rating").cast(pl.Float32),
        pl.col("timestamp").alias("time_ms"),
    ],
    {
        "the rating is not from 1 to 5": ~pl.col("rating").is_between(1, 5),
        "the timestamp is not milliseconds since 1970": ~pl.col("time_ms").is_between(
            0, LATEST_S * 1000
        ),
    },
)
META = _Format(
    dict.fromkeys(["parent_asin", "asin", "title", "main_category", "store", "brand"], pl.String)
    | {"categories": pl.List(pl.String)},
    [
        pl.coalesce(_id("parent_asin"), _id("asin")).alias("raw_id"),
        _phrase("title"),
        _phrase("main_category"),
        pl.col("categories"),
        pl.coalesce(_phrase("store"), _phrase("brand")).alias("maker"),
    ],
    {},
)


def read_amazon(root: Path, category: str | None) -> Raw:
    """One category of Amazon Reviews 2023 from the folder `root`; profiles are null.

    Ratings are keyed by parent_asin (asin where that is absent). An item's attributes are its categories,
    then its store or brand, at most four. Rows that lack a field, and ratings of items without a title,
    are skipped and counted in the notes.

    Raises R2RecError on a missing, damaged or empty file, and on a bad line, which it names.
    """
    if not category or not re.fullmatch(r"\w+", category):
        raise R2RecError(
            f"dataset.category={category}: name an Amazon category, such as Office_Products"
        )
    reviews = raw_file(root, f"{category}.jsonl.gz", f"{category}.jsonl")
    metadata = raw_file(root, f"meta_{category}.jsonl.gz", f"meta_{category}.jsonl")
    ratings = _load(
        reviews, RATINGS
    )  # one name for what it becomes: at most two of them are in memory
    lines = ratings.height
    ratings = ratings.drop_nulls()
    complete = ratings.height
    titled = _load(metadata, META).filter(
        pl.col("title").is_not_null() & pl.col("raw_id").is_not_null()
    )
    items = titled.unique("raw_id", keep="first", maintain_order=True)
    repeats = titled.height - items.height
    ratings = ratings.with_columns(item=rows_of(ratings["item"], items)).drop_nulls()
    items, item = used_rows(items, ratings["item"])
    users = ratings.select(pl.col("user").unique(maintain_order=True).alias("raw_id"))
    skipped = {
        f"rows of {reviews.name} without user_id, rating, timestamp or parent_asin": lines
        - complete,
        f"ratings of items without a title in {metadata.name}": complete - ratings.height,
        f"repeated items of {metadata.name}": repeats,
    }
    notes = [f"{count:,} {what} skipped" for what, count in skipped.items() if count]
    ratings = ratings.with_columns(item=item, user=rows_of(ratings["user"], users))
    return Raw(
        ratings, users.with_columns(profile=pl.lit(None, pl.String)), _with_attributes(items), notes
    )


def _with_attributes(items: pl.DataFrame) -> pl.DataFrame:
    tidy = pl.col("categories").fill_null([]).list.eval(_phrase(""))
    # The main category goes first, swallows its repetitions, and is cut off.
    words = (
        pl.concat_list("main_category", tidy, "maker")
        .list.unique(maintain_order=True)
        .list.slice(1)
    )
    return items.select(
        "raw_id", "title", attributes=words.list.drop_nulls().list.head(MAX_ATTRIBUTES)
    )


def _load(path: Path, form: _Format) -> pl.DataFrame:
    """The columns of `form`; the good path is one streamed scan, a bad line is looked for only afterwards."""
    try:
        _check_lines(path)
        with _lines(path) as start:
            marked = start.tell() > 0
        # An open file instead of its path: Polars would take "[" or "*" in the path for a pattern.
        with _lines(path) if marked else path.open("rb") as source:
            table = _parsed(source, form)
        if isinstance(table, str):
            raise _bad_line(path, form, table)
    except (OSError, EOFError, zlib.error) as error:
        raise R2RecError(f"{path} cannot be read to its end ({error}): download it again") from None
    if table.is_empty():
        raise R2RecError(f"{path} is empty: download it again")
    return table


def _check_lines(path: Path) -> None:
    """R2RecError where a line may be longer than LINE_BYTES: a few MB can be packed that unpack to more than memory."""
    number = 1
    with _lines(path) as text:
        while block := text.read(LINE_BYTES):
            ends = block.count(b"\n")
            if not ends and len(block) == LINE_BYTES:
                raise R2RecError(
                    f"{path}:{number}: a line of {LINE_BYTES >> 20} MiB or more: download the file again"
                )
            number += ends


def _parsed(source: IO[bytes] | bytes, form: _Format) -> pl.DataFrame | str:
    """The table, or what is wrong with it."""
    try:
        table = (
            pl.scan_ndjson(source, schema=form.fields)
            .select(form.columns)
            .collect(engine="streaming")
        )
    except pl.exceptions.PolarsError as error:
        return f"not the JSON object expected ({str(error).splitlines()[0][:100]})"
    return next(
        (fault for fault, bad in form.faults.items() if table.select(bad.any()).item()), table
    )


def _bad_line(path: Path, form: _Format, problem: str) -> R2RecError:
    """Reads the file once more in chunks, then halves the first bad chunk down to its first bad line."""
    number = 1
    with _lines(path) as lines:
        while chunk := lines.readlines(CHUNK_BYTES):
            if isinstance(_parsed(b"".join(chunk), form), str):
                break
            number += len(chunk)
    while len(chunk) > 1:
        half = chunk[: len(chunk) // 2]
        if not isinstance(_parsed(b"".join(half), form), str):
            number, half = number + len(half), chunk[len(half) :]
        chunk = half
    if chunk and isinstance(found := _parsed(chunk[0], form), str):
        problem = found
    return R2RecError(f"{path}:{number}: {problem}: repair the line or download the file again")


@contextmanager
def _lines(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked, after its byte-order mark if it has one."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        text = cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
        if text.read(len(BOM)) != BOM:
            text.seek(0)
        yield text
