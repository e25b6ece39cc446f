"""What a reader of one's own may return, and how it is told where it returns something else."""

from collections.abc import Callable
from typing import Any

import polars as pl

from r2rec.base.blame import failure, kind_and_reason
from r2rec.base.errors import R2RecError
from r2rec.data.interactions import Raw
from r2rec.data.meant import raw_of

COLUMNS: dict[str, dict[str, Any]] = {
    "ratings": {
        "user": pl.UInt32,
        "item": pl.UInt32,
        "rating": pl.Float32,
        "time_ms": pl.Int64,
    },
    "users": {"raw_id": pl.String, "profile": pl.String},
    "items": {"raw_id": pl.String, "title": pl.String, "attributes": pl.List(pl.String)},
}
NEEDED = (("user", "item"), ("item", "title"), ("user", "profile"))  # of tables in a tuple
MAY_BE_NULL = {"profile", "attributes"}
FORMS = (
    "it must return a DataFrame with the columns user and item (rating, timestamp if there are "
    "any), a tuple of such a one, one with item and title, and one with user and profile, or "
    "r2rec.data.interactions.Raw(ratings, users, items, notes)"
)
UNREADABLE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def called(reader: Callable[..., Any], target: str, *arguments: Any, **params: Any) -> Raw:
    """What a reader returns, as `Raw`. Its mistakes end in one line that names it.

    Args:
        target: The dotted path of the reader.

    Raises:
        R2RecError: The reader fails, or what it returns is not what a reader may return.
        OSError: The disk is at fault.
    """
    name = f"dataset._target_={target}"
    try:
        return checked_tables(reader(*arguments, **params), name)
    except UNREADABLE as error:
        raise R2RecError(
            f"{_reason(error)}: the reader {name} opens it; list the file in dataset.files and set "
            "dataset.root to its folder, or correct the reader"
        ) from error
    except (R2RecError, OSError):
        raise
    except Exception as error:
        if target.startswith("r2rec.") and not isinstance(error, pl.exceptions.PolarsError):
            raise
        how = failure(error, [target]) or f"fails: {kind_and_reason(error)}"
        raise R2RecError(f"{name} {how}: correct the reader") from error


def checked_tables(returned: Any, name: str) -> Raw:
    """What a reader has returned, as `Raw` with the columns and types that this has.

    Raises:
        R2RecError: It is none of what a reader may return.
    """
    if isinstance(returned, Raw):
        return _with_types(returned, name)
    tables = returned if isinstance(returned, tuple) else (returned,)
    frames = [frame for frame in map(_frame, tables) if frame is not None]
    if len(frames) < len(tables) or not 1 <= len(frames) <= len(NEEDED):
        raise R2RecError(f"{name} returned a {type(returned).__name__}: {FORMS}")
    for frame, columns in zip(frames, NEEDED, strict=False):
        if not set(columns) <= set(frame.columns):
            raise R2RecError(
                f"{name} returned a table of {', '.join(frame.columns) or 'nothing'}, without "
                f"{' or '.join(columns)}: {FORMS}"
            )
    return raw_of(*frames, source="the ratings")


def _frame(table: Any) -> pl.DataFrame | None:
    """A table of Polars or pandas as a Polars table; None if it is neither."""
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    if isinstance(table, pl.DataFrame):
        return table
    if type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "columns"):
        return pl.from_pandas(table)
    return None


def _with_types(raw: Raw, name: str) -> Raw:
    """The same tables, with their columns in order and of the right types."""
    tables: dict[str, pl.DataFrame] = {}
    for part, columns in COLUMNS.items():
        table = _frame(getattr(raw, part))
        if table is None or not set(columns) <= set(table.columns):
            raise R2RecError(
                f"{name} returned Raw with {part} that is no table of {', '.join(columns)}"
            )
        for column, kind in columns.items():
            table = _typed(table, part, column, kind, name)
        tables[part] = table.select(list(columns))
    for side, part in (("user", "users"), ("item", "items")):
        last = int(tables["ratings"][side].to_numpy().max(initial=0))
        if tables["ratings"].height and last >= tables[part].height:
            raise R2RecError(
                f"{name} returned ratings of {side} {last}, but only {tables[part].height} "
                f"rows of {part}: {side} is a row number of {part}"
            )
    return Raw(**tables, notes=[str(note) for note in raw.notes])


def _typed(table: pl.DataFrame, part: str, column: str, kind: Any, name: str) -> pl.DataFrame:
    """The table with a column of this type, which must have no nulls unless it may."""
    try:
        typed = table.with_columns(pl.col(column).cast(kind))
    except pl.exceptions.PolarsError:
        raise R2RecError(
            f"{name} returned {part}.{column} as {table[column].dtype}: it must be {kind}"
        ) from None
    nulls = typed[column].null_count()
    if nulls and column not in MAY_BE_NULL:
        raise R2RecError(f"{name} returned {part}.{column} with {nulls:,} nulls: leave them out")
    if column == "attributes":
        return typed.with_columns(pl.col(column).fill_null([]))
    return typed


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be read ({error.strerror})"
    lines = str(error).splitlines()  # Polars sets no `filename`, but names the file in its text
    if lines:
        return lines[0]
    return "a file cannot be read"
