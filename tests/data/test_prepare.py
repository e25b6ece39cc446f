"""Stage `prepare`: where raw files are found, and what is said of a reader's mistakes."""

from pathlib import Path

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.config import Dataset, Download
from r2rec.config.slices import PrepareSlice
from r2rec.data import contract, prepare
from r2rec.data.interactions import Raw, index
from r2rec.data.toy import read_toy
from tests.small import choices, workspace

HERE = "tests.data.test_prepare"


def read_absent(root: Path, category: str | None) -> Raw:
    return Raw(pl.DataFrame((root / "absent.csv").read_bytes()), *[pl.DataFrame()] * 2, [])


def read_absent_by_polars(root: Path, category: str | None) -> Raw:
    return Raw(pl.read_csv(root / "absent.csv"), *[pl.DataFrame()] * 2, [])


def read_folder(root: Path, category: str | None) -> Raw:
    return Raw(pl.DataFrame(root.read_bytes()), *[pl.DataFrame()] * 2, [])


def read_silently(root: Path, category: str | None) -> Raw:
    raise FileNotFoundError


def read_wrongly(root: Path, category: str | None) -> object:
    return {}["stars"]


def read_full_disk(root: Path, category: str | None) -> Raw:
    raise OSError(28, "No space left on device")


def sliced(reader: str) -> PrepareSlice:
    return PrepareSlice(name="mine", target=f"{HERE}.{reader}", category=None, params={})


def test_prepare_writes_tables_of_toy_world(tmp_path: Path) -> None:
    facts = prepare.prepare(choices(PrepareSlice), {}, workspace(tmp_path))
    tables = {file.stem: pl.read_parquet(file) for file in tmp_path.glob("*.parquet")}
    assert set(tables) == {"interactions", "users", "items"}
    assert facts == {
        "users": tables["users"].height,
        "items": tables["items"].height,
        "ratings": tables["interactions"].height,
        "notes": [],
    }


def test_prepare_gives_reader_the_folder_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = []

    def reader(root: Path, category: str | None, size: int) -> Raw:
        roots.append((root, category, size))
        return read_toy(root, category, seed=0, users=5, items=9, ratings_per_user=3)

    monkeypatch.setattr(prepare, "get_method", lambda target: reader)
    own = PrepareSlice(name="mine", target="mine", category="Toys", params={"size": 3})
    raw_folder = tmp_path / "raw"
    prepare.prepare(own, {"a|b": raw_folder / "b"}, workspace(tmp_path))
    assert roots == [(raw_folder, "Toys", 3)]


@pytest.mark.parametrize(
    ("reader", "file"),
    [
        ("read_absent", r"/absent\.csv cannot be read \(No such file or directory\)"),
        ("read_absent_by_polars", r"No such file or directory .*/absent\.csv"),
        ("read_folder", r"/raw cannot be read \(Is a directory\)"),
        ("read_silently", "a file cannot be read"),
    ],
)
def test_prepare_names_file_and_reader_that_cannot_open_it(
    tmp_path: Path, reader: str, file: str
) -> None:
    raw_folder = tmp_path / "raw"
    raw_folder.mkdir()
    expected = rf"{file}: the reader dataset\._target_={HERE}\.{reader} opens it; .*dataset\.root"
    with pytest.raises(R2RecError, match=expected) as caught:
        prepare.prepare(sliced(reader), {"a": raw_folder / "a"}, workspace(tmp_path))
    assert "\n" not in str(caught.value)


FRAME = pl.DataFrame({"user": [7, 7, 8], "item": ["a", "b", "a"], "timestamp": [3, 2, 1]})
ITEMS = pl.DataFrame({"item": ["b", "a"], "title": ["Bee", "Sea"]})
RATED = pl.DataFrame({"user": [0], "item": [0], "rating": [4], "time_ms": [0]})
PEOPLE = pl.DataFrame({"raw_id": ["u"], "profile": [None]})
THINGS = pl.DataFrame({"raw_id": ["i"], "title": ["T"], "attributes": [["x"]]})


@pytest.mark.parametrize(
    ("returned", "titles"),
    [
        (FRAME, ["a", "b"]),
        (FRAME.lazy(), ["a", "b"]),
        (FRAME.to_pandas(), ["a", "b"]),
        ((FRAME, ITEMS), ["Sea", "Bee"]),
        ((FRAME, ITEMS, FRAME.select("user", profile=pl.lit("kind"))), ["Sea", "Bee"]),
        (Raw(RATED, PEOPLE, THINGS, []), ["T"]),
    ],
)
def test_a_reader_may_return_plain_tables(returned: object, titles: list[str]) -> None:
    tables = index(contract.checked_tables(returned, "mine"))
    assert tables.items["title"].to_list() == titles
    assert tables.interactions.schema["rating"] == pl.Float32


