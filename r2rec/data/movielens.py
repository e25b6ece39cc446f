"""MovieLens-1M and MovieLens-100K, read from GroupLens' own files (formats: the README in each archive).

The files are curated, so anything odd in them means a damaged copy and is an error with file and line.
"""

import re
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import LATEST_S, Raw, raw_file, rows_of

GENDERS = {"F": "female", "M": "male"}
AGES = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44",
    "45": "45-49", "50": "50-55", "56": "56 or older",
}  # fmt: skip
OCCUPATIONS = [
    "other or unspecified occupation", "academic/educator", "artist", "clerical/admin",
    "college/grad student", "customer service", "doctor/health care", "executive/managerial", "farmer",
    "homemaker", "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
]  # fmt: skip
GENRES_100K = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama",
    "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
]  # fmt: skip

ARTICLES = "The|An|A|Les|Le|La|L'|Il|El|Los|Las|Der|Das|Die|Det|O"
CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n"))
BOM = b"\xef\xbb\xbf"


def read_ml_1m(root: Path, category: str | None = None) -> Raw:
    """MovieLens-1M from ratings.dat, users.dat and movies.dat in `root`; R2RecError on any bad line."""
    _no_category(category)
    path = raw_file(root, "users.dat")
    users = _table(path, "::", ["raw_id", "gender", "age", "occupation", "zip"])
    occupations = {str(code): words for code, words in enumerate(OCCUPATIONS)}
    profile = [
        _worded(path, users["gender"], GENDERS),
        _worded(path, users["age"], AGES),
        _worded(path, users["occupation"], occupations),
    ]
    people = users.select("raw_id", profile=pl.concat_str(profile, separator=", "))
    path = raw_file(root, "movies.dat")
    movies = _table(path, "::", ["raw_id", "title", "genres"])
    genres = (
        pl.col("genres").str.split("|").list.filter(~pl.element().is_in(["", "(no genres listed)"]))
    )
    items = movies.select("raw_id", _titles(path, movies["title"]), attributes=genres)
    return Raw(_ratings(raw_file(root, "ratings.dat"), "::", people, items), people, items, [])


def read_ml_100k(root: Path, category: str | None = None) -> Raw:
    """MovieLens-100K from u.data, u.user and u.item in `root`; R2RecError on any bad line."""
    _no_category(category)
    path = raw_file(root, "u.user")
    users = _table(path, "|", ["raw_id", "age", "gender", "occupation", "zip"])
    jobs = {"none": "no occupation", "other": "other occupation", "": "unspecified occupation"}
    profile = [
        _worded(path, users["gender"], GENDERS),
        pl.format("{} years old", _whole(path, users["age"], 1, 120, "an age")),
        users["occupation"].replace(jobs),
    ]
    people = users.select("raw_id", profile=pl.concat_str(profile, separator=", "))
    path = raw_file(root, "u.item")
    movies = _table(path, "|", ["raw_id", "title", "released", "video", "url", *GENRES_100K])
    flags = [_whole(path, movies[genre], 0, 1, f"the {genre} flag") == 1 for genre in GENRES_100K]
    named = [
        pl.when(flag).then(pl.lit(genre)) for genre, flag in zip(GENRES_100K, flags, strict=True)
    ]
    genres = pl.concat_list(named[1:]).list.drop_nulls()  # "unknown" says nothing
    items = movies.select("raw_id", _titles(path, movies["title"]), attributes=genres)
    return Raw(_ratings(raw_file(root, "u.data"), "\t", people, items), people, items, [])


def plain_title(title: pl.Expr) -> pl.Expr:
    """Titles as people say them: "Postino, Il (1994)" -> "Il Postino (1994)", also inside brackets."""
    tidy = title.str.replace_all(r"\s+", " ").str.strip_chars()
    moved = tidy.str.replace_all(rf"([^()\s][^()]*), ({ARTICLES})(\s?[()]|$)", "$2 $1$3")
    return moved.str.replace_all(r"\bL' ", "L'")


def _no_category(category: str | None) -> None:
    if category is not None:
        raise R2RecError(f"MovieLens has no categories: leave dataset.category={category} out")


