"""Amazon Reviews, any category: of 2023 and of 2018, as JSON lines; ratings of either as csv.

2023: `<category>.jsonl[.gz]` and `meta_<category>.jsonl[.gz]`; the fields are documented at
https://amazon-reviews-2023.github.io, "Data Fields". 2018: `<category>[_5].json[.gz]` and
`meta_<category>.json[.gz]`, https://nijianmo.github.io/amazon. Either: ratings alone in
`<category>.csv[.gz]`, as in the 5-core files of 2023.
Only the needed fields are parsed, as a stream.
"""

import json
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import Raw, counted, find_file, raw_file
from r2rec.data.meant import phrase, raw_of
from r2rec.data.own import columns_of
from r2rec.data.packed import UNPACKING_ERRORS, LongLineError, line_blocks, unpacked_file
from r2rec.data.tables import Table, kind_of, read_table

MAX_ATTRIBUTES = 4
INNER_SEPARATOR = "\x1f"  # between names that were a list in a list
CHUNK_BYTES = 1 << 22  # parsed at once while looking for bad lines
MAX_LINE_BYTES = 1 << 24  # far above any review; a parser needs several times a line's size
SCALE = (1, 5)
REVIEW_FILES = ("{}.jsonl.gz", "{}.jsonl", "{}_5.json.gz", "{}_5.json", "{}.json.gz", "{}.json")
CSV_FILES = ("{}.csv.gz", "{}.csv")
ITEM_FILES = ("meta_{}.jsonl.gz", "meta_{}.jsonl", "meta_{}.json.gz", "meta_{}.json")
MAX_START = 200  # bytes that tell what kind of file it is
SCRIPT = "getTime"  # in titles of 2018 that are a web page's program, not a title


class _Format(NamedTuple):
    """How to read one kind of file."""

    fields: Mapping[str, pl.DataType | type[pl.DataType]]  # JSON fields to parse
    columns: Sequence[pl.Expr]  # made from the fields


def _id(*fields: str) -> pl.Expr:
    """The first field that is not empty."""
    return pl.coalesce([pl.when(pl.col(name) != "").then(pl.col(name)) for name in fields])


def _phrase(*fields: str) -> pl.Expr:
    """The first field with text, on one line."""
    return pl.coalesce([phrase(pl.col(name)) for name in fields])


def _number(*fields: str) -> pl.Expr:
    return _id(*fields).cast(pl.Float64, strict=False)


REVIEWS = _Format(
    fields=dict.fromkeys(
        "user_id reviewerID parent_asin asin rating overall timestamp unixReviewTime".split(),
        pl.String,
    ),
    columns=[
        _id("user_id", "reviewerID").alias("user"),
        _id("parent_asin", "asin").alias("item"),
        _number("rating", "overall").alias("rating"),
        _number("timestamp", "unixReviewTime").alias("timestamp"),
    ],
)
ITEMS = _Format(
    fields=dict.fromkeys(
        "parent_asin asin title main_category main_cat store brand".split(), pl.String
    )
    | dict.fromkeys(["categories", "category"], pl.List(pl.String)),
    columns=[
        _id("parent_asin", "asin").alias("item"),
        _phrase("title").alias("title"),
        _phrase("main_category", "main_cat").alias("main"),
        pl.coalesce("categories", "category").alias("categories"),
        _phrase("store", "brand").alias("maker"),
    ],
)


def read_amazon(root: Path, category: str | None) -> Raw:
    """Read one category of Amazon Reviews from the folder `root`. Profiles are null.

    Ratings are keyed by parent_asin (by asin if that is absent). An item's attributes are its
    categories, then its store or brand, at most four. Ratings of items without a title are left
    out, unless there is no file of items.

    Raises:
        R2RecError: No category is given; or a file is missing, damaged, empty, or no such file.
    """
    if not category or not re.fullmatch(r"\w+", category):  # "Office_Products"; not "../Toys"
        raise R2RecError(
            f"dataset.category={category}: name an Amazon category, such as Office_Products"
        )
    names = [name.format(category) for name in (*REVIEW_FILES, *CSV_FILES)]
    item_names = [name.format(category) for name in ITEM_FILES]
    path = raw_file(root, *names)
    if ".csv" in path.name:
        item_path = find_file(root, *item_names)
        ratings, notes = _csv(path)
    else:
        item_path = raw_file(root, *item_names)
        ratings, notes = _load(path, REVIEWS)
    items = None
    if item_path:
        items, more = _items(item_path)
        notes = [*notes, *more]
    return raw_of(
        ratings,
        items,
        source=path.name,
        described=item_path.name if item_path else "",
        stars=SCALE,
        notes=notes,
    )


