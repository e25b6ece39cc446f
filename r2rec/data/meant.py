"""From tables with text, numbers or times of any kind to `Raw`: what all readers have in common.

A row that cannot be meant is left out and counted: one without a user or an item, with a rating out
of its scale or a time out of 1970 to 2100.
"""

import html
from collections.abc import Sequence

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import LATEST_S, NO_TIMES, Raw, counted, rows_of, used_rows
from r2rec.data.tables import sift

STARS = (0.5, 5.0)  # 1 to 5; half stars go down to 0.5
EVENT = 5.0  # the rating of an event where nobody rates: a like
MOST_OUTSIDE = 0.1  # share of ratings outside the scale, above which the scale must be another
# A time's unit shows in its size: 1e11 seconds are after 2100, 1e11 milliseconds are in 1973.
UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")
SMALLEST = (1e11, 1e14, 1e17)  # of each unit but the first
TIDIED_AT_ONCE = 1 << 20  # ids
YEAR_MS = 365 * 86_400_000
DATE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
ENTITY = r"&(#\d+|#[xX][0-9a-fA-F]+|\w+);"


def raw_of(
    ratings: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    *,
    source: str = "the ratings",
    described: str = "",
    stars: tuple[float, float] = STARS,
    scale: Sequence[float] | None = None,
    time_format: str | None = None,
    notes: Sequence[str] = (),
) -> Raw:
    """`Raw` from a table of ratings and, where there are any, of items and users.

    Ids are taken as text. An item is known by its title, or by its id where it has none.

    Args:
        ratings: user and item; rating, without which every row counts as a rating of 5; timestamp,
            without which the order of rows is the order in time: seconds, milli-, micro- or
            nanoseconds since 1970, each value by its size, or dates and times (UTC).
        items: item, title; attributes (list of text) or not.
        users: user, profile (text).
        source: What notes call the table of ratings.
        described: What notes call the table of items, if ratings of items without a title are to
            be left out.
        stars: Lowest and highest rating there is, if there is no `scale`.
        scale: Lowest and highest rating, which become 1 and 5, to the nearest half.
        time_format: Of dates and times, as in strftime. None: year, month, day, and the time.
        notes: What the reader has to say already.

    Raises:
        R2RecError: Ratings are on another scale.
    """
    said = list(notes)
    rows, found = _meant(ratings, source, stars, scale, time_format)
    said += found
    titled = _described_items(items)
    if items is not None and titled.height < items.height:
        left_out = counted(items.height - titled.height, "description")
        said.append(f"{left_out} of items left out: without a title, or not the first")
    if not described:
        titled, n_named = _named_by_id(titled, rows)
        if n_named:
            said.append(f"{counted(n_named, 'item')} without a title, called by the id")
    item = rows_of(rows["item"], titled)
    if item.null_count():
        lost = counted(item.null_count(), "rating")
        said.append(f"{lost} of items without a title in {described} left out")
        rows, item = rows.filter(item.is_not_null()), item.drop_nulls()
    kept, item = used_rows(titled, item)
    people = _people(rows, users)
    user = rows_of(rows["user"], people)
    if users is not None and people["profile"].null_count():
        said.append(f"{counted(people['profile'].null_count(), 'user')} without a profile")
    return Raw(
        ratings=rows.select(user=user, item=item, rating="rating", time_ms="time_ms"),
        users=people,
        items=kept,
        notes=said,
    )


def phrase(text: pl.Expr) -> pl.Expr:
    """Text on one line, null if empty."""
    # A run of white space and control characters (\p{Cc}): "Ink\n\0 pot" becomes "Ink pot".
    plain = text.cast(pl.String).str.replace_all(r"[\s\p{Cc}]+", " ").str.strip_chars()
    return pl.when(plain != "").then(plain)


def ids(column: pl.Series) -> pl.Series:
    """Ids as text, null if empty. Whole numbers that were read as floats lose their ".0"."""
    if column.dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        column = whole if (whole == column).all() else column
    text = column.cast(pl.String)
    if _is_tidy(text):
        return text
    stripped = pl.col(column.name).str.strip_chars()
    return text.to_frame().select(pl.when(stripped != "").then(stripped)).to_series()