def _ratings(path: Path, separator: str, users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    names = ["user", "item", "rating", "seconds"]
    table = _numbers(path, separator, names)
    if table is None:
        table = _table(path, separator, names)
    rows = {}
    for name, described in {"user": users, "item": items}.items():
        rows[name] = rows_of(table[name], described)
        _refuse(
            path, table[name], rows[name].is_null(), f"is no {name} that the {name} file describes"
        )
    rating = _whole(path, table["rating"], 1, 5, "a rating")
    seconds = _whole(path, table["seconds"], 0, LATEST_S, "a time in seconds")
    return pl.DataFrame(rows).with_columns(rating=rating.cast(pl.Float32), time_ms=seconds * 1000)


def _numbers(path: Path, separator: str, names: list[str]) -> pl.DataFrame | None:
    """The fields as i64 where the file is whole numbers and nothing else; None where it must be read as text."""
    # A separator of two characters is two of one, with an empty field between them.
    gaps = len(separator) - 1
    fields = [field for name in names for field in (name, *[f"after {name}"] * gaps)][
        : len(names) * (gaps + 1) - gaps
    ]
    try:
        data = path.read_bytes()
        table = pl.read_csv(
            data, has_header=False, schema=dict.fromkeys(fields, pl.Int64), separator=separator[0], quote_char=None,
            ignore_errors=True, truncate_ragged_lines=True,
        )  # fmt: skip
    except (OSError, pl.exceptions.PolarsError):
        return None
    numbers = table.select(names)
    if (
        numbers.is_empty()
        or numbers.null_count().sum_horizontal()[0]
        or numbers.min().min_horizontal()[0] < 0
    ):
        return None
    shortest = len(names) + len(separator) * (len(names) - 1) + 1  # line: a digit a field
    more_digits = sum(
        (column >= 10**n).sum() for column in numbers for n in range(1, len(str(column.max())))
    )
    # A zero in front (007 is another id than 7), a blank or any other character is a byte more than the numbers need.
    exact = data.endswith(b"\n") and len(data) == shortest * numbers.height + more_digits
    return numbers if exact else None


def _table(path: Path, separator: str, names: list[str]) -> pl.DataFrame:
    """The file's fields as text; row n is line n + 1. The first field is an id, so never empty."""
    lines = pl.Series([_text(path).rstrip("\n")]).str.split("\n").explode()
    fields = lines.str.split_exact(separator, len(names)).struct.unnest()
    wrong = fields.to_series(len(names) - 1).is_null() | fields.to_series(-1).is_not_null()
    _refuse(path, lines, wrong, f"does not have {len(names)} fields between {separator!r}")
    table = fields[:, :-1].rename(dict(zip(fields.columns, names, strict=False)))
    if "raw_id" in names:
        _refuse(path, table["raw_id"], table["raw_id"] == "", "is an empty id")
        _refuse(path, table["raw_id"], ~table["raw_id"].is_first_distinct(), "is an id used before")
    return table


def _text(path: Path) -> str:
    """The file decoded, with LF line ends. Classic copies are latin-1, re-encoded ones UTF-8."""
    try:
        data = path.read_bytes().removeprefix(BOM).replace(b"\r\n", b"\n")
    except OSError as error:
        raise R2RecError(
            f"{path} cannot be read ({error.strerror}): check the file and its rights"
        ) from None
    if not data.strip():
        raise R2RecError(f"{path} is empty: download it again")
    if len(data.translate(None, CONTROL)) < len(data):
        position = next(at for at, byte in enumerate(data) if byte in CONTROL)
        raise _damaged(path, data, position, "a control character")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # Latin-1 decodes anything, so what no latin-1 title holds tells broken UTF-8 apart.
        if re.search(rb"[\x80-\x9f]|[\xc2-\xf4][\xa0-\xbf]", data):
            raise _damaged(
                path, data, error.start, "text that is neither UTF-8 nor latin-1"
            ) from None
        return data.decode("latin-1")


def _damaged(path: Path, data: bytes, position: int, what: str) -> R2RecError:
    line = data.count(b"\n", 0, position) + 1
    return R2RecError(f"{path}:{line}: holds {what}: the file is damaged, download it again")


def _refuse(path: Path, shown: pl.Series, bad: pl.Series, what: str) -> None:
    """R2RecError on the first line where `bad` holds, quoting what `shown` has there."""
    if bad.any():
        row = bad.arg_max() or 0
        raise R2RecError(
            f"{path}:{row + 1}: {str(shown[row])[:60]!r} {what}: repair it or download the file again"
        )


def _whole(path: Path, column: pl.Series, low: int, high: int, name: str) -> pl.Series:
    values = column.cast(pl.Int64, strict=False)
    bad = ~values.is_between(low, high).fill_null(False)
    _refuse(path, column, bad, f"is not {name}, a whole number from {low} to {high}")
    return values


def _worded(path: Path, column: pl.Series, words: dict[str, str]) -> pl.Series:
    _refuse(path, column, ~column.is_in(list(words)), f"is no known {column.name}")
    return column.replace_strict(words)


def _titles(path: Path, column: pl.Series) -> pl.Series:
    _refuse(path, column, column.str.strip_chars() == "", "is an empty title")
    return column.to_frame().select(plain_title(pl.col("title"))).to_series()
