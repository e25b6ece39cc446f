"""Plain tables are read as numbers where that changes nothing, others by the tolerant reader."""

import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.data import interactions, tables
from r2rec.data.interactions import Tables, index
from r2rec.data.meant import raw_of
from r2rec.data.plain_tables import plain_table
from r2rec.data.tables import Table, read_table

COLUMNS = ("user", "item", "rating", "timestamp")
PLAIN = [str(n) for n in (0, 1, 7, 9, 10, 99, 100, 123_456, 2**40, 2**63 - 1)]
ODD = [
    "",
    " ",
    "07",
    "+7",
    "-7",
    " 7",
    "7 ",
    "7.0",
    "1e3",
    "7_0",
    "a",
    "x:y",
    '"7"',
    '"',
    "é",
    "\t",
]
ODD += ["00", "-0", "99999999999999999999", "7\r", "1::2", "1,2", "nan", "\x1f", "\0", "٣"]
fields = st.sampled_from(PLAIN) | st.sampled_from(PLAIN) | st.sampled_from(ODD)
lines = st.lists(fields, min_size=4, max_size=4) | st.lists(fields, max_size=6)
plain_lines = st.lists(st.sampled_from(PLAIN), min_size=4, max_size=4)


def both(path: Path, **options: object) -> tuple[Table, Table]:
    """The table in a file, read as plain if it is, and read tolerantly."""
    return read_table(path, numbers=True, **options), read_table(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("separator", ["::", ",", "\t"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(plain_lines | lines, min_size=1, max_size=6),
    end=st.sampled_from(["", "\n", "\n\n", "\r\n"]),
    between=st.sampled_from(["\n", "\n", "\r\n", "\n\n"]),
)
@example(rows=[["1", "2", "3", "4"], ["1", "02", "3", "4"]], end="\n", between="\n")
@example(rows=[["1", "2", "4.0", "4"], ["01", "02", "4", "4"]], end="\n", between="\n")
@example(rows=[["1", "2", "3", "4"], ["1", "2", "3"], ["5"] * 5], end="", between="\n")
def test_a_file_read_as_plain_has_the_rows_of_the_tolerant_reader(
    tmp_path: Path, rows: list[list[str]], end: str, between: str, separator: str, quoted: bool
) -> None:
    path = tmp_path / "ratings.dat"
    text = between.join(separator.join(row) for row in rows) + end
    path.write_text(text, encoding="utf-8", newline="")
    try:
        read_table(path, separator=separator, header=COLUMNS, quoted=quoted)
    except R2RecError as error:
        with pytest.raises(R2RecError, match=re.escape(str(error))):
            read_table(path, separator=separator, header=COLUMNS, quoted=quoted, numbers=True)
        return
    plain, tolerant = both(path, separator=separator, header=COLUMNS, quoted=quoted)
    assert plain.notes == tolerant.notes
    assert plain.rows.cast(pl.String).equals(tolerant.rows)


@pytest.mark.parametrize("separator", ["::", ",", "\t"])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_plain_numbers_are_read_as_numbers_and_other_text_beside_them(
    separator: str, end: bytes
) -> None:
    lines = ["1|20|3.5|978300760", "12|3|4|978300761", "999|0|5|0"]
    data = "\n".join(lines).replace("|", separator).encode() + end
    rows = plain_table(data, separator, COLUMNS, False)
    assert rows is not None
    assert rows.dtypes == [pl.Int64, pl.Int64, pl.String, pl.Int64]
    assert rows.rows()[0] == (1, 20, "3.5", 978_300_760)
    assert rows["item"].to_list() == [20, 3, 0]


@pytest.mark.parametrize("change", ["07", "+7", " 7", "7 ", "-7", "7.0", "", "a", "7::7", "7\r"])
def test_one_odd_number_anywhere_leaves_the_file_to_the_tolerant_reader(change: str) -> None:
    lines = ["7::7::7::7"] * 5000  # the odd one comes after the sample
    assert plain_table("\n".join(lines).encode(), "::", COLUMNS, False) is not None
    for place in range(4):
        values = ["7"] * 4
        values[place] = change
        lines[4000] = "::".join(values)
        assert plain_table("\n".join(lines).encode(), "::", COLUMNS, False) is None


def made(ratings: pl.DataFrame, **options: object) -> Tables:
    items = pl.DataFrame({"item": ["3", "07", "20"], "title": ["Three", "Seven", "Twenty"]})
    users = pl.DataFrame({"user": ["2", "10"], "profile": ["female", "male"]})
    return index(raw_of(ratings, items, users, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("described", ["", "movies.dat"])
@pytest.mark.parametrize("span", [0, 1 << 24])
def test_ids_that_are_numbers_mean_what_they_mean_as_text(
    described: str, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 is the item "20", and 7 isn't "07"."""
    monkeypatch.setattr(interactions, "MOST_SPAN", span)  # looked up in an array, or joined
    numbers = pl.DataFrame(
        {
            "user": [10, 2, 2, 10, -1, 3],
            "item": [20, 3, 7, 3, 20, 20],
            "rating": [5, 4, 3, 9, 1, 2],
            "timestamp": [50, 40, 30, 20, 10, 5_000_000_000_000],
        }
    )
    now, before = (made(rows, described=described) for rows in (numbers, numbers.cast(pl.String)))
    assert now.notes == before.notes
    assert now.interactions.equals(before.interactions)
    assert now.users.equals(before.users)
    assert now.items.equals(before.items)


def test_real_ratings_are_plain(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "ml-1m-part" / "ratings.dat"
    plain, tolerant = both(file, separator="::", header=COLUMNS, quoted=False)
    assert plain.rows.dtypes == [pl.Int64] * 4
    assert plain.rows.cast(pl.String).equals(tolerant.rows)


def test_text_that_cannot_be_decoded_is_not_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ratings.csv"
    path.write_bytes(b"user,item\n1,2\n3,\xc3\xa9\xff\n")
    monkeypatch.setattr(tables, "plain_table", lambda *_: 1 / 0)
    assert read_table(path, numbers=True).rows.height == 1
