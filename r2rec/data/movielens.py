"""MovieLens-1M and MovieLens-100K, read from GroupLens' own files.

The formats are described in the README of each archive. The files are curated, so anything odd in
them means a damaged copy, and is reported as an error with file and line.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import LATEST_S, Raw, raw_file, rows_of

GENDERS = {"F": "female", "M": "male"}
AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56 or older",
}
OCCUPATIONS = [  # MovieLens-1M writes the index
    "other or unspecified occupation",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
]
JOBS_100K = {  # other occupations are words already
    "none": "no occupation",
    "other": "other occupation",
    "": "unspecified occupation",
}
GENRES_100K = [  # the last columns of u.item, 0 or 1 each
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]

ARTICLES = "The|An|A|Les|Le|La|L'|Il|El|Los|Las|Der|Das|Die|Det|O"
CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n"))
BOM = b"\xef\xbb\xbf"
MAX_QUOTED = 60  # characters of a bad value that an error message shows


def read_ml_1m(root: Path, category: str | None = None) -> Raw:
    """Read MovieLens-1M from ratings.dat, users.dat and movies.dat in the folder `root`.

    Raises:
        R2RecError: A category is given, a file is missing or empty, or a line is not valid. The
            message names the file and the line.
    """
    _reject_category(category)
    users = _users_1m(raw_file(root, "users.dat"))
    items = _items_1m(raw_file(root, "movies.dat"))
    ratings = _ratings(raw_file(root, "ratings.dat"), "::", users, items)
    return Raw(ratings, users, items, notes=[])


def read_ml_100k(root: Path, category: str | None = None) -> Raw:
    """Read MovieLens-100K from u.data, u.user and u.item in the folder `root`.

    Raises:
        R2RecError: A category is given, a file is missing or empty, or a line is not valid. The
            message names the file and the line.
    """
    _reject_category(category)
    users = _users_100k(raw_file(root, "u.user"))
    items = _items_100k(raw_file(root, "u.item"))
    ratings = _ratings(raw_file(root, "u.data"), "\t", users, items)
    return Raw(ratings, users, items, notes=[])


def plain_title(title: pl.Expr) -> pl.Expr:
    """Titles as people say them: "Postino, Il (1994)" -> "Il Postino (1994)".

    The article moves inside brackets too: "Hate (Haine, La) (1995)" -> "Hate (La Haine) (1995)".
    """
    tidy = title.str.replace_all(r"\s+", " ").str.strip_chars()
    # A phrase without brackets, a comma and an article that ends it:
    # "Postino, Il (" gives $1 = "Postino", $2 = "Il", $3 = " (".
    phrase_and_article = rf"([^()\s][^()]*), ({ARTICLES})(\s?[()]|$)"
    moved = tidy.str.replace_all(phrase_and_article, "$2 $1$3")
    return moved.str.replace_all(r"\bL' ", "L'")  # "L' Uomo" -> "L'Uomo"


def _reject_category(category: str | None) -> None:
    if category is not None:
        raise R2RecError(f"MovieLens has no categories: leave dataset.category={category} out")


def _users_1m(path: Path) -> pl.DataFrame:
    users = _text_table(path, "::", ["raw_id", "gender", "age", "occupation", "zip"])
    occupations = {str(code): name for code, name in enumerate(OCCUPATIONS)}
    profile = [
        _decoded(path, users["gender"], GENDERS),
        _decoded(path, users["age"], AGES),
        _decoded(path, users["occupation"], occupations),
    ]
    return users.select("raw_id", profile=pl.concat_str(profile, separator=", "))


def _items_1m(path: Path) -> pl.DataFrame:
    movies = _text_table(path, "::", ["raw_id", "title", "genres"])
    is_no_genre = pl.element().is_in(["", "(no genres listed)"])
    genres = pl.col("genres").str.split("|").list.filter(~is_no_genre)
    return movies.select("raw_id", _titles(path, movies["title"]), attributes=genres)


def _users_100k(path: Path) -> pl.DataFrame:
    users = _text_table(path, "|", ["raw_id", "age", "gender", "occupation", "zip"])
    profile = [
        _decoded(path, users["gender"], GENDERS),
        pl.format("{} years old", _whole_numbers(path, users["age"], 1, 120, "an age")),
        users["occupation"].replace(JOBS_100K),
    ]
    return users.select("raw_id", profile=pl.concat_str(profile, separator=", "))


def _items_100k(path: Path) -> pl.DataFrame:
    columns = ["raw_id", "title", "released", "video", "url", *GENRES_100K]
    movies = _text_table(path, "|", columns)
    genres = []
    for genre in GENRES_100K:
        flag = _whole_numbers(path, movies[genre], 0, 1, f"the {genre} flag")
        has_genre = pl.when(flag == 1)
        genres.append(has_genre.then(pl.lit(genre)))
    known_genres = pl.concat_list(genres[1:]).list.drop_nulls()  # without "unknown"
    return movies.select("raw_id", _titles(path, movies["title"]), attributes=known_genres)


def _ratings(path: Path, separator: str, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The ratings of a file, as `Raw` describes them."""
    columns = ["user", "item", "rating", "seconds"]
    table = _numeric_table(path, separator, columns)
    if table is None:
        table = _text_table(path, separator, columns)
    rows = {}
    for name, described in {"user": users, "item": items}.items():
        rows[name] = rows_of(table[name], described)
        problem = f"is no {name} that the {name} file describes"
        _reject_bad(path, table[name], rows[name].is_null(), problem)
    rating = _whole_numbers(path, table["rating"], 1, 5, "a rating")
    seconds = _whole_numbers(path, table["seconds"], 0, LATEST_S, "a time in seconds")
    return pl.DataFrame(rows).with_columns(
        rating=rating.cast(pl.Float32),
        time_ms=seconds * 1000,
    )


