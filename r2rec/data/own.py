"""Data of one's own: `dataset=csv`, and RecBole's atomic files: `dataset=recbole`.

Columns have whatever names they have: an option names one, or its name is a usual one.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import Raw, find_file, raw_file
from r2rec.data.meant import raw_of
from r2rec.data.tables import Table, read_table

# Usual names of columns, in lower case without anything but letters and digits. The first there is
# counts.
USUAL = {
    "user": "user userid uid reviewerid customer customerid client clientid visitorid member "
    "memberid reviewer reviewername profilename sessionid",
    "item": "item itemid iid parentasin asin product productid sku movie movieid film filmid book "
    "bookid isbn song songid track trackid game gameid appid recipe recipeid article articleid "
    "newsid video videoid business businessid venueid poi",
    "rating": "rating ratings stars star overall score rate userrating reviewscore bookrating",
    "timestamp": "timestamp time ts unixreviewtime datetime date when createdat eventtime ratedat "
    "reviewtime",
    "title": "title name itemname productname producttitle movietitle booktitle tracktitle "
    "songtitle headline",
}
# Columns of an item that say what it is, and of a user who they are.
ATTRIBUTES = (
    "genre genres category categories kind type class brand store author authors artist tags"
).split()
PROFILE = "age agegroup gender sex occupation job profession country".split()
RATING_ROLES = ("user", "item", "rating", "timestamp")
NEEDED = ("user", "item", "title")  # the others may be missing
GENDERS = {"F": "female", "M": "male", "f": "female", "m": "male"}
MAX_ATTRIBUTES = 6
MAX_SHOWN = 300  # characters of the names of columns that a message shows
PART = "|"  # between the names in one field, as in "Comedy|Drama"
File = tuple[Path, Table]
TYPE = re.compile(r":(token|token_seq|float|float_seq)$")  # after a name in RecBole's headers


def read_csv(
    root: Path,
    category: str | None,
    *,
    ratings: str,
    items: str = "",
    users: str = "",
    columns: Mapping[str, Any] | None = None,
    separator: str | None = None,
    header: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    time_format: str | None = None,
) -> Raw:
    """Read tables of ratings, items and users from the folder `root`: csv, tsv or Parquet.

    Args:
        ratings: Name of the file; `a|b` is whichever exists, `*` stands for anything.
        items: The same, of titles and attributes; a file named without `*` must exist.
        users: The same, of profiles.
        columns: What its column is called: user, item, rating, timestamp, title; attributes and
            profile are lists. null: a usual name.
        separator: Of fields; null: the most frequent in the first line.
        header: Names of the columns of a file of ratings that has no line of names.
        scale: Lowest and highest rating; null: stars, 0.5 to 5 (`meant.raw_of`).
        time_format: Of dates, as in strftime (`meant.raw_of`).

    Raises:
        R2RecError: A file is missing or no table, a column cannot be told, or ratings are on
            another scale.
    """
    chosen = dict(columns or {})
    path = raw_file(root, *ratings.split("|"))
    table = read_table(path, separator=separator, header=header, numbers=True)
    item_path, user_path = _optional(root, items), _optional(root, users)
    return _raw(
        (path, table),
        (item_path, read_table(item_path, separator=separator)) if item_path else None,
        (user_path, read_table(user_path, separator=separator)) if user_path else None,
        chosen,
        scale=scale,
        time_format=time_format,
    )


def read_recbole(
    root: Path,
    category: str | None,
    *,
    stem: str = "*",
    columns: Mapping[str, Any] | None = None,
    scale: Sequence[float] | None = None,
) -> Raw:
    """Read RecBole's atomic files <stem>.inter, and <stem>.item and <stem>.user if there are any.

    The format: https://recbole.io/docs/user_guide/data/atomic_files.html. Other arguments are as in
    `read_csv`.

    Raises:
        R2RecError: As in `read_csv`, or a header has no types.
    """
    path = raw_file(root, f"{stem}.inter")
    chosen = dict(columns or {})
    item_path, user_path = find_file(root, f"{stem}.item"), find_file(root, f"{stem}.user")
    return _raw(
        (path, _atomic(path, chosen)),
        (item_path, _atomic(item_path, chosen)) if item_path else None,
        (user_path, _atomic(user_path, chosen)) if user_path else None,
        chosen,
        scale=scale,
    )


def _optional(root: Path, names: str) -> Path | None:
    """The file of a table that may be missing, unless one is named."""
    if not names:
        return None
    if "*" in names:
        return find_file(root, *names.split("|"))
    return raw_file(root, *names.split("|"))


def _atomic(path: Path, chosen: Mapping[str, Any]) -> Table:
    """A table whose header has types. Tokens of a sequence, but not words of a title, are parts."""
    rows, notes = read_table(path, separator="\t", quoted=False)
    if not any(TYPE.search(name) for name in rows.columns):
        raise R2RecError(
            f"{path} is no atomic file: its header has no types, as in user_id:token; "
            "dataset=csv reads other tables"
        )
    titles = [chosen.get("title"), *USUAL["title"].split()]
    for name in rows.columns:
        plain = TYPE.sub("", name)
        if name.endswith(":token_seq") and plain not in titles and _plain(plain) not in titles:
            rows = rows.with_columns(pl.col(name).str.replace_all(" ", PART, literal=True))
    return Table(rows.rename(lambda name: TYPE.sub("", name)), notes)


def _raw(
    ratings: File,
    items: File | None,
    users: File | None,
    chosen: Mapping[str, Any],
    *,
    scale: Sequence[float] | None,
    time_format: str | None = None,
) -> Raw:
    path, table = ratings
    told = columns_of(path, table.rows, chosen)
    notes = [f"{path.name}: " + ", ".join(f"{role} is {name}" for role, name in told.items())]
    notes += table.notes
    return raw_of(
        table.rows.select(pl.col(name).alias(role) for role, name in told.items()),
        _items(*items, chosen, told["item"], notes) if items else None,
        _users(*users, chosen, told["user"], notes) if users else None,
        source=path.name,
        scale=scale,
        time_format=time_format,
        notes=notes,
    )


def columns_of(path: Path, rows: pl.DataFrame, chosen: Mapping[str, Any]) -> dict[str, str]:
    """Role -> column of a table of ratings: user, item and, where there are any, rating, timestamp.

    Raises:
        R2RecError: The column named for a role does not exist, or that of user or item can't be
            told.
    """
    names = {role: _column(path, rows, role, chosen) for role in RATING_ROLES}
    return {role: name for role, name in names.items() if name}


def _column(path: Path, rows: pl.DataFrame, role: str, chosen: Mapping[str, Any]) -> str | None:
    """The column of a role; None if there is none and may be none.

    Raises:
        R2RecError: The column named for it does not exist, or none can be told.
    """
    name = chosen.get(role)
    there = ", ".join(rows.columns)[:MAX_SHOWN]
    if name is not None and name not in rows.columns:
        raise R2RecError(
            f"{path} has no column {name}: set dataset.params.columns.{role} to one of {there}"
        )
    if name is not None:
        return str(name)
    plain = {_plain(column): column for column in rows.columns}
    for usual in USUAL[role].split():
        if usual in plain:
            return plain[usual]
    if role in NEEDED:
        raise R2RecError(
            f"{path}: which column is the {role} cannot be told from the names: set "
            f"dataset.params.columns.{role} to one of {there}"
        )
    return None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _key(path: Path, rows: pl.DataFrame, role: str, name: str) -> str:
    """The column of ids: the one that is called as in the ratings, else one with a usual name."""
    return name if name in rows.columns else str(_column(path, rows, role, {}))


def _items(
    path: Path, table: Table, chosen: Mapping[str, Any], key: str, notes: list[str]
) -> pl.DataFrame:
    """item, title, attributes. The item's column is preferably called as that of the ratings."""
    rows = table.rows
    key = _key(path, rows, "item", key)
    title = str(_column(path, rows, "title", chosen))
    parts = _listed(path, rows, "attributes", chosen, ATTRIBUTES)
    notes += table.notes
    notes.append(f"{path.name}: " + ", ".join([f"title is {title}", *_told("attributes", parts)]))
    texts = [_parts(rows[name]) for name in parts if name not in (key, title)]
    columns = [rows[key].alias("item"), rows[title].alias("title")]
    if texts:
        joined = pl.concat_list(texts).list.drop_nulls().list.unique(maintain_order=True)
        columns.append(pl.select(attributes=joined.list.head(MAX_ATTRIBUTES)).to_series())
    return pl.DataFrame(columns)


