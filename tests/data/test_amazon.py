"""Amazon Reviews: messy fields do not matter, bad lines are counted, editions are told apart."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.data import amazon
from r2rec.data.interactions import index
from tests.data import named

RATING = {
    "user_id": "u1",
    "parent_asin": "B1",
    "asin": "A1",
    "rating": 4.0,
    "timestamp": 1_522_540_800_123,
}
ITEM = {
    "parent_asin": "B1",
    "title": "A pen",
    "main_category": "Office",
    "categories": ["Office", "Pens"],
    "store": "Bic",
}
Line = dict[str, Any] | bytes


def lines(rows: list[Line]) -> bytes:
    return b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )


def put(
    folder: Path, ratings: list[Line] | bytes, items: list[Line] | bytes, packed: bool = False
) -> Path:
    for name, rows in (("Toys.jsonl", ratings), ("meta_Toys.jsonl", items)):
        data = rows if isinstance(rows, bytes) else lines(rows)
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_read_amazon_returns_what_the_files_have(
    tmp_path: Path, packed: bool, mark: bytes, ending: bytes
) -> None:
    folder = tmp_path / "odd [name] *"
    folder.mkdir()
    ratings = mark + lines([RATING, RATING | {"parent_asin": None}]).replace(b"\n", ending)
    items = mark + lines([ITEM, ITEM | {"parent_asin": "A1", "title": "Ink\n\u0000 pot"}]).rstrip(
        b"\n"
    )
    raw = amazon.read_amazon(put(folder, ratings, items, packed), "Toys")
    assert named.ratings(raw) == [
        ("u1", "B1", 4.0, 1_522_540_800_123),
        ("u1", "A1", 4.0, 1_522_540_800_123),
    ]
    assert raw.users.rows() == [("u1", None)]
    assert raw.items.rows() == [
        ("B1", "A pen", ["Pens", "Bic"]),
        ("A1", "Ink pot", ["Pens", "Bic"]),
    ]
    assert raw.notes == []
    assert index(raw).interactions["timestamp"].to_list() == [1_522_540_800] * 2


@pytest.mark.parametrize(
    ("fields", "attributes"),
    [
        ({"categories": ["Office", "a", "b", "a", " ", None, "c"]}, ["a", "b", "c", "Bic"]),
        ({"categories": ["a", "b", "c", "d", "e"]}, ["a", "b", "c", "d"]),
        ({"categories": [], "store": None, "brand": "Pilot"}, ["Pilot"]),
        ({"categories": None, "store": "Office"}, []),
        ({"main_category": None, "categories": ["Office\n", "x"]}, ["Office", "x", "Bic"]),
        ({"store": "Pens"}, ["Pens"]),
    ],
)
def test_attributes(tmp_path: Path, fields: Line, attributes: list[str]) -> None:
    assert amazon.read_amazon(put(tmp_path, [RATING], [ITEM | fields]), "Toys").items[
        "attributes"
    ].to_list() == [attributes]


def test_read_amazon_counts_rows_left_out(tmp_path: Path) -> None:
    holes = [RATING | {name: None} for name in ("user_id", "rating", "timestamp")]
    holes += [RATING | {"user_id": ""}, RATING | {"parent_asin": "", "asin": None}, {}]
    strange = [RATING | {"parent_asin": name} for name in ("unknown", "untitled", "untitled")]
    items = [
        ITEM,
        ITEM | {"title": "again"},
        ITEM | {"parent_asin": "untitled", "title": " "},
        {"title": "no id"},
    ]
    raw = amazon.read_amazon(put(tmp_path, [RATING, *holes, *strange], items), "Toys")
    assert raw.ratings.height == raw.items.height == raw.users.height == 1
    assert raw.items["title"].item() == "A pen"
    assert raw.notes == [
        "3 rows of Toys.jsonl left out: no user",
        "1 row of Toys.jsonl left out: no item",
        "1 row of Toys.jsonl left out: the rating is not a number",
        "1 row of Toys.jsonl left out: the time is missing or cannot be read",
        "3 descriptions of items left out: without a title, or not the first",
        "3 ratings of items without a title in meta_Toys.jsonl left out",
    ]


def test_read_amazon_prefers_packed_file(tmp_path: Path) -> None:
    put(tmp_path, [RATING], [ITEM], packed=True)
    put(tmp_path, [], [])
    assert amazon.read_amazon(tmp_path, "Toys").ratings.height == 1


def containers(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from("abc")
    return st.lists(values, max_size=3) | st.dictionaries(keys, values, max_size=3)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
messy = st.recursive(scalars, containers, max_leaves=6)


@given(st.lists(messy, min_size=2, max_size=5))
def test_read_amazon_ignores_other_fields(values: list[Any]) -> None:
    rows = [RATING | {"text": value, "images": value} for value in values]
    items = [
        ITEM | {"parent_asin": f"B{n}", "price": value, "details": value}
        for n, value in enumerate(values)
    ]
    with tempfile.TemporaryDirectory() as folder:
        raw = amazon.read_amazon(put(Path(folder), rows, items), "Toys")
    assert (raw.ratings.height, raw.items.height) == (len(values), 1)


BAD_JSON = [
    b"{",
    b"hello",
    b"[1]",
    b"5",
    b"null",
    lines([RATING])[:30],
    lines([RATING])[:-1] * 2,
    b"\0",
    b'{"user_id": "\xff"}',
    b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


def with_value(name: str, value: bytes) -> bytes:
    """A review with these characters as the value of a field."""
    others = {key: content for key, content in RATING.items() if key != name}
    return lines([others])[:-2] + f', "{name}": '.encode() + value + b"}"


BAD_STARS = [b"1e400", b"NaN", b"[5]", b"0.5", b"5.5", b"-1", b"1e300"]
BAD_TIMES = [b"-1", b"1.5", b'"x"', b"99999999999999", b"99999999999999999999"]
BAD_REVIEWS = [
    *BAD_JSON,
    *(with_value("rating", stars) for stars in BAD_STARS),
    *(with_value("timestamp", time) for time in BAD_TIMES),
]


@pytest.mark.parametrize("packed", [False, True])
def test_bad_lines_are_left_out_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(amazon, "CHUNK_BYTES", 1_000)
    for line in BAD_REVIEWS:
        rows = [*[RATING] * 37, b"", line, *[RATING] * 20, line]
        raw = amazon.read_amazon(put(tmp_path, rows, [ITEM], packed), "Toys")
        assert raw.ratings.height == 57, line
        assert any(note.startswith("2 ") and "left out" in note for note in raw.notes), line
    every = [RATING, *BAD_REVIEWS, *[RATING] * 100]
    raw = amazon.read_amazon(put(tmp_path, every, [ITEM], packed), "Toys")
    assert raw.ratings.height == 101


def test_a_bad_item_costs_no_other(tmp_path: Path) -> None:
    strange = [ITEM | {"categories": kind, "parent_asin": "B2"} for kind in ("Pens", {"a": 1})]
    for line in (b"{", *strange):
        raw = amazon.read_amazon(put(tmp_path, [RATING], [line, ITEM]), "Toys")
        assert raw.items.rows() == [("B1", "A pen", ["Pens", "Bic"])]


def test_categories_within_categories_and_entities_are_told_as_text(tmp_path: Path) -> None:
    names = [["Office", 'Pens & "Ink", blue'], ["Caf&eacute;"], None, [["deep"]]]
    item = ITEM | {"categories": names, "title": "Caf&eacute; &ndash;&nbsp;set", "store": "A&amp;B"}
    raw = amazon.read_amazon(put(tmp_path, [RATING], [item]), "Toys")
    assert raw.items.rows() == [
        ("B1", "Café – set", ['Pens & "Ink", blue', "Café", "deep", "A&B"]),
    ]


def test_seconds_among_milliseconds_are_told_apart(tmp_path: Path) -> None:
    seconds = RATING | {"user_id": "u2", "timestamp": 1_522_540_801}
    raw = amazon.read_amazon(put(tmp_path, [RATING, RATING, seconds], [ITEM]), "Toys")
    assert raw.ratings["time_ms"].to_list() == [1_522_540_800_123] * 2 + [1_522_540_801_000]
    assert raw.notes == [
        "times of different units, each read by its own: 2 in milliseconds, 1 in seconds"
    ]


def test_other_editions_give_the_same_ratings(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("2023", "2018", "csv", "2014")]
    for folder in folders:
        folder.mkdir()
    put(folders[0], [RATING | {"timestamp": 1_522_540_800_000}], [ITEM])
    old = {"reviewerID": "u1", "asin": "B1", "overall": 4.0, "unixReviewTime": 1_522_540_800}
    (folders[1] / "Toys_5.json.gz").write_bytes(gzip.compress(lines([old])))
    meta = {"asin": "B1", "title": "A pen", "brand": "Bic", "category": ["Office", "Pens"]}
    script = {"asin": "B2", "title": "var t = new Date().getTime()"}
    (folders[1] / "meta_Toys.json.gz").write_bytes(gzip.compress(lines([meta, script])))
    table = "user_id,parent_asin,rating,timestamp\nu1,B1,4.0,1522540800000\n"
    (folders[2] / "Toys.csv.gz").write_bytes(gzip.compress(table.encode()))
    first, second, third = (amazon.read_amazon(folder, "Toys") for folder in folders[:3])
    assert named.ratings(first) == named.ratings(second) == named.ratings(third)
    assert second.items.rows() == [("B1", "A pen", ["Office", "Pens", "Bic"])]
    assert third.items.rows() == [("B1", "B1", [])]
    assert third.notes == ["1 item without a title, called by the id"]
    for name in ("Toys.json", "meta_Toys.json"):
        (folders[3] / name).write_text("{'asin': 'B1'}\n")
    with pytest.raises(R2RecError, match=r"Toys\.json is of the edition of 2014"):
        amazon.read_amazon(folders[3], "Toys")


@pytest.mark.parametrize("keep", [1, 2, 5, 200, -4])
def test_read_amazon_rejects_truncated_archive(tmp_path: Path, keep: int) -> None:
    put(tmp_path, [RATING | {"user_id": str(n)} for n in range(3_000)], [ITEM], packed=True)
    file = tmp_path / "Toys.jsonl.gz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(R2RecError, match=r"Toys\.jsonl\.gz"):
        amazon.read_amazon(tmp_path, "Toys")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("filler", [b"\0", b" ", b"[", b"x"])
def test_read_amazon_rejects_endless_line_before_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filler: bytes, packed: bool
) -> None:
    monkeypatch.setattr(amazon, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(amazon, "_parse", lambda *_: pytest.fail("was parsed"))
    put(tmp_path, [RATING, RATING, b'{"user_id": "' + filler * 3_000], [ITEM], packed)
    with pytest.raises(
        R2RecError, match=r"/Toys\.jsonl(\.gz)?:3: a line of .* download the file again"
    ):
        amazon.read_amazon(tmp_path, "Toys")


def test_read_amazon_rejects_altered_archive(tmp_path: Path) -> None:
    put(tmp_path, [RATING], [ITEM], packed=True)
    file = tmp_path / "meta_Toys.jsonl.gz"
    data = bytearray(file.read_bytes())
    data[-6] ^= 1
    file.write_bytes(data)
    with pytest.raises(
        R2RecError, match=r"meta_Toys\.jsonl\.gz cannot be read to its end .*: download it again"
    ):
        amazon.read_amazon(tmp_path, "Toys")


@pytest.mark.parametrize("packed", [False, True])
def test_read_amazon_names_missing_and_empty_files(tmp_path: Path, packed: bool) -> None:
    with pytest.raises(R2RecError, match="is not a folder"):
        amazon.read_amazon(tmp_path / "gone", "Toys")
    with pytest.raises(
        R2RecError, match=r"holds no Toys\.jsonl\.gz or Toys\.jsonl or .*: set dataset\.root"
    ):
        amazon.read_amazon(tmp_path, "Toys")
    for ratings, items, name in (([], [ITEM], "Toys"), ([RATING], [], "meta_Toys")):
        with pytest.raises(R2RecError, match=rf"/{name}\.jsonl(\.gz)? is empty"):
            amazon.read_amazon(put(tmp_path, ratings, items, packed), "Toys")
    with pytest.raises(R2RecError, match="no usable rating"):
        index(
            amazon.read_amazon(
                put(tmp_path, [RATING], [ITEM | {"parent_asin": "other"}], packed), "Toys"
            )
        )


@pytest.mark.parametrize("category", [None, "", "../Toys", "a/b", "*", "Toys\n"])
def test_read_amazon_needs_category(tmp_path: Path, category: str | None) -> None:
    with pytest.raises(R2RecError, match=r"dataset\.category="):
        amazon.read_amazon(tmp_path, category)


def test_read_amazon_on_real_data(shared_data: Path) -> None:
    folder = shared_data / "amazon-office"
    raw = amazon.read_amazon(folder, "Office_Products")
    tables = index(raw)
    assert (tables.users.height, tables.items.height, raw.ratings.height) == (3_231, 3_317, 21_290)
    assert tables.notes == ["102 further ratings of an already rated item left out"]
    with gzip.open(folder / "Office_Products.jsonl.gz") as file:
        rows = [json.loads(line) for line in file]
    assert raw.ratings["time_ms"].to_list() == [row["timestamp"] for row in rows]
    assert raw.users["raw_id"].gather(raw.ratings["user"]).to_list() == [
        row["user_id"] for row in rows
    ]