def _is_tidy(text: pl.Series) -> bool:
    """Whether nothing is to be stripped from any text, nor empty.

    A slice at a time: stripped text is a copy, and that of millions of ids takes gigabytes.
    """
    for part in text.to_frame("text").iter_slices(TIDIED_AT_ONCE):
        length = pl.col("text").str.len_bytes()
        lost = length - pl.col("text").str.strip_chars().str.len_bytes()
        if part.select((lost.sum() > 0) | (length.min() == 0)).item():
            return False
    return True


def _keys(column: pl.Series) -> pl.Series:
    """Ids of ratings: whole numbers as they are, which takes less time than text, else `ids`."""
    return column if column.dtype.is_integer() else ids(column)


def numbers(column: pl.Series) -> pl.Series:
    """Numbers (f64), null where there is none. A comma counts as a decimal point."""
    if column.dtype == pl.String:
        column = column.str.strip_chars().str.replace(",", ".", literal=True)
    return column.cast(pl.Float64, strict=False)


def times(column: pl.Series, time_format: str | None = None) -> tuple[pl.Series, list[str]]:
    """Milliseconds since 1970, null where there is no time; and a note if units are mixed.

    Numbers in another unit than most count only where they fall within the years of those.
    """
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("ms")).cast(pl.Int64), []
    number = numbers(column)
    size = number.abs()
    if not (size >= SMALLEST[0]).any():  # all in seconds, as in most files
        moment = (number * 1000.0).round().cast(pl.Int64, strict=False)
        return _with_dates(moment, number, column, time_format), []
    unit = pl.Series("unit", [0], pl.Int8).new_from_index(0, len(size))
    for smallest in SMALLEST:
        unit = unit + (size >= smallest).cast(pl.Int8)
    moment = (number * 1000.0 ** (1 - unit)).round().cast(pl.Int64, strict=False)
    counts = unit.drop_nulls().value_counts(sort=True)
    notes = []
    if counts.height > 1:
        usual = moment.filter(unit == counts[unit.name][0]).to_numpy()
        fits = moment.is_between(usual.min() - YEAR_MS, usual.max() + YEAR_MS)
        moment = moment.zip_with(fits, pl.Series([None], dtype=pl.Int64))
        found = [f"{count:,} in {UNITS[n]}" for n, count in counts.iter_rows()]
        notes.append(f"times of different units, each read by its own: {', '.join(found)}")
    return _with_dates(moment, number, column, time_format), notes


def _with_dates(
    moment: pl.Series, number: pl.Series, column: pl.Series, time_format: str | None
) -> pl.Series:
    """The moments of numbers, and those of written dates where some values are no numbers."""
    if column.dtype != pl.String or not number.null_count():
        return moment
    return pl.select(pl.coalesce(moment, _dates(column, time_format))).to_series()


def _dates(column: pl.Series, time_format: str | None) -> pl.Series:
    """Milliseconds since 1970 of written dates and times, null where there are none."""
    if time_format:
        moment = column.str.to_datetime(time_format, time_unit="ms", strict=False)
        return moment.cast(pl.Int64)
    text = column.str.strip_chars().str.replace("T", " ", literal=True)
    text = text.str.replace_all("/", "-", literal=True).str.replace(r"\s*(Z|UTC)$", "")
    zone = text.str.extract(r":\d\d(?:\.\d+)?\s*([+-]\d\d:?\d\d)$")
    text = text.str.replace(r"\s*[+-]\d\d:?\d\d$", "") if zone.count() else text
    ahead = zone.str.extract(r"^([+-]\d\d)").cast(pl.Int64) * 3_600_000
    minutes = zone.str.extract(r"(\d\d)$").cast(pl.Int64) * 60_000
    ahead = (ahead + minutes * ahead.sign()).fill_null(0)
    tries = [text.str.to_datetime(form, time_unit="ms", strict=False) for form in DATE_FORMATS]
    return pl.select(pl.coalesce(tries)).to_series().cast(pl.Int64) - ahead