def _users(
    path: Path, table: Table, chosen: Mapping[str, Any], key: str, notes: list[str]
) -> pl.DataFrame:
    """user, profile."""
    rows = table.rows
    key = _key(path, rows, "user", key)
    parts = _listed(path, rows, "profile", chosen, PROFILE)
    notes += table.notes
    notes.append(f"{path.name}: " + (", ".join(_told("profile", parts)) or "no profile"))
    words = [_words(rows[name]).replace(GENDERS) for name in parts]
    profile = pl.concat_str(words, separator=", ", ignore_nulls=True) if words else pl.lit("")
    return rows.select(pl.col(key).alias("user"), profile.alias("profile"))


def _listed(
    path: Path,
    rows: pl.DataFrame,
    role: str,
    chosen: Mapping[str, Any],
    usual: Sequence[str],
) -> list[str]:
    """The columns of a role that takes several."""
    names = chosen.get(role)
    if names is None:
        return [name for name in rows.columns if _plain(name) in usual]
    for name in names:
        _column(path, rows, role, {role: name})
    return [str(name) for name in names]


def _told(role: str, names: Sequence[str]) -> list[str]:
    return [f"{role} are {' + '.join(names)}"] if names else []


def _words(column: pl.Series) -> pl.Series:
    """Text as it is; a number with the name of its column, since it says nothing alone."""
    text = column.cast(pl.String).str.strip_chars()
    is_number = text.cast(pl.Float64, strict=False).is_not_null()
    named = pl.Series([column.name.replace("_", " ") + " "]) + text
    words = named.zip_with(is_number, text)
    return words.set(words == "", None)


def _parts(column: pl.Series) -> pl.Series:
    """The names in each value: a list, or text with PART between them."""
    if column.dtype == pl.List(pl.String):
        return column
    return _words(column).str.split(PART)
