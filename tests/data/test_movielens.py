"""MovieLens: the tables have what the files have, and a damaged line is named."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        "male, 25-34, writer",
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


PLAIN = ["1", "2", "10", "30"]
FIELDS = [*PLAIN, "0", "07", "+1", "-1", " 1", "", "1:2", ":3", '"4"', "9" * 20, "5\r", "6\n"]


@given(
    st.lists(st.lists(st.sampled_from(FIELDS), max_size=4), max_size=3),
    st.sampled_from(["::", "\t"]),
    st.sampled_from(["", "\n", "\n\n"]),
)
def test_numeric_table_equals_text_table(lines: list[list[str]], separator: str, end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.dat"
        path.write_text("\n".join(map(separator.join, [["1"] * 3, *lines])) + end, newline="")
        numbers = movielens._numeric_table(path, separator, ["a", "b", "c"])
        plain = all(
            len(fields) == 3 and all(field in PLAIN for field in fields) for fields in lines
        )
        if plain and end == "\n":
            assert numbers is not None
        if numbers is not None:
            text = movielens._text_table(path, separator, ["a", "b", "c"])
            assert numbers.cast(pl.String).equals(text)


BAD_RATINGS = [
    b"1::3::5",
    b"1::3::5::9::9",
    b"1;3;5;9",
    b"",
    b"  ",
    b"1::3::6::9",
    b"1::3::0::9",
    b"1::3::4.5::9",
    b"1::3::nan::9",
    b"1::3::inf::9",
    b"1::3::1e400::9",
    b"1::3::five::9",
    b"1::3::::9",
    b"1::3::5::-1",
    b"1::3::5::9.5",
    b"1::3::5::978300760000",
    b"1::3::5::99999999999999999999",
    b"1::4::5::9",
    b"9::3::5::9",
    b"::3::5::9",
    b"1::3\x00::5::9",
    b"\xff::3::5::9",
    b"1::3::\xc3::9",
    b"1::3::5::9\r",
]


@pytest.mark.parametrize("line", BAD_RATINGS)
def test_read_ml_1m_names_bad_rating(tmp_path: Path, line: bytes) -> None:
    good = ML_1M["ratings.dat"].encode()
    put(tmp_path, ML_1M, ratings_dat=good + line + b"\r\n" * line.endswith(b"\r") + b"\n" + good)
    with pytest.raises(R2RecError, match=r"ratings\.dat:4: ") as caught:
        read_ml_1m(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [b"1\t1\t5", b"1 1 5 9", b"1\t1\t5\t9\t9", b"1\t1\tx\t9", b"1\t1\t4.5\t9", b"7\t1\t5\t9"],
)
def test_read_ml_100k_names_bad_rating(tmp_path: Path, line: bytes) -> None:
    put(tmp_path, ML_100K, u_data=ML_100K["u.data"].encode() + line)
    with pytest.raises(R2RecError, match=r"u\.data:3: "):
        read_ml_100k(tmp_path)


BAD_DESCRIPTIONS = [
    (ML_1M, "users.dat", b"4::X::25::1::5"),
    (ML_1M, "users.dat", b"4::F::26::1::5"),
    (ML_1M, "users.dat", b"4::F::25::21::5"),
    (ML_1M, "users.dat", b"4::F::25::1"),
    (ML_1M, "users.dat", b"1::F::25::1::5"),
    (ML_1M, "users.dat", b"::F::25::1::5"),
    (ML_1M, "movies.dat", b"4::Heat (1995)"),
    (ML_1M, "movies.dat", b"4::Heat::Cold::Drama"),
    (ML_1M, "movies.dat", b"4:: ::Drama"),
    (ML_1M, "movies.dat", b"3::Heat (1995)::Drama"),
    (ML_1M, "movies.dat", b"4::He\0at (1995)::Drama"),
    (ML_1M, "movies.dat", b"4::He\x80at (1995)::Drama"),
    (ML_100K, "u.user", b"4|old|M|writer|1"),
    (ML_100K, "u.user", b"4|24|M|writer"),
    (ML_100K, "u.item", b"4|Heat|||"),
    (ML_100K, "u.item", b"4|Heat||||" + b"|".join([b"2"] * 19)),
]


@pytest.mark.parametrize(("files", "name", "line"), BAD_DESCRIPTIONS)
def test_movielens_names_bad_description(
    tmp_path: Path, files: dict[str, str], name: str, line: bytes
) -> None:
    good = files[name].encode("utf-8")
    put(tmp_path, files, **{name.replace(".", "_"): good + line + b"\n"})
    read: Reader = read_ml_1m if files is ML_1M else read_ml_100k
    last = len(good.splitlines()) + 1
    with pytest.raises(R2RecError, match=rf"{name}:{last}: "):
        read(tmp_path)


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
    assert (tables.users.height, tables.items.height, tables.interactions.height) == counts
    assert tables.notes == []
    assert tables.users["profile"].null_count() == tables.items["title"].null_count() == 0
    assert not tables.items["title"].str.contains(r", The \(|[\x80-\x9f]").any()
    assert tables.interactions["timestamp"].is_between(874_000_000, 1_050_000_000).all()
