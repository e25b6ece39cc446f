"""MovieLens: the tables have what the files have, every edition is told, bad rows are left out."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.data import movielens
from r2rec.data.interactions import Raw, index
from r2rec.data.movielens import plain_title, read_ml_1m, read_ml_100k
from tests.data import named

ML_1M = {
    "ratings.dat": "1::20::5::978300760\n2::3::1::978300761\n1::3::4::978300760\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::0::70072-1\n3::M::25::20::55117\n",
    "movies.dat": (
        "3::Misérables, Les (1995)::Drama|Musical\n20::Seven: The End (1995)::(no genres listed)\n"
    ),
}
ML_100K = {
    "u.data": "1\t2\t5\t881250949\n2\t1\t3\t891717742\n",
    "u.user": "1|24|M|technician|85711\n2|53|F|other|94043\n",
    "u.item": (
        f"1|Postino, Il (1994)|01-Jan-1994||http://x|{'|'.join('0000010000000010000')}\n"
        f"2|unknown||||{'|'.join('1000000000000000000')}\n"
    ),
}
Reader = Callable[[Path], Raw]


def put(folder: Path, files: dict[str, str], encoding: str = "latin-1", **changed: bytes) -> Path:
    for name, text in files.items():
        (folder / name).write_bytes(changed.get(name.replace(".", "_"), text.encode(encoding)))
    return folder


def test_read_ml_1m_returns_what_the_files_have(tmp_path: Path) -> None:
    raw = read_ml_1m(put(tmp_path, ML_1M))
    assert raw.ratings.schema == {
        "user": pl.UInt32,
        "item": pl.UInt32,
        "rating": pl.Float32,
        "time_ms": pl.Int64,
    }
    assert named.ratings(raw)[1] == ("2", "3", 1.0, 978_300_761_000)
    assert raw.users["profile"].to_list() == [
        "female, under 18, K-12 student",
        "male, 56 or older, other or unspecified occupation",
    ]
    assert raw.items.rows() == [
        ("3", "Les Misérables (1995)", ["Drama", "Musical"]),
        ("20", "Seven: The End (1995)", []),
    ]
    assert index(raw).interactions.rows() == [
        (0, 1, 5.0, 978300760),
        (0, 0, 4.0, 978300760),
        (1, 0, 1.0, 978300761),
    ]


def test_read_ml_100k_returns_what_the_files_have(tmp_path: Path) -> None:
    raw = read_ml_100k(put(tmp_path, ML_100K))
    assert named.ratings(raw) == [
        ("1", "2", 5.0, 881_250_949_000),
        ("2", "1", 3.0, 891_717_742_000),
    ]
    assert raw.users["profile"].to_list() == [
        "male, 24 years old, technician",
        "female, 53 years old, other occupation",
    ]
    assert raw.items.rows() == [
        ("1", "Il Postino (1994)", ["Comedy", "Romance"]),
        ("2", "unknown", []),
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n\n"])
def test_read_ml_1m_ignores_encoding_and_line_ends(
    tmp_path: Path, encoding: str, ending: str, tail: str
) -> None:
    files = {name: (text.rstrip("\n") + tail).replace("\n", ending) for name, text in ML_1M.items()}
    (tmp_path / "plain").mkdir()
    plain = read_ml_1m(put(tmp_path / "plain", ML_1M))
    other = read_ml_1m(put(tmp_path, files, encoding))
    assert all(one.equals(two) for one, two in zip(plain[:3], other[:3], strict=True))


GOOD = "1::3::5::978300760"
BAD_RATINGS = [  # a line, and why it is left out
    ("1::3::5", "the time is missing or cannot be read"),
    ("1::3::5::9::9", "more fields than columns"),
    ("1;3;5;9", "no item"),
    ("1::3::6::978300760", "the rating is not from 0.5 to 5"),
    ("1::3::0::978300760", "the rating is not from 0.5 to 5"),
    ("1::3::nan::978300760", "the rating is not from 0.5 to 5"),
    ("1::3::1e400::978300760", "the rating is not from 0.5 to 5"),
    ("1::3::five::978300760", "the rating is not a number"),
    ("1::3::::978300760", "the rating is not a number"),
    ("1::3::5::-1", "the time is not between 1970 and 2100"),
    ("1::3::5::99999999999999999999", "the time is missing or cannot be read"),
    ("::3::5::978300760", "no user"),
    ("1::3\0::5::978300760", "without a title"),
    ("1::4::5::978300760", "without a title"),
]


@pytest.mark.parametrize(("line", "why"), BAD_RATINGS)
def test_a_bad_rating_is_left_out_and_counted(tmp_path: Path, line: str, why: str) -> None:
    good = "\n".join([GOOD] * 12)
    raw = read_ml_1m(put(tmp_path, ML_1M, ratings_dat=f"{good}\n{line}\n{GOOD}\n".encode()))
    assert raw.ratings.height == 13
    assert [note for note in raw.notes if why in note and note.startswith("1 r")], raw.notes


def test_bytes_of_no_encoding_cost_their_row(tmp_path: Path) -> None:
    lines = b"1::3::5::978300760\n1::\xc3\xa9::5::978300760\n1::\xc3::5::978300760\n"
    raw = read_ml_1m(put(tmp_path, ML_1M, ratings_dat=lines))
    assert raw.ratings.height == 1
    assert "1 row of ratings.dat left out: text that cannot be decoded" in raw.notes


BAD_DESCRIPTIONS = [  # a line, and the rows of users and items that are left without a description
    ("users.dat", "3::X::25::1::5", "1 user without a profile"),
    ("users.dat", "3::F::26::1::5", "1 user without a profile"),
    ("users.dat", "3::F::25::21::5", "1 user without a profile"),
    ("users.dat", "", "1 user without a profile"),
    ("users.dat", "::F::25::1::5", "1 user without a profile"),
    ("movies.dat", "30", "1 description of items left out"),
    ("movies.dat", "30::Heat::Cold::Drama", "1 row of movies.dat left out: more fields"),
    ("movies.dat", "30:: ::Drama", "1 description of items left out"),
    ("movies.dat", "20::Heat (1995)::Drama", "1 description of items left out"),
]


@pytest.mark.parametrize(("name", "line", "why"), BAD_DESCRIPTIONS)
def test_a_bad_description_is_left_out_and_counted(
    tmp_path: Path, name: str, line: str, why: str
) -> None:
    described = ML_1M[name].replace("3::M::25::20::55117\n", "") + line + "\n"
    ratings = (ML_1M["ratings.dat"] + "3::3::4::978300762\n").encode()
    changed = {name.replace(".", "_"): described.encode("latin-1"), "ratings_dat": ratings}
    raw = read_ml_1m(put(tmp_path, ML_1M, **changed))
    assert raw.ratings.height == 4
    assert [note for note in raw.notes if note.startswith(why)], raw.notes


def written(folder: Path, suffix: str, separator: str, header: bool, users: bool) -> Path:
    """The same ratings as an edition of MovieLens writes them, half stars and all."""
    tables = {
        "ratings": ["userId,movieId,rating,timestamp", "1,20,4.5,978300760", "2,3,0.5,978300761"],
        "movies": ["movieId,title,genres", '3,"Postino, Il (1994)",Drama', "20,Se7en (1995),"],
    }
    if users:
        tables["users"] = ["userId", *ML_1M["users.dat"].splitlines()]
    folder.mkdir()
    for name, lines in tables.items():
        text = "\n".join(lines if header else lines[1:]) + "\n"
        if separator != ",":
            text = text.replace(", ", "\0").replace(",", separator).replace("\0", ", ")
            text = text.replace('"', "")
        (folder / f"{name}{suffix}").write_text(text)
    return folder


def test_every_layout_gives_the_same_ratings(tmp_path: Path) -> None:
    wanted = [("1", "20", 4.5, 978_300_760_000), ("2", "3", 0.5, 978_300_761_000)]
    for name, form, edition in (
        ("1m", (".dat", "::", False, True), "in the layout of 1M and 10M"),
        ("10m", (".dat", "::", False, False), "in the layout of 1M and 10M"),
        ("25m", (".csv", ",", True, False), "in the layout of 20M and later"),
    ):
        raw = movielens.read_movielens(written(tmp_path / name, *form))
        assert named.ratings(raw) == wanted
        assert raw.notes == [f"this is MovieLens {edition}"]
        assert raw.items["title"].to_list() == ["Il Postino (1994)", "Se7en (1995)"]
    (tmp_path / "25m" / "ratings.csv").write_text("a\nb\n")
    with pytest.raises(R2RecError, match=r"not a file of MovieLens: its columns are a, not userId"):
        movielens.read_movielens(tmp_path / "25m")


@pytest.mark.parametrize(("files", "read"), [(ML_1M, read_ml_1m), (ML_100K, read_ml_100k)])
def test_movielens_names_missing_and_empty_files(
    tmp_path: Path, files: dict[str, str], read: Reader
) -> None:
    with pytest.raises(R2RecError, match=r"gone is not a folder: set dataset\.root"):
        read(tmp_path / "gone")
    for name in files:
        put(tmp_path, files)
        for content in (b"", b"\n\n", b"\xef\xbb\xbf"):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(R2RecError, match=rf"{name} is empty"):
                read(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(R2RecError, match=rf"holds no {name}"):
            read(tmp_path)


def test_movielens_rejects_category(tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match="MovieLens has no categories"):
        read_ml_1m(tmp_path, "Books")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Postino, Il (The Postman) (1994)", "Il Postino (The Postman) (1994)"),
        ("Hate (Haine, La) (1995)", "Hate (La Haine) (1995)"),
        (
            "Star Maker, The (Uomo delle stelle, L') (1995)",
            "The Star Maker (L'Uomo delle stelle) (1995)",
        ),
        (
            "Confessional, The (Confessionnal, Le) (1995)",
            "The Confessional (Le Confessionnal) (1995)",
        ),
        ("Wonderful, Horrible Life of X, The (1993)", "The Wonderful, Horrible Life of X (1993)"),
        ("Cry, the Beloved Country (1995)", "Cry, the Beloved Country (1995)"),
        ("Me, Myself and Irene (2000)", "Me, Myself and Irene (2000)"),
        ("Two  Friends (1986) ", "Two Friends (1986)"),
        ("Big Lebowski, The", "The Big Lebowski"),
    ],
)
def test_plain_title(written: str, spoken: str) -> None:
    assert pl.select(plain_title(pl.lit(written))).item() == spoken


@pytest.mark.parametrize(
    ("read", "folder", "counts"),
    [
        (read_ml_1m, "ml-1m-part", (2_999, 3_615, 487_650)),
        (read_ml_100k, "ml-100k", (943, 1_682, 100_000)),
    ],
)
def test_movielens_on_real_data(
    shared_data: Path, read: Reader, folder: str, counts: tuple[int, int, int]
) -> None:
    tables = index(read(shared_data / folder))
    either = index(movielens.read_movielens(shared_data / folder))
    assert either.interactions.equals(tables.interactions)
    assert either.notes[0].startswith("this is MovieLens")
    assert (tables.users.height, tables.items.height, tables.interactions.height) == counts
    assert tables.notes == []
    assert tables.users["profile"].null_count() == tables.items["title"].null_count() == 0
    assert not tables.items["title"].str.contains(r", The \(|[\x80-\x9f]").any()
    assert tables.interactions["timestamp"].is_between(874_000_000, 1_050_000_000).all()