def _meant(
    ratings: pl.DataFrame,
    source: str,
    stars: tuple[float, float],
    scale: Sequence[float] | None,
    time_format: str | None,
) -> tuple[pl.DataFrame, list[str]]:
    """Rows of user, item (text or whole numbers), rating f32, time_ms i64 without nulls.

    Also notes of what was left out.
    """
    notes = []
    low, high = scale or stars
    if "rating" in ratings.columns:
        rating = numbers(ratings["rating"])
        if not scale:
            _refuse_other_scale(rating, stars, source)
    else:
        rating = pl.Series([EVENT]).new_from_index(0, ratings.height)
        scale = None
        notes.append(f"{source} has no ratings: every row counts as a rating of {EVENT:g}")
    if "timestamp" in ratings.columns:
        time_ms, mixed = times(ratings["timestamp"], time_format)
        notes += mixed
    else:
        time_ms = pl.select(pl.int_range(ratings.height) * 1000).to_series()
        notes.append(f"{source} {NO_TIMES}")
    rows = pl.DataFrame(
        {
            "user": _keys(ratings["user"]),
            "item": _keys(ratings["item"]),
            "rating": rating,
            "time_ms": time_ms,
        }
    )
    faults = {
        "no user": pl.col("user").is_null(),
        "no item": pl.col("item").is_null(),
        "the rating is not a number": pl.col("rating").is_null(),
        f"the rating is not from {low:g} to {high:g}": ~pl.col("rating").is_between(low, high),
        "the time is missing or cannot be read": pl.col("time_ms").is_null(),
        "the time is not between 1970 and 2100": (
            ~pl.col("time_ms").is_between(0, LATEST_S * 1000)
        ),
    }
    table = sift(rows, source, faults)
    told = pl.col("rating")
    if scale:
        told = ((1 + (told - low) * 4 / (high - low)) * 2).round() / 2
        notes.append(f"ratings from {low:g} to {high:g} are told as 1 to 5, to the nearest half")
    return table.rows.with_columns(rating=told.cast(pl.Float32)), [*notes, *table.notes]


def _refuse_other_scale(rating: pl.Series, stars: tuple[float, float], source: str) -> None:
    known = rating.drop_nulls().drop_nans().to_numpy()
    outside = int(((known < stars[0]) | (known > stars[1])).sum())
    if outside > 1 and outside > MOST_OUTSIDE * len(known):
        raise R2RecError(
            f"{outside:,} of {len(known):,} ratings of {source} are not from {stars[0]:g} to "
            f"{stars[1]:g}, they go from {known.min():g} to {known.max():g}: bring them to 1 to 5, "
            "as dataset=csv does by dataset.params.scale=[1,10]"
        )


def _described_items(items: pl.DataFrame | None) -> pl.DataFrame:
    """raw_id, title, attributes: the first description of each item that has a title."""
    if items is None:
        items = pl.DataFrame(schema={"item": pl.String, "title": pl.String})
    attributes = pl.lit([], pl.List(pl.String))
    if "attributes" in items.columns:
        texts = _unescaped(items["attributes"].explode())
        element = phrase(pl.element().replace(texts))
        listed = pl.col("attributes").list.eval(element).list.drop_nulls()
        attributes = listed.list.unique(maintain_order=True).fill_null([])
    title = pl.col("title").cast(pl.String)
    table = items.select(
        ids(items["item"]).alias("raw_id"),
        phrase(title.replace(_unescaped(items["title"]))).alias("title"),
        attributes.alias("attributes"),
    )
    return table.drop_nulls(["raw_id", "title"]).unique("raw_id", keep="first", maintain_order=True)


def _unescaped(texts: pl.Series) -> dict[str, str]:
    """Text with HTML entities -> the same in plain text: "Caf&eacute;" -> "Café"."""
    text = texts.cast(pl.String)
    escaped = text.filter(text.str.contains(ENTITY)).unique()
    return {written: html.unescape(written) for written in escaped}


def _named_by_id(titled: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """All items that are rated, those without a title by their ids; and how many these are."""
    rated = rows.select(raw_id=pl.col("item").unique(maintain_order=True).cast(pl.String))
    untitled = rated.join(titled, on="raw_id", how="anti", maintain_order="left")
    named = untitled.select("raw_id", title="raw_id", attributes=pl.lit([], pl.List(pl.String)))
    return pl.concat([titled, named]), named.height


def _people(rows: pl.DataFrame, users: pl.DataFrame | None) -> pl.DataFrame:
    """raw_id and profile of all who rate."""
    raters = rows.select(raw_id=pl.col("user").unique(maintain_order=True).cast(pl.String))
    if users is None:
        return raters.with_columns(profile=pl.lit(None, pl.String))
    described = users.select(ids(users["user"]).alias("raw_id"), phrase(pl.col("profile")))
    first = described.drop_nulls("raw_id").unique("raw_id", keep="first", maintain_order=True)
    return raters.join(first, on="raw_id", how="left", maintain_order="left")
