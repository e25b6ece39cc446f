"""Amazon Reviews 2023, any category: `<category>.jsonl[.gz]` and `meta_<category>.jsonl[.gz]`.

The fields are documented at https://amazon-reviews-2023.github.io, "Data Fields". Only the needed
ones are parsed, as a stream.
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
CHUNK_BYTES = 1 << 22  # parsed at once while looking for a bad line
MAX_LINE_BYTES = 1 << 24  # far above any review; a parser needs several times a line's size
BOM = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"


class _Format(NamedTuple):
    """How to read one kind of file."""

    fields: Mapping[str, pl.DataType | type[pl.DataType]]  # JSON fields to parse
    columns: list[pl.Expr]  # made from the fields
    faults: Mapping[str, pl.Expr]  # error message -> where a row of `columns` is wrong


class _ParseError(Exception):
    """A line is not what its format asks for."""


def _id(name: str) -> pl.Expr:
    """An id, null if empty."""
    return pl.when(pl.col(name) != "").then(pl.col(name))


def _phrase(name: str) -> pl.Expr:
    """Text on one line, null if empty."""
    # A run of white space and control characters (\p{Cc}): "Ink\n\0 pot" becomes "Ink pot".
    text = pl.col(name).str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()
    return pl.when(text != "").then(text)


_ITEM_ID = pl.coalesce(_id("parent_asin"), _id("asin"))
_MAX_TIME_MS = LATEST_S * 1000

RATINGS = _Format(
    fields={
        "user_id": pl.String,
        "parent_asin": pl.String,
        "asin": pl.String,
        "rating": pl.Float64,
        "timestamp": pl.Int64,
    },
    columns=[
        _id("user_id").alias("user"),
        _ITEM_ID.alias("item"),
        pl.col("rating").cast(pl.Float32),
        pl.col("timestamp").alias("time_ms"),
    ],
    faults={
        "the rating is not from 1 to 5": ~pl.col("rating").is_between(1, 5),
        "the timestamp is not milliseconds since 1970": (
            ~pl.col("time_ms").is_between(0, _MAX_TIME_MS)
        ),
    },
)
META = _Format(
    fields={
        "parent_asin": pl.String,
        "asin": pl.String,
        "title": pl.String,
        "main_category": pl.String,
        "store": pl.String,
        "brand": pl.String,
        "categories": pl.List(pl.String),
    },
    columns=[
        _ITEM_ID.alias("raw_id"),
        _phrase("title"),
        _phrase("main_category"),
        pl.col("categories"),
        pl.coalesce(_phrase("store"), _phrase("brand")).alias("maker"),
    ],
    faults={},
)


def read_amazon(root: Path, category: str | None) -> Raw:
    """Read one category of Amazon Reviews 2023 from the folder `root`. Profiles are null.

    Ratings are keyed by parent_asin (by asin if that is absent). An item's attributes are its
    categories, then its store or brand, at most four. Rows that lack a field, and ratings of items
    without a title, are skipped and counted in the notes.

    Raises:
        R2RecError: No category is given; a file is missing, damaged or empty; or a line is not
            valid. The message names the file and the line.
    """
    if not category or not re.fullmatch(r"\w+", category):  # "Office_Products"; not "../Toys"
        raise R2RecError(
            f"dataset.category={category}: name an Amazon category, such as Office_Products"
        )
    reviews = raw_file(root, f"{category}.jsonl.gz", f"{category}.jsonl")
    metadata = raw_file(root, f"meta_{category}.jsonl.gz", f"meta_{category}.jsonl")
    # One variable for all steps: at most two copies of the ratings are in memory.
    ratings = _load(reviews, RATINGS)
    n_lines = ratings.height
    ratings = ratings.drop_nulls()
    n_complete = ratings.height
    items, n_repeats = _titled_items(metadata)
    ratings = ratings.with_columns(item=rows_of(ratings["item"], items)).drop_nulls()
    items, item = used_rows(items, ratings["item"])
    user_ids = pl.col("user").unique(maintain_order=True)
    users = ratings.select(raw_id=user_ids)
    user = rows_of(ratings["user"], users)
    missing = f"rows of {reviews.name} without user_id, rating, timestamp or parent_asin"
    untitled = f"ratings of items without a title in {metadata.name}"
    repeated = f"repeated items of {metadata.name}"
    skipped = {
        missing: n_lines - n_complete,
        untitled: n_complete - ratings.height,
        repeated: n_repeats,
    }
    notes = []
    for what, count in skipped.items():
        if count:
            notes.append(f"{count:,} {what} skipped")
    return Raw(
        ratings=ratings.with_columns(item=item, user=user),
        users=users.with_columns(profile=pl.lit(None, pl.String)),
        items=_with_attributes(items),
        notes=notes,
    )


def _titled_items(metadata: Path) -> tuple[pl.DataFrame, int]:
    """The first description of each item with a title, and how many further ones there are."""
    described = _load(metadata, META)
    has_title = pl.col("title").is_not_null()
    has_id = pl.col("raw_id").is_not_null()
    titled = described.filter(has_title & has_id)
    items = titled.unique("raw_id", keep="first", maintain_order=True)
    return items, titled.height - items.height


def _with_attributes(items: pl.DataFrame) -> pl.DataFrame:
    """The columns raw_id, title and attributes of described items."""
    categories = pl.col("categories").fill_null([]).list.eval(_phrase(""))
    # The main category goes first, so that `unique` removes its repetitions; then it is cut off.
    phrases = pl.concat_list("main_category", categories, "maker")
    phrases = phrases.list.unique(maintain_order=True).list.slice(1)
    attributes = phrases.list.drop_nulls().list.head(MAX_ATTRIBUTES)
    return items.select("raw_id", "title", attributes=attributes)


def _load(path: Path, form: _Format) -> pl.DataFrame:
    """The columns of `form`. Only after an error is the file read again, to name the bad line."""
    try:
        _check_line_lengths(path)
        try:
            table = _parse_file(path, form)
        except _ParseError as error:
            raise _bad_line(path, form, str(error)) from None
    except (OSError, EOFError, zlib.error) as error:
        raise R2RecError(f"{path} cannot be read to its end ({error}): download it again") from None
    if table.is_empty():
        raise R2RecError(f"{path} is empty: download it again")
    return table


def _check_line_lengths(path: Path) -> None:
    """Raise R2RecError for a line that may be longer than MAX_LINE_BYTES.

    A few packed MB can unpack to one line that is larger than memory.
    """
    line_number = 1
    with _unpacked(path) as text:
        while block := text.read(MAX_LINE_BYTES):
            n_ends = block.count(b"\n")
            if n_ends == 0 and len(block) == MAX_LINE_BYTES:
                raise R2RecError(
                    f"{path}:{line_number}: a line of {MAX_LINE_BYTES >> 20} MiB or more: "
                    "download the file again"
                )
            line_number += n_ends


def _parse_file(path: Path, form: _Format) -> pl.DataFrame:
    with _unpacked(path) as text:
        has_bom = text.tell() > 0
    if has_bom:
        with _unpacked(path) as text:
            return _parse(text, form)
    # An open file instead of its path: Polars would take "[" or "*" in the path for a pattern.
    # It unpacks gzip itself, and faster.
    with path.open("rb") as file:
        return _parse(file, form)


def _parse(source: IO[bytes] | bytes, form: _Format) -> pl.DataFrame:
    """The columns of `form`; _ParseError if a line is not valid."""
    try:
        scan = pl.scan_ndjson(source, schema=form.fields)
        table = scan.select(form.columns).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0][:100]
        raise _ParseError(f"not the JSON object expected ({reason})") from None
    for fault, is_bad in form.faults.items():
        if table.select(is_bad.any()).item():
            raise _ParseError(fault)
    return table


def _problem(lines: list[bytes], form: _Format) -> str | None:
    """What is wrong with these lines; None if they are valid."""
    try:
        _parse(b"".join(lines), form)
    except _ParseError as error:
        return str(error)
    return None


def _bad_line(path: Path, form: _Format, problem: str) -> R2RecError:
    """The error about the first bad line: bisect the first bad chunk of the file."""
    line_number, lines = _bad_chunk(path, form)
    while len(lines) > 1:
        middle = len(lines) // 2
        if _problem(lines[:middle], form):
            lines = lines[:middle]
        else:
            lines = lines[middle:]
            line_number += middle
    if lines:
        problem = _problem(lines, form) or problem
    return R2RecError(
        f"{path}:{line_number}: {problem}: repair the line or download the file again"
    )


def _bad_chunk(path: Path, form: _Format) -> tuple[int, list[bytes]]:
    """The first chunk of lines that cannot be parsed, after the number of its first line."""
    line_number = 1
    with _unpacked(path) as text:
        while lines := text.readlines(CHUNK_BYTES):
            if _problem(lines, form):
                break
            line_number += len(lines)
    return line_number, lines


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked, positioned after its byte-order mark if it has one."""
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        text: IO[bytes] = file
        if is_packed:
            text = cast(IO[bytes], gzip.GzipFile(fileobj=file))
        if text.read(len(BOM)) != BOM:
            text.seek(0)
        yield text