def _csv(path: Path) -> Table:
    """user, item, rating, timestamp of a file that has no reviews."""
    rows, notes = read_table(path, separator=",", numbers=True)
    names = columns_of(path, rows, {})
    return Table(rows.select(pl.col(name).alias(role) for role, name in names.items()), notes)


def _items(path: Path) -> Table:
    """item, title, attributes of a file. What else was read of it is forgotten at once."""
    rows, notes = _load(path, ITEMS)
    return Table(_described(rows), notes)


def _described(rows: pl.DataFrame) -> pl.DataFrame:
    """item, title, attributes."""
    categories = _flat(rows["categories"]).list.eval(phrase(pl.element()))
    # The main category goes first, so that `unique` removes its repetitions; then it is cut off.
    phrases = pl.concat_list("main", categories, "maker").list.unique(maintain_order=True)
    attributes = phrases.list.slice(1).list.drop_nulls().list.head(MAX_ATTRIBUTES)
    is_title = ~pl.col("title").str.contains(SCRIPT, literal=True)
    return rows.select("item", pl.when(is_title).then("title"), attributes=attributes)


def _flat(categories: pl.Series) -> pl.Series:
    """Lists of names without lists in them, which Polars gives as JSON text."""
    names = categories.explode()
    nested = names.filter(names.str.starts_with("[")).unique()
    joined = {text: INNER_SEPARATOR.join(_names(text)) for text in nested}
    if not joined:
        return categories
    parts = pl.element().replace(joined).str.split(INNER_SEPARATOR)
    return categories.list.eval(parts.explode())


def _names(text: str) -> list[str]:
    """The names in a list of names and lists, written as JSON; the text itself if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    names = []
    while found:
        value = found.pop(0)
        if isinstance(value, list):
            found = value + found
        elif isinstance(value, str):
            names.append(value)
    return names


def _load(path: Path, form: _Format) -> Table:
    """The columns of `form`, without lines that are no JSON objects."""
    parts: list[pl.DataFrame] = []
    n_bad = 0
    try:
        _check_start(path)
        for block in line_blocks(path, MAX_LINE_BYTES):
            try:
                parts.append(_parse(block, form))
            except pl.exceptions.PolarsError:
                n_bad += _salvage(path, block, form, parts)
    except LongLineError as error:
        raise R2RecError(
            f"{path}:{error}: a line of {MAX_LINE_BYTES >> 20} MiB or more: download the file again"
        ) from None
    except UNPACKING_ERRORS as error:
        raise R2RecError(f"{path} cannot be read to its end ({error}): download it again") from None
    if not sum(part.height for part in parts):
        raise R2RecError(f"{path} is empty: download it again")
    notes = []
    if n_bad:
        notes.append(f"{counted(n_bad, 'line')} of {path.name} left out: no JSON object")
    return Table(pl.concat(parts), notes)


def _check_start(path: Path) -> None:
    """Raise R2RecError for a file of another kind."""
    with unpacked_file(path) as text:
        start = text.read(MAX_START)
    kind = kind_of(start)
    if start.startswith(b"{'"):
        kind = "of the edition of 2014, which is Python and not JSON"
    elif start.startswith(b"{"):
        kind = None
    if kind:
        raise R2RecError(f"{path} is {kind}: download the edition of 2018 or 2023")


def _parse(lines: bytes, form: _Format) -> pl.DataFrame:
    """The columns of `form`: null where a value is of another kind."""
    scan = pl.scan_ndjson(lines, schema=form.fields, ignore_errors=True)
    return scan.select(form.columns).collect(engine="streaming")


def _salvage(path: Path, block: bytes, form: _Format, parts: list[pl.DataFrame]) -> int:
    """Append the lines of a block that can be parsed to `parts`; how many cannot."""
    n_bad = 0
    text = BytesIO(block)
    while lines := text.readlines(CHUNK_BYTES):
        good, bad = _parsed_lines([line for line in lines if line.strip()], form)
        parts += good
        n_bad += bad
        if not parts:
            raise R2RecError(f"{path} is not made of JSON objects, one a line: replace it")
    return n_bad


def _parsed_lines(lines: list[bytes], form: _Format) -> tuple[list[pl.DataFrame], int]:
    """Tables of the good lines, and the number of bad ones: halved until either is alone."""
    try:
        return [_parse(b"".join(lines), form)] if lines else [], 0
    except pl.exceptions.PolarsError:
        if len(lines) == 1:
            return [], 1
    middle = len(lines) // 2
    left, n_left = _parsed_lines(lines[:middle], form)
    right, n_right = _parsed_lines(lines[middle:], form)
    return left + right, n_left + n_right
