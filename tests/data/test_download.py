"""Downloads from a server that misbehaves on purpose, and archives that are hostile."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from r2rec.base.errors import R2RecError
from r2rec.data import download
from r2rec.data.download import fetch, unpack_archive
from tests.data.files import BODY, ETAG, MD5, SHA, Server, serving, zipped


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "FIRST_PAUSE_SECONDS", 0)
    monkeypatch.setattr(download, "BLOCK_BYTES", 4_096)
    monkeypatch.setenv("no_proxy", "*")
    with serving() as running:
        yield running


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


@pytest.mark.parametrize("checksum", [SHA, MD5, "sha256:" + SHA[7:].upper(), None])
def test_fetch_downloads_once(server: Server, tmp_path: Path, checksum: str | None) -> None:
    target = tmp_path / "new" / "file.bin"
    for _ in range(2):
        assert fetch(server.url, target, checksum) == target
    assert target.read_bytes() == BODY
    assert server.seen == [None]
    assert left(target.parent) == {"file.bin", *["file.bin.sha256"] * (checksum is None)}
    assert checksum or (tmp_path / "new/file.bin.sha256").read_text() == SHA + "\n"


@pytest.mark.parametrize("checksum", [SHA, None])
@pytest.mark.parametrize(
    ("faults", "ranges"),
    [
        (["cut", "cut"], [None, "bytes=30000-", "bytes=60000-"]),
        (["cut", "whole"], [None, "bytes=30000-"]),
        (["cut", "shift"], [None, "bytes=30000-", None]),
        (["cut", 416], [None, "bytes=30000-", None]),
        (["cut", 503, "drop"], [None, *["bytes=30000-"] * 3]),
        ([500, 429, "drop", 502], [None] * 5),
    ],
)
def test_fetch_continues_cut_transfer(
    server: Server,
    tmp_path: Path,
    checksum: str | None,
    faults: list[int | str],
    ranges: list[str | None],
) -> None:
    server.faults = [*faults]
    assert fetch(server.url, tmp_path / "file", checksum).read_bytes() == BODY
    assert server.seen == ranges


def test_fetch_continues_in_later_call(server: Server, tmp_path: Path) -> None:
    server.faults = ["cut", 500, "cut", "drop", 500]
    with pytest.raises(R2RecError, match=r"cannot be fetched \(HTTP 500"):
        fetch(server.url, tmp_path / "file", None, attempts=3)
    assert left(tmp_path) == {"file.part", "file.part.tag"}
    assert fetch(server.url, tmp_path / "file", None).read_bytes() == BODY
    assert server.seen[-2:] == ["bytes=60000-"] * 2


@pytest.mark.parametrize("checksum", [SHA, None])
def test_fetch_never_mixes_two_versions(
    server: Server, tmp_path: Path, checksum: str | None
) -> None:
    server.faults, server.body, server.etag = ["cut", 500], BODY[::-1], '"old"'
    with pytest.raises(R2RecError):
        fetch(server.url, tmp_path / "file", checksum, attempts=2)
    server.body, server.etag = BODY, ETAG
    assert fetch(server.url, tmp_path / "file", checksum).read_bytes() == BODY


def test_fetch_continues_only_with_version_or_checksum(server: Server, tmp_path: Path) -> None:
    server.etag = ""
    (tmp_path / "file.part").write_bytes(BODY[:50])
    fetch(server.url, tmp_path / "file", SHA)
    (tmp_path / "other.part").write_bytes(b"stale")
    assert fetch(server.url, tmp_path / "other", None).read_bytes() == BODY
    assert server.seen == ["bytes=50-", None]


def test_fetch_accepts_complete_part(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(BODY)
    assert fetch(server.url, tmp_path / "file", SHA).read_bytes() == BODY
    assert server.seen == [f"bytes={len(BODY)}-"]


@pytest.mark.parametrize("noted", [False, True])
def test_fetch_removes_file_with_wrong_checksum(
    server: Server, tmp_path: Path, noted: bool
) -> None:
    wrong = "sha256:" + "0" * 64
    if noted:
        (tmp_path / "file.sha256").write_text(wrong)
    with pytest.raises(R2RecError, match=r"has checksum sha256:.*, not sha256:000"):
        fetch(server.url, tmp_path / "file", None if noted else wrong)
    assert left(tmp_path) == ({"file.sha256"} if noted else set())


@pytest.mark.parametrize("checksum", [MD5, None])
def test_fetch_replaces_altered_file(server: Server, tmp_path: Path, checksum: str | None) -> None:
    target = fetch(server.url, tmp_path / "file", checksum)
    target.write_bytes(b"altered")
    assert fetch(server.url, target, checksum).read_bytes() == BODY


def test_fetch_keeps_file_put_there_by_hand(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    assert fetch(server.url, tmp_path / "file", None).read_bytes() == b"mine"
    assert server.seen == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_fetch_does_not_repeat_refused_request(server: Server, tmp_path: Path, status: int) -> None:
    server.faults = [status] * 5
    with pytest.raises(R2RecError, match=rf"answers {status} .*: correct the data set's url"):
        fetch(server.url, tmp_path / "file", SHA)
    assert len(server.seen) == 1
    assert left(tmp_path) == set()


def test_fetch_reports_unreachable_host(server: Server, tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match=r"cannot be fetched \(.*refused\): check network and url"):
        fetch("http://127.0.0.1:1/file", tmp_path / "file", None, attempts=2)


@pytest.mark.parametrize(
    ("url", "checksum"), [("file:///x", SHA), ("ftp://x/y", SHA), ("http://x/y", "crc:1")]
)
def test_fetch_checks_url_and_checksum_first(tmp_path: Path, url: str, checksum: str) -> None:
    with pytest.raises(R2RecError, match="correct"):
        fetch(url, tmp_path / "file", checksum)


def test_fetch_reports_unwritable_folder(server: Server, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(R2RecError, match="cannot be written"):
        fetch(server.url, tmp_path / "taken" / "file", SHA)


def test_fetch_serializes_callers(server: Server, tmp_path: Path) -> None:
    callers = [
        threading.Thread(target=fetch, args=(server.url, tmp_path / "file", SHA)) for _ in range(3)
    ]
    for step in (threading.Thread.start, threading.Thread.join):
        for caller in callers:
            step(caller)
    assert (tmp_path / "file").read_bytes() == BODY
    assert server.seen == [None]


def test_unpack_extracts_named_files_alone(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path, ("ml/a.dat", b"a"), ("../../b.dat", b"b"), ("/c.dat", b"c"), ("ml/a.dat/", b"")
    )
    (tmp_path / "elsewhere").write_bytes(b"kept")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.dat").symlink_to(tmp_path / "elsewhere")
    unpack_archive(archive, tmp_path / "out", ["a.dat", "b.dat"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "a.dat": b"a",
        "b.dat": b"b",
    }
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


@pytest.mark.parametrize(
    ("members", "link", "wanted", "message"),
    [
        ([("x/a", b"1")], False, ["a", "b"], "holds 0 files b"),
        ([("x/a", b"1"), ("y/a", b"2")], False, ["a"], "holds 2 files a"),
        ([("a", b"/etc/hostname")], True, ["a"], "a is a link or too large"),
        ([("a", b"0" * 20_000)], False, ["a"], "a is a link or too large"),
        ([("a", b"1")], False, ["../a"], "'../a' is a path"),
    ],
)
def test_unpack_rejects_hostile_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    members: list,
    link: bool,
    wanted: list[str],
    message: str,
) -> None:
    monkeypatch.setattr(download, "MAX_MEMBER_BYTES", 10_000)
    with pytest.raises(R2RecError, match=message):
        unpack_archive(zipped(tmp_path, *members, link=link), tmp_path / "out", wanted)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "gone"])
def test_unpack_rejects_damaged_archive(tmp_path: Path, damage: str) -> None:
    archive = zipped(tmp_path, ("a", BODY))
    data = bytearray(archive.read_bytes())
    data[100] ^= 0xFF
    archive.write_bytes(
        {"cut": bytes(data[:-10]), "flip": bytes(data), "text": b"<html>", "gone": b""}[damage]
    )
    if damage == "gone":
        archive.unlink()
    with pytest.raises(R2RecError, match=r"a\.zip (is damaged|cannot be unpacked)"):
        unpack_archive(archive, tmp_path / "out", ["a"])
    assert list((tmp_path / "out").iterdir()) == []
