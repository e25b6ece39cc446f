"""MovieLens in GroupLens' own files: 100K, 1M, 10M, 20M, 25M, 32M, latest-small.

The formats are described in the README of each archive. Which edition a folder holds shows in the
names of its files. Rows that cannot be meant are left out and counted.
"""

from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import Raw, find_file, raw_file
from r2rec.data.meant import raw_of
from r2rec.data.tables import Table, read_table

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
RATINGS = ("ratings.dat", "ratings.csv", "u.data")
FILES = {  # file of ratings -> of movies, of users, where the edition has it
    "ratings.dat": ("movies.dat", "users.dat"),
    "ratings.csv": ("movies.csv", ""),
    "u.data": ("u.item", "u.user"),
}
EDITIONS = {  # by number of ratings
    100_000: "100K",
    1_000_209: "1M",
    10_000_054: "10M",
    20_000_263: "20M",
    25_000_095: "25M",
    32_000_204: "32M",
    100_836: "latest-small",
}
COLUMNS = ("user", "item", "rating", "timestamp")
MAX_SHOWN = 300  # characters of the names of columns that a message shows


def read_movielens(root: Path, category: str | None = None) -> Raw:
    """Read any edition of MovieLens from the folder `root`; the first note says which it is.

    Editions with a file of users have profiles. Ratings of movies without a title are left out.

    Raises:
        R2RecError: A category is given, or a file is missing or cannot be read.
    """
    _reject_category(category)
    path = raw_file(root, *RATINGS)
    raw, n_rows = _read(root, path.name)
    layout = {".dat": "the layout of 1M and 10M", ".csv": "the layout of 20M and later"}
    edition = EDITIONS.get(n_rows, f"in {layout.get(path.suffix, 'the layout of 100K')}")
    return raw._replace(notes=[f"this is MovieLens {edition}", *raw.notes])


def read_ml_1m(root: Path, category: str | None = None) -> Raw:
    """Read MovieLens-1M from ratings.dat, users.dat and movies.dat in the folder `root`.

    Raises:
        R2RecError: As in `read_movielens`.
    """
    _reject_category(category)
    raw_file(root, "users.dat")
    return _read(root, "ratings.dat")[0]


def read_ml_100k(root: Path, category: str | None = None) -> Raw:
    """Read MovieLens-100K from u.data, u.user and u.item in the folder `root`.

    Raises:
        R2RecError: As in `read_movielens`.
    """
    _reject_category(category)
    raw_file(root, "u.user")
    return _read(root, "u.data")[0]


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


def _read(root: Path, name: str) -> tuple[Raw, int]:
    """The data of one edition, and how many rows its file of ratings has."""
    movie_name, user_name = FILES[name]
    movies = raw_file(root, movie_name)
    people = find_file(root, user_name)
    ratings = _table(raw_file(root, name), COLUMNS)
    notes = list(ratings.notes)
    raw = raw_of(
        ratings.rows,
        _items(movies, notes),
        _users(people, notes) if people else None,
        source=name,
        described=movie_name,
        notes=notes,
    )
    return raw, ratings.rows.height


def _table(path: Path, columns: tuple[str, ...]) -> Table:
    """A file with these columns. Only the csv editions have a line of names, and quotes."""
    if path.suffix == ".csv":
        table = read_table(path, separator=",", numbers=columns == COLUMNS)
        return Table(_named(path, table.rows, columns), table.notes)
    separator = "::" if path.suffix == ".dat" else "|"
    if path.name == "u.data":
        separator = "\t"
    return read_table(
        path, separator=separator, header=columns, quoted=False, numbers=columns == COLUMNS
    )


def _named(path: Path, rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    names = {"user": "userId", "item": "movieId"}
    written = [names.get(column, column) for column in columns]
    if rows.columns != written:
        there = ", ".join(rows.columns)[:MAX_SHOWN]
        raise R2RecError(
            f"{path} is not a file of MovieLens: its columns are {there}, not "
            f"{', '.join(written)}; dataset=csv reads other tables"
        )
    return rows.select(pl.col(old).alias(new) for old, new in zip(written, columns, strict=True))


def _items(path: Path, notes: list[str]) -> pl.DataFrame:
    """item, title, attributes."""
    if path.name == "u.item":
        columns = ("item", "title", "released", "video", "url", *GENRES_100K)
    else:
        columns = ("item", "title", "genres")
    table = _table(path, columns)
    notes += table.notes
    if path.name == "u.item":
        flags = [pl.when(pl.col(name) == "1").then(pl.lit(name)) for name in GENRES_100K]
        genres = pl.concat_list(flags[1:])  # without "unknown"
    else:
        is_none = pl.element().is_in(["", "(no genres listed)"])
        genres = pl.col("genres").str.split("|").list.filter(~is_none)
    return table.rows.select("item", plain_title(pl.col("title")), attributes=genres)


def _users(path: Path, notes: list[str]) -> pl.DataFrame:
    """user, profile: null where a code is not known."""
    gender = pl.col("gender").replace_strict(GENDERS, default=None)
    if path.name == "u.user":
        columns = ("user", "age", "gender", "occupation", "zip")
        age = pl.col("age").cast(pl.UInt8, strict=False)
        job = pl.col("occupation").fill_null("").replace(JOBS_100K)
        profile = [gender, pl.format("{} years old", age), job]
    else:
        columns = ("user", "gender", "age", "occupation", "zip")
        jobs = {str(code): name for code, name in enumerate(OCCUPATIONS)}
        age = pl.col("age").replace_strict(AGES, default=None)
        profile = [gender, age, pl.col("occupation").replace_strict(jobs, default=None)]
    table = _table(path, columns)
    notes += table.notes
    return table.rows.select("user", profile=pl.concat_str(profile, separator=", "))