def _numeric_table(path: Path, separator: str, columns: list[str]) -> pl.DataFrame | None:
    """The fields as i64; None unless the file is whole numbers without signs and nothing else.

    Much faster than `_text_table`, which then reads the file and names what is wrong.
    """
    try:
        data = path.read_bytes()
        table = pl.read_csv(
            data,
            has_header=False,
            schema=dict.fromkeys(_csv_columns(separator, columns), pl.Int64),
            separator=separator[0],
            quote_char=None,
            ignore_errors=True,
            truncate_ragged_lines=True,
        )
    except (OSError, pl.exceptions.PolarsError):
        return None
    numbers = table.select(columns)
    if numbers.is_empty() or numbers.null_count().sum_horizontal()[0]:
        return None
    has_negatives = numbers.min().min_horizontal()[0] < 0
    # A leading zero (007 is not the id 7), a blank or anything else is one more byte.
    has_other_bytes = len(data) != _bytes_needed(numbers, separator)
    if has_negatives or has_other_bytes or not data.endswith(b"\n"):
        return None
    return numbers


def _csv_columns(separator: str, columns: list[str]) -> list[str]:
    """The columns as a CSV reader with one-byte separators sees them.

    It reads "1::2" as three fields: "1", an empty one, "2".
    """
    csv_columns: list[str] = []
    for name in columns:
        if csv_columns and len(separator) == 2:
            csv_columns.append(f"before {name}")
        csv_columns.append(name)
    return csv_columns


def _bytes_needed(numbers: pl.DataFrame, separator: str) -> int:
    """The size of a file with just these numbers, none of them negative."""
    n_separators = numbers.width - 1
    bytes_per_line = numbers.width + len(separator) * n_separators + 1  # one digit per number
    size = bytes_per_line * numbers.height
    for column in numbers:
        n_digits = len(str(column.max()))
        for power in range(1, n_digits):
            size += int((column >= 10**power).sum())
    return size


def _text_table(path: Path, separator: str, columns: list[str]) -> pl.DataFrame:
    """The fields of a file as text; row n is line n + 1. Values of raw_id are filled and unique."""
    text = _text(path).rstrip("\n")
    lines = pl.Series([text]).str.split("\n").explode()
    fields = lines.str.split_exact(separator, len(columns)).struct.unnest()
    too_few = fields.to_series(len(columns) - 1).is_null()
    too_many = fields.to_series(-1).is_not_null()
    problem = f"does not have {len(columns)} fields between {separator!r}"
    _reject_bad(path, lines, too_few | too_many, problem)
    new_names = dict(zip(fields.columns, columns, strict=False))  # the last field is the excess
    table = fields[:, :-1].rename(new_names)
    if "raw_id" in columns:
        raw_id = table["raw_id"]
        _reject_bad(path, raw_id, raw_id == "", "is an empty id")
        _reject_bad(path, raw_id, ~raw_id.is_first_distinct(), "is an id used before")
    return table


def _text(path: Path) -> str:
    """The file decoded, with LF line ends. Original copies are latin-1, re-encoded ones UTF-8."""
    try:
        data = path.read_bytes().removeprefix(BOM).replace(b"\r\n", b"\n")
    except OSError as error:
        raise R2RecError(
            f"{path} cannot be read ({error.strerror}): check the file and its permissions"
        ) from None
    if not data.strip():
        raise R2RecError(f"{path} is empty: download it again")
    if len(data.translate(None, CONTROL)) < len(data):
        position = next(n for n, byte in enumerate(data) if byte in CONTROL)
        raise _damaged(path, data, position, "a control character")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Latin-1 decodes anything. These bytes are in no latin-1 title, but in broken UTF-8:
        # C1 controls such as "\x80", and the first two bytes of a character such as "\xc3\xa9".
        if re.search(rb"[\x80-\x9f]|[\xc2-\xf4][\xa0-\xbf]", data):
            problem = "text that is neither UTF-8 nor latin-1"
            raise _damaged(path, data, error.start, problem) from None
        return data.decode("latin-1")


def _damaged(path: Path, data: bytes, position: int, content: str) -> R2RecError:
    line_number = data.count(b"\n", 0, position) + 1
    return R2RecError(
        f"{path}:{line_number}: holds {content}: the file is damaged, download it again"
    )


def _reject_bad(path: Path, values: pl.Series, is_bad: pl.Series, problem: str) -> None:
    """Raise R2RecError for the first line where `is_bad` is true, quoting its value."""
    if is_bad.any():
        row = is_bad.arg_max() or 0
        quoted = repr(str(values[row])[:MAX_QUOTED])
        raise R2RecError(
            f"{path}:{row + 1}: {quoted} {problem}: repair it or download the file again"
        )


def _whole_numbers(path: Path, column: pl.Series, low: int, high: int, name: str) -> pl.Series:
    """A column as i64; R2RecError for a value that is not a whole number from `low` to `high`."""
    values = column.cast(pl.Int64, strict=False)
    is_valid = values.is_between(low, high).fill_null(False)
    problem = f"is not {name}, a whole number from {low} to {high}"
    _reject_bad(path, column, ~is_valid, problem)
    return values


def _decoded(path: Path, column: pl.Series, words: Mapping[str, str]) -> pl.Series:
    """A column of codes as words; R2RecError for a code that is not known."""
    is_known = column.is_in(list(words))
    _reject_bad(path, column, ~is_known, f"is no known {column.name}")
    return column.replace_strict(words)


def _titles(path: Path, column: pl.Series) -> pl.Series:
    _reject_bad(path, column, column.str.strip_chars() == "", "is an empty title")
    return column.to_frame().select(plain_title(pl.col("title"))).to_series()
