"""Data of one's own: any names, any packing, bad rows left out, wrong files named."""

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.data import meant, movielens, own
from r2rec.data.interactions import Raw, index
from tests.data import named
from tests.small import go

DEFAULT = {"ratings": "ratings.*|events.*", "items": "items.*", "users": "users.*"}
ROWS = pl.DataFrame(
    {
        "customer": ["u1", "u2", "u1"],
        "sku": ["a", "b", "b"],
        "stars": [4.0, 2.5, 5.0],
        "when": [1_600_000_000, 1_600_000_060, 1_600_000_120],
    }
)
WANTED = [
    ("u1", "a", 4.0, 1_600_000_000_000),
    ("u2", "b", 2.5, 1_600_000_060_000),
    ("u1", "b", 5.0, 1_600_000_120_000),
]


def read(folder: Path, **params: Any) -> Raw:
    return own.read_csv(folder, None, **{**DEFAULT, **params})


def put(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def packed(data: bytes, codec: str) -> bytes:
    if codec == "zst":
        return bytes(pyarrow.compress(data, codec="zstd", asbytes=True))
    return gzip.compress(data) if codec else data


@pytest.mark.parametrize("codec", ["", "gz", "zst"])
@pytest.mark.parametrize(
    ("separator", "encoding"),
    [(",", "utf-8"), ("\t", "utf-16"), (";", "utf-8-sig"), ("|", "cp1252")],
)
def test_a_table_reads_the_same_however_it_is_written(
    tmp_path: Path, codec: str, separator: str, encoding: str
) -> None:
    text = ROWS.write_csv(separator=separator).replace("\n", "\r\n")
    (tmp_path / "ratings.csv").write_bytes(packed(text.encode(encoding), codec))
    items = f"sku{separator}name{separator}genre\na{separator}Café’s{separator}Tea/Pot\n"
    (tmp_path / "items.csv").write_bytes(packed(items.encode(encoding), codec))
    raw = read(tmp_path)
    assert named.ratings(raw) == WANTED
    assert raw.items.rows() == [("a", "Café’s", ["Tea/Pot"]), ("b", "b", [])]


def test_parquet_with_dates_and_numbers_for_ids(tmp_path: Path) -> None:
    moments = pl.from_epoch(pl.Series([1_600_000_000, None]))
    table = {"movie_id": [7.0, 8.0], "userId": [1, 2], "date": moments, "rating": [4, 5]}
    pl.DataFrame(table).write_parquet(tmp_path / "ratings.parquet")
    raw = read(tmp_path)
    assert named.ratings(raw) == [("1", "7", 4.0, 1_600_000_000_000)]
    assert "1 row of ratings.parquet left out: the time is missing or cannot be read" in raw.notes


def test_columns_are_told_by_options_before_usual_names(tmp_path: Path) -> None:
    folder = put(
        tmp_path,
        {
            "log.txt": "user,buyer,thing,time\nx,u1,a,3\nx,u2,b,2\n",
            "shelf.txt": "thing,label,colour,size\na,Lamp,red|blue,4\nb,,red,5\n",
            "people.txt": "buyer,age,gender\nu1,30,F\n",
        },
    )
    columns = {"user": "buyer", "item": "thing", "title": "label", "attributes": ["colour", "size"]}
    raw = read(folder, ratings="log.txt", items="shelf.txt", users="people.txt", columns=columns)
    assert named.ratings(raw) == [("u1", "a", 5.0, 3_000), ("u2", "b", 5.0, 2_000)]
    assert raw.items.rows() == [("a", "Lamp", ["red", "blue", "size 4"]), ("b", "b", [])]
    assert raw.users.rows() == [("u1", "age 30, female"), ("u2", None)]
    assert raw.notes == [
        "log.txt: user is buyer, item is thing, timestamp is time",
        "shelf.txt: title is label, attributes are colour + size",
        "people.txt: profile are age + gender",
        "log.txt has no ratings: every row counts as a rating of 5",
        "1 description of items left out: without a title, or not the first",
        "1 item without a title, called by the id",
        "1 user without a profile",
    ]


def test_events_without_times_keep_the_order_of_rows(tmp_path: Path) -> None:
    raw = read(put(tmp_path, {"events.tsv": "uid\titem\nu\tb\nu\ta\n"}))
    assert [row[1] for row in sorted(named.ratings(raw), key=lambda row: row[3])] == ["b", "a"]
    assert (
        "events.tsv has no times: the order of its rows counts as their order in time" in raw.notes
    )


def test_rows_without_a_header_and_ratings_on_another_scale(tmp_path: Path) -> None:
    folder = put(tmp_path, {"ratings.csv": "u1,a,10,5\nu1,b,1,6\nu2,a,7,7\nu2,b,0,8\n"})
    with pytest.raises(R2RecError, match=r"3 of 4 ratings .* go from 0 to 10: .*scale=\[1,10\]"):
        read(folder, header=["user", "item", "rating", "time"])
    raw = read(folder, header=["user", "item", "rating", "time"], scale=[1, 10])
    assert [row[2] for row in named.ratings(raw)] == [5.0, 1.0, 3.5]
    assert "1 row of ratings.csv left out: the rating is not from 1 to 10" in raw.notes


GOOD = [f"u{n % 5},i{n % 7},{n % 5 + 1},{1_600_000_000 + n}" for n in range(40)]
BAD = {  # a row -> why it is left out
    "u1,i1,x,1600000000": "the rating is not a number",
    "u1,i1,6,1600000000": "the rating is not from 0.5 to 5",
    "u1,i1,4,": "the time is missing or cannot be read",
    "u1,i1,4,-5": "the time is not between 1970 and 2100",
    ",i1,4,1600000000": "no user",
    "u1, ,4,1600000000": "no item",
    "u1,i1": "the rating is not a number",
    "u1,i1,4,1600000000,9": "more fields than columns",
    'u1,"i1,4,1600000000': "a quote that is never closed",
}


@given(st.sampled_from(sorted(BAD)), st.integers(0, 40))
def test_a_bad_row_costs_no_other(
    tmp_path_factory: pytest.TempPathFactory, row: str, at: int
) -> None:
    folder = tmp_path_factory.mktemp("own")
    lines = ["user,item,rating,time", *GOOD[:at], row, *GOOD[at:]]
    raw = read(put(folder, {"ratings.csv": "\n".join(lines) + "\n"}))
    assert raw.ratings.height == 40
    [note] = [note for note in raw.notes if note.startswith("1 ") and "title" not in note]
    assert note.endswith(f"of ratings.csv left out: {BAD[row]}")


def test_text_of_several_lines_is_one_field(tmp_path: Path) -> None:
    text = (
        "user,item,rating,text\n" + 'u1,a,4,"one\n, two, ""quoted""\n\nthree"\nu2,b,5,plain\n' * 3
    )
    assert read(put(tmp_path, {"ratings.csv": text})).ratings.height == 6


WRONG = {
    "a web page": b"<!DOCTYPE html><html></html>",
    "a zip archive or an Excel file": b"PK\x03\x04....",
    "made of JSON objects": b'{"user": 1}\n',
    "no text": b"\0\1\2\3",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "cannot be read to its end": gzip.compress(b"user,item\n" * 9)[:-9],
    "cannot be read as Parquet": b"PAR1....",
    "is empty": b" \n",
    "has no line with names of columns": b"1,2,5,978300760\n",
    "which column is the item cannot be told": b"user,stuff\n1,2\n",
    "has several columns 'user'": b"user,user\n1,2\n",
}


@pytest.mark.parametrize("problem", WRONG)
def test_a_wrong_file_is_named_for_what_it_is(tmp_path: Path, problem: str) -> None:
    (tmp_path / "ratings.csv").write_bytes(WRONG[problem])
    with pytest.raises(
        R2RecError, match=rf"ratings\.csv:? .*{problem}|ratings\.csv:? {problem}"
    ) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_wrong_option_is_named_with_what_there_is(tmp_path: Path) -> None:
    put(tmp_path, {"ratings.csv": "user,item\nu,i\n"})
    with pytest.raises(
        R2RecError, match=r"no column sku: set .*columns\.item to one of user, item"
    ):
        read(tmp_path, columns={"item": "sku"})
    with pytest.raises(R2RecError, match=r"holds no goods\.csv, but ratings\.csv"):
        read(tmp_path, items="goods.csv")


@given(st.integers(200_000_000_000, 4_000_000_000_000))
def test_times_read_the_same_in_every_unit_and_as_dates(moment: int) -> None:
    moment -= moment % 1000
    text = str(pl.from_epoch(pl.Series([moment]), "ms")[0])
    for value in (moment // 1000, moment, moment * 1000, moment * 1_000_000):
        assert meant.times(pl.Series([value]))[0].to_list() == [moment]
        assert meant.times(pl.Series([str(value)]))[0].to_list() == [moment]
    for written in (
        text,
        text.replace(" ", "T") + "Z",
        text.replace("-", "/"),
        f"{text}.000+00:00",
    ):
        assert meant.times(pl.Series([written]))[0].to_list() == [moment]
    ahead = meant.times(pl.Series([f"{text}+05:30", f"{text}-0330"]))[0]
    assert ahead.to_list() == [moment - 19_800_000, moment + 12_600_000]
    german = pl.from_epoch(pl.Series([moment]), "ms").dt.strftime("%d.%m.%Y %H:%M:%S")
    assert meant.times(german, "%d.%m.%Y %H:%M:%S")[0].to_list() == [moment]


def test_atomic_files_of_recbole(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "shop.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            'u1\t"a\t4.0\t978300760.0\nu2\tb\t5\t9.78300761E8\n',
            "shop.item": "item_id:token\tmovie_title:token_seq\tclass:token_seq\n"
            '"a\tThe Lamp\tSci-Fi Drama\nb\tThe "Pot\t\n',
            "shop.user": "user_id:token\tage:token\tgender:token\nu1\t25\tM\n",
        },
    )
    raw = own.read_recbole(tmp_path, None)
    assert named.ratings(raw) == [
        ("u1", '"a', 4.0, 978_300_760_000),
        ("u2", "b", 5.0, 978_300_761_000),
    ]
    assert raw.items.rows() == [('"a', "The Lamp", ["Sci-Fi", "Drama"]), ("b", 'The "Pot', [])]
    assert raw.users.rows() == [("u1", "age 25, male"), ("u2", None)]
    put(tmp_path, {"shop.inter": "user_id\titem_id\nu\ti\n"})
    with pytest.raises(R2RecError, match=r"no atomic file: its header has no types"):
        own.read_recbole(tmp_path, None)


def test_any_data_set_may_have_its_folder_in_roots(tmp_path: Path) -> None:
    put(tmp_path, {"events.csv": ROWS.drop("stars").write_csv()})
    done = go(tmp_path / "store", "dataset=csv", f"roots.csv={tmp_path}", "until=prepare")
    assert done.table("prepare", "interactions")["rating"].to_list() == [5.0] * 3
    assert "  note: events.csv has no ratings: every row counts as a rating of 5" in done.lines
    assert len(done.stages["prepare"]["notes"]) == 3


def test_real_ratings_read_the_same_in_every_layout(shared_data: Path, tmp_path: Path) -> None:
    original = movielens.read_ml_100k(shared_data / "ml-100k")
    wanted = index(original).interactions
    rows = pl.DataFrame(named.ratings(original), ["user", "item", "rating", "ms"], orient="row")
    rows = rows.with_columns(pl.col("rating").round().cast(pl.Int8), pl.col("ms") // 1000)
    rows.columns = ["user_id", "item_id", "rating", "timestamp"]
    rows.write_csv(tmp_path / "ratings.csv")
    rows.columns = [f"{name}:token" for name in rows.columns]
    rows.write_csv(tmp_path / "x.inter", separator="\t", quote_style="never")
    assert index(read(tmp_path)).interactions.equals(wanted)
    assert index(own.read_recbole(tmp_path, None)).interactions.equals(wanted)
    rows.columns = ["userId", "movieId", "rating", "timestamp"]
    rows.write_csv(tmp_path / "ratings.csv")
    titles = original.items.select(movieId="raw_id", title="title", genres=pl.lit("Drama"))
    titles.write_csv(tmp_path / "movies.csv")
    assert index(movielens.read_movielens(tmp_path)).interactions.equals(wanted)