BREACHES = [
    (None, "returned a NoneType: it must return a DataFrame"),
    ((FRAME, None), "returned a tuple: it must return"),
    ((), "returned a tuple: it must return"),
    (pl.DataFrame(), "returned a table of nothing, without user or item: it must"),
    ((FRAME, FRAME), "returned a table of user, item, timestamp, without item or title"),
    (Raw(FRAME, PEOPLE, THINGS, []), "Raw with ratings that is no table of user, item, rating"),
    (Raw(RATED, PEOPLE, THINGS.with_columns(title=None), []), r"items\.title with 1 nulls"),
    (Raw(RATED.with_columns(rating=pl.lit("x")), PEOPLE, THINGS, []), r"rating as String: it must"),
    (Raw(RATED.with_columns(item=5), PEOPLE, THINGS, []), "ratings of item 5, but only 1 rows"),
]


@pytest.mark.parametrize(("returned", "message"), BREACHES)
def test_a_breach_of_the_contract_is_told_in_one_line(returned: object, message: str) -> None:
    with pytest.raises(R2RecError, match=f"mine returned .*{message}|mine {message}") as caught:
        contract.checked_tables(returned, "mine")
    assert "\n" not in str(caught.value)


def test_a_reader_that_fails_is_told_by_name_and_line(tmp_path: Path) -> None:
    expected = rf"_target_={HERE}\.read_wrongly fails at {__file__}:\d+: KeyError: 'stars': correct"
    with pytest.raises(R2RecError, match=expected):
        prepare.prepare(sliced("read_wrongly"), {}, workspace(tmp_path))


def test_prepare_leaves_errors_of_the_disk_to_the_store(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        prepare.prepare(sliced("read_full_disk"), {}, workspace(tmp_path))


def data_set(**fields: object) -> Dataset:
    return Dataset(**{"name": "mine", "_target_": "x", **fields})  # type: ignore[arg-type]


def test_locate_takes_the_first_file_there_is(tmp_path: Path) -> None:
    for name in ("b", "c"):
        (tmp_path / name).touch()
    found = prepare.locate(data_set(root=str(tmp_path), files=["a|b", "c|b"]), tmp_path)
    assert found == {"a|b": tmp_path / "b", "c|b": tmp_path / "c"}
    assert prepare.locate(data_set(), tmp_path) == {}


def test_locate_leaves_out_what_may_be_missing_and_tells_what_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "shop.inter").touch()
    entries = ["*.inter", "*.item|"]
    found = prepare.locate(data_set(root=str(tmp_path), files=entries), tmp_path)
    assert found == {"*.inter": tmp_path / "shop.inter"}
    with pytest.raises(R2RecError, match=r"but shop\.inter: .*; dataset=recbole may read it"):
        prepare.locate(data_set(root=str(tmp_path), files=["ratings.dat"]), tmp_path)


def test_locate_names_what_is_missing(tmp_path: Path) -> None:
    files = ["a|b"]
    with pytest.raises(R2RecError, match=r"holds no a or b, but no file"):
        prepare.locate(data_set(root=str(tmp_path), files=files), tmp_path)
    with pytest.raises(R2RecError, match=r"gone is not a folder; it should hold a\|b"):
        prepare.locate(data_set(root=str(tmp_path / "gone"), files=files), tmp_path)
    with pytest.raises(R2RecError, match="dataset=mine has no download"):
        prepare.locate(data_set(files=files), tmp_path)


def test_locate_downloads_and_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def unpack(archive: Path, folder: Path, members: list[str]) -> None:
        calls.append((archive.name, members))
        (folder / "a").touch()

    def fetch(url: str, target: Path, checksum: str | None) -> Path:
        calls.append((url, target.name, checksum))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        return target

    monkeypatch.setattr("r2rec.data.download.fetch", fetch)
    monkeypatch.setattr("r2rec.data.download.unpack_archive", unpack)
    spec = data_set(files=["a"], downloads=[Download("http://x/y/ml.zip", "md5:0")])
    lines: list[str] = []
    folder = tmp_path / "downloads" / "mine"
    for _ in range(2):
        assert prepare.locate(spec, tmp_path, lines.append) == {"a": folder / "a"}
    once = [("http://x/y/ml.zip", "ml.zip", "md5:0"), ("ml.zip", ["a"])]
    assert calls == 2 * once
    assert lines == [f"downloading http://x/y/ml.zip to {folder}"]
