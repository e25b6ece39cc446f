"""Dense ids, order and duplicates of the tables that every later stage reads."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import (
    Raw,
    Tables,
    _by_user_and_time,
    find_file,
    index,
    raw_file,
)

RATINGS = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "time_ms": pl.Int64}
Row = tuple[str, str, float, int]


def raw(rows: list[Row], extra: tuple[str, ...] = ()) -> Raw:
    """A source that describes what `rows` rate, and `extra` ids that nobody rated."""
    users, items = ([*dict.fromkeys(row[side] for row in rows), *extra] for side in (0, 1))
    people = pl.DataFrame(
        {"raw_id": users, "profile": [None] * len(users)},
        {"raw_id": pl.String, "profile": pl.String},
    )
    things = pl.DataFrame(
        {
            "raw_id": items,
            "title": [f"T{name}" for name in items],
            "attributes": [[name] for name in items],
        },
        {"raw_id": pl.String, "title": pl.String, "attributes": pl.List(pl.String)},
    )
    by_row = [(users.index(user), items.index(item), *rest) for user, item, *rest in rows]
    return Raw(pl.DataFrame(by_row, RATINGS, orient="row"), people, things, ["2 lines skipped"])


def named(tables: Tables) -> list[tuple[str, str, float, int]]:
    """The interactions with their raw ids back in place."""
    users, items = (dict(enumerate(table["raw_id"])) for table in (tables.users, tables.items))
    return [
        (users[user], items[item], rating, time)
        for user, item, rating, time in tables.interactions.rows()
    ]


ids = st.one_of(st.integers(0, 30).map(str), st.text("ab1", min_size=1, max_size=2))
times = st.integers(0, 10**13)
rows_of_any_time = st.lists(
    st.tuples(ids, ids, st.integers(1, 5).map(float), times), min_size=1, max_size=30
)
rows_of_own_times = st.lists(
    st.tuples(ids, ids, st.integers(1, 5).map(float), times),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[3],
)


@given(rows_of_any_time)
def test_index_gives_dense_sorted_complete_tables(rows: list[Row]) -> None:
    tables = index(raw(rows, extra=("never rated",)))
    for name, table, side in (("user", tables.users, 0), ("item", tables.items, 1)):
        assert table[name].to_list() == list(range(table.height))
        assert set(table["raw_id"]) == {row[side] for row in rows}
    pairs = tables.interactions.select("user", "item").rows()
    assert len(set(pairs)) == len(pairs) == len({row[:2] for row in rows})
    keys = tables.interactions.select("user", "timestamp").rows()
    assert keys == sorted(keys)


@given(rows_of_any_time, st.randoms(use_true_random=False))
def test_index_keeps_earliest_and_then_lowest_rating_of_pair(rows: list[Row], random) -> None:
    earliest: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row[3], row[2])):
        earliest.setdefault(row[:2], row)
    for shuffled in (rows, random.sample(rows, len(rows))):
        tables = index(raw(shuffled))
        kept = sorted((*row[:3], row[3] // 1000) for row in earliest.values())
        assert sorted(named(tables)) == kept
        further = len(rows) - len(earliest)
        assert any(note.startswith(f"{further} further rating") for note in tables.notes) == (
            further > 0
        )


def test_index_tells_of_ratings_that_differ_at_one_time() -> None:
    rows = [("u", "i", 4.0, 5_000), ("u", "i", 2.0, 5_000), ("u", "i", 1.0, 6_000)]
    tables = index(raw(rows))
    assert named(tables) == [("u", "i", 2.0, 5)]
    assert tables.notes[1:] == [
        "2 further ratings of an already rated item left out",
        "1 pair of user and item rated differently at one time: the lowest kept",
    ]


@given(rows_of_own_times, st.randoms(use_true_random=False))
def test_index_ignores_order_of_file(rows: list[Row], random) -> None:
    shuffled = random.sample(rows, len(rows))
    for one, other in zip(index(raw(rows))[:3], index(raw(shuffled))[:3], strict=True):
        assert one.equals(other)


def test_index_gives_documented_types() -> None:
    tables = index(raw([("u", "i", 4.0, 1_999)]))
    assert tables.interactions.schema == {
        "user": pl.UInt32,
        "item": pl.UInt32,
        "rating": pl.Float32,
        "timestamp": pl.Int64,
    }
    assert tables.users.schema == {"user": pl.UInt32, "raw_id": pl.String, "profile": pl.String}
    assert tables.items.schema == {
        "item": pl.UInt32,
        "raw_id": pl.String,
        "title": pl.String,
        "attributes": pl.List(pl.String),
    }
    assert tables.interactions.rows() == [(0, 0, 4.0, 1)]
    assert tables.items.rows() == [(0, "i", "Ti", ["i"])]
    assert tables.notes == ["2 lines skipped"]


def test_index_orders_by_milliseconds_then_file() -> None:
    rows = [
        ("u", "c", 1.0, 1_700),
        ("u", "a", 2.0, 1_900),
        ("u", "b", 3.0, 1_100),
        ("u", "d", 4.0, 1_700),
    ]
    assert [item for _, item, _, _ in named(index(raw(rows)))] == ["b", "c", "d", "a"]


@pytest.mark.parametrize(
    ("given_ids", "expected"),
    [
        (["10", "9", "2"], ["2", "9", "10"]),
        (["10", "9", "a"], ["10", "9", "a"]),
        (["7", "007", "08"], ["007", "7", "08"]),
        ([str(10**40), "5"], ["5", str(10**40)]),
        (["é", "z", "Z"], ["Z", "z", "é"]),
    ],
)
def test_index_orders_ids_by_number_if_all_are(given_ids: list[str], expected: list[str]) -> None:
    rows = [(name, "i", 3.0, 0) for name in given_ids]
    assert index(raw(rows)).users["raw_id"].to_list() == expected
    # Users without ratings do not count.
    assert index(raw(rows, extra=("nobody",))).users["raw_id"].to_list() == expected


@given(st.sets(st.text("aAé€\0😀", max_size=10), min_size=1, max_size=12))
def test_index_orders_text_ids_by_alphabet(given_ids: set[str]) -> None:
    rows = [(name, "i", 3.0, 0) for name in given_ids]
    assert index(raw(rows)).users["raw_id"].to_list() == sorted(given_ids)


def test_index_rejects_empty_data() -> None:
    with pytest.raises(R2RecError, match="no usable rating"):
        index(raw([]))


def test_index_rejects_tables_that_disagree() -> None:
    source = raw([("u", "i", 3.0, 0), ("v", "j", 3.0, 0)])
    with pytest.raises(R2RecError, match="item of row 1 is rated, but only 1 are described"):
        index(source._replace(items=source.items.filter(pl.col("raw_id") == "i")))
    with pytest.raises(R2RecError, match=r"user '[uv]' is described twice"):
        index(source._replace(users=pl.concat([source.users.head(1), source.users.head(1)])))


def test_raw_file_takes_first_existing(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    assert raw_file(tmp_path, "a", "b") == tmp_path / "b"
    with pytest.raises(R2RecError, match="holds no a or c, but b: set"):
        raw_file(tmp_path, "a", "c")
    (tmp_path / "c.csv").touch()
    assert find_file(tmp_path, "a", "c.*") == tmp_path / "c.csv"
    assert find_file(tmp_path, "a", "") is None
    (tmp_path / "c.tsv").touch()
    with pytest.raises(
        R2RecError, match=r"holds c\.csv, c\.tsv, and all are called c\.\*: name one"
    ):
        find_file(tmp_path, "c.*")
    with pytest.raises(R2RecError, match="is not a folder"):
        raw_file(tmp_path / "gone", "a")


users_anywhere = st.one_of(st.integers(0, 3), st.integers(2**32 - 3, 2**32 - 1))
times_anywhere = st.one_of(
    st.integers(0, 3), st.integers(2**41, 2**41 + 3), st.integers(2**60, 2**60 + 3)
)


@given(st.lists(st.tuples(users_anywhere, times_anywhere), min_size=1, max_size=20))
def test_by_user_and_time_at_any_size(
    rows: list[tuple[int, int]],
) -> None:
    user, time = (np.array(side) for side in zip(*rows, strict=True))
    order = _by_user_and_time(user.astype(np.uint32), time)
    stable = sorted(range(len(rows)), key=lambda n: rows[n])
    assert order.tolist() == stable
