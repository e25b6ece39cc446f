"""Download a published file once, complete and verified, and unpack named files from a zip."""

import fcntl
import hashlib
import shutil
import stat
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from r2rec.base.errors import R2RecError

BLOCK_BYTES = 1 << 20
MAX_MEMBER_BYTES = 1 << 33  # far above any rating file, far below what an archive can claim
FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30
RETRIED_STATUSES = {408, 425, 429}  # beside all from 500


class _TransferError(Exception):
    """The transfer stopped for a reason that may pass; the part file keeps what has arrived."""


@dataclass(frozen=True)
class _Transfer:
    """A download under way."""

    url: str
    part: Path  # what has arrived so far
    tag: Path  # names the version of the file on the server that `part` belongs to
    has_checksum: bool
    timeout_s: float


def fetch(
    url: str,
    target: Path,
    checksum: str | None,
    *,
    attempts: int = 5,
    timeout_s: float = 30,
) -> Path:
    """Download the file at `url` (http or https) to `target`, verify it and return `target`.

    The folder of `target` is created. A target that is already there and verifies is not
    downloaded again. What arrived before a transfer broke off stays in `<target>.part`; the next
    attempt or call continues from there if the server allows it.

    Args:
        checksum: "md5:<hex>" or "sha256:<hex>" of the whole file. None: the sha256 of the first
            download is written to `<target>.sha256` and verified from then on.
        attempts: Attempts in a row that may bring nothing, with growing pauses between them.
        timeout_s: Seconds without a byte after which an attempt counts as broken off.

    Raises:
        R2RecError: The file is not on the server, the server cannot be reached, the folder cannot
            be written, or the checksum differs (the file is then removed).
    """
    if checksum:
        _algorithm(checksum)
    if not url.startswith(("http://", "https://")):
        raise R2RecError(f"{url} is not an http or https address: correct the data set's url")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("a") as lock:
            # Two processes that write the same part file would mix their bytes.
            fcntl.flock(lock, fcntl.LOCK_EX)
            _fetch_locked(url, target, checksum, attempts, timeout_s)
    except OSError as error:
        raise R2RecError(
            f"{target} cannot be written ({error}): check its folder and space"
        ) from None
    return target


def _fetch_locked(
    url: str,
    target: Path,
    checksum: str | None,
    attempts: int,
    timeout_s: float,
) -> None:
    record = target.with_name(f"{target.name}.sha256")
    expected = checksum
    if not expected and record.is_file():
        expected = record.read_text("utf-8").strip()
    if _is_verified(target, expected):
        verified = target
    else:
        transfer = _Transfer(
            url=url,
            part=target.with_name(f"{target.name}.part"),
            tag=target.with_name(f"{target.name}.part.tag"),
            has_checksum=bool(expected),
            timeout_s=timeout_s,
        )
        _download(transfer, attempts)
        if expected:
            _verify(transfer, expected)
        verified = transfer.part
    if not expected:
        record.write_text(digest(verified, "sha256:") + "\n", "utf-8")
    verified.replace(target)


def _is_verified(target: Path, expected: str | None) -> bool:
    if not target.is_file():
        return False
    return not expected or digest(target, expected) == expected.lower()


def _verify(transfer: _Transfer, expected: str) -> None:
    actual = digest(transfer.part, expected)
    if actual != expected.lower():
        transfer.part.unlink()
        raise R2RecError(
            f"{transfer.url} has checksum {actual}, not {expected}: "
            "run again, or correct the checksum"
        )


def digest(path: Path, kind: str) -> str:
    """The file's checksum as "<algorithm>:<hex>".

    Args:
        kind: Names the algorithm up to its first colon: a checksum, or just "md5:" or "sha256:".
    """
    algorithm = _algorithm(kind)
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _algorithm(checksum: str) -> str:
    algorithm = checksum.partition(":")[0]
    if algorithm not in ("md5", "sha256"):
        raise R2RecError(f"checksum {checksum!r} is not md5:<hex> or sha256:<hex>: correct it")
    return algorithm


def unpack_archive(archive: Path, folder: Path, members: Sequence[str]) -> None:
    """Unpack the files named `members` from the zip `archive` into `folder`.

    They may be in any folder of the archive. All are unpacked and checked in a temporary folder
    before the first is moved into place.

    Raises:
        R2RecError: The archive is damaged, or a member is missing, there twice, a link, or larger
            than MAX_MEMBER_BYTES.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as source, tempfile.TemporaryDirectory(dir=folder) as aside:
            for name in members:
                _extract(source, archive, name, Path(aside, name))
            for name in members:
                Path(aside, name).replace(folder / name)
    except OSError as error:
        raise R2RecError(
            f"{archive} cannot be unpacked into {folder} ({error}): check both"
        ) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise R2RecError(
            f"{archive} is damaged ({error}): remove it to download it again"
        ) from None


def _extract(source: zipfile.ZipFile, archive: Path, name: str, target: Path) -> None:
    member = _member(source, archive, name)
    with source.open(member) as content, target.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK_BYTES)


def _member(source: zipfile.ZipFile, archive: Path, name: str) -> zipfile.ZipInfo:
    """The one file of the archive with this name."""
    if PurePosixPath(name).name != name or name in (".", ".."):
        raise R2RecError(f"{name!r} is a path: name the archive's members without folders")
    members = []
    for info in source.infolist():
        if not info.is_dir() and PurePosixPath(info.filename).name == name:
            members.append(info)
    if len(members) != 1:
        raise R2RecError(
            f"{archive} holds {len(members)} files {name}, not one: check the data set's url"
        )
    [member] = members
    is_link = stat.S_ISLNK(member.external_attr >> 16)  # the upper half is the Unix file mode
    if is_link or member.file_size > MAX_MEMBER_BYTES:
        raise R2RecError(f"{archive}: {name} is a link or too large: check the data set's url")
    return member


def _download(transfer: _Transfer, attempts: int) -> None:
    """Complete the part file; an attempt that brings something resets the count of failures."""
    failures = 0
    while True:
        size_before = _size(transfer.part)
        try:
            _attempt(transfer)
            break
        except _TransferError as error:
            if _size(transfer.part) > size_before:
                failures = 0
            failures += 1
            if failures >= attempts:
                raise R2RecError(
                    f"{transfer.url} cannot be fetched ({error}): check network and url"
                ) from None
        pause = FIRST_PAUSE_SECONDS * 2 ** (failures - 1)
        time.sleep(min(pause, MAX_PAUSE_SECONDS))
    transfer.tag.unlink(missing_ok=True)


def _size(path: Path) -> int:
    if not path.exists():
        return 0
    return path.stat().st_size


def _attempt(transfer: _Transfer) -> None:
    """One request: for the rest of the file if a part of it is there, otherwise for all of it."""
    version = ""
    if transfer.tag.is_file():
        version = transfer.tag.read_text("utf-8")
    # Without a version from the server, and without a checksum, a continued download might mix
    # the bytes of two versions.
    can_continue = bool(version) or transfer.has_checksum
    size = 0
    if can_continue:
        size = _size(transfer.part)
    headers = {"Accept-Encoding": "identity", "User-Agent": "r2rec"}
    if size:
        headers["Range"] = f"bytes={size}-"
        if version:
            headers["If-Range"] = version
    try:
        request = urllib.request.Request(transfer.url, headers=headers)
        response = urllib.request.urlopen(request, timeout=transfer.timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _handle_status(error, transfer, size)
            return
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _TransferError(str(reason)) from None
    with response:
        _copy(response, transfer, size)


def _handle_status(error: urllib.error.HTTPError, transfer: _Transfer, size: int) -> None:
    """Return if the part file is complete already.

    Raises:
        _TransferError: The request can be repeated.
        R2RecError: It cannot.
    """
    if error.code == 416:  # the range asked for starts behind the end of the file
        if error.headers.get("Content-Range") == f"bytes */{size}":
            return
        transfer.part.unlink(missing_ok=True)
    elif error.code < 500 and error.code not in RETRIED_STATUSES:
        raise R2RecError(
            f"{transfer.url} answers {error.code} {error.reason}: correct the data set's url"
        ) from None
    raise _TransferError(f"HTTP {error.code} {error.reason}")


def _copy(response: HTTPResponse, transfer: _Transfer, size: int) -> None:
    """Write the body to the part file: at its end if the server sends the rest, else anew."""
    is_rest = response.status == 206
    content_range = response.headers.get("Content-Range", "")
    if is_rest and not content_range.startswith(f"bytes {size}-"):
        transfer.part.unlink(missing_ok=True)
        raise _TransferError("the server sent another range than asked for")
    if is_rest:
        mode = "ab"
    else:
        mode = "wb"
    with transfer.part.open(mode) as file:
        if not is_rest:
            transfer.tag.write_text(_version(response), "utf-8")
        while block := _block(response):
            file.write(block)
    if response.length:
        raise _TransferError(f"{response.length:,} bytes short")


def _version(response: HTTPResponse) -> str:
    """What names this version of the file in If-Range; a weak entity tag (W/"...") may not."""
    entity_tag: str = response.headers.get("ETag", "")
    if entity_tag.startswith('"'):
        return entity_tag
    last_modified: str = response.headers.get("Last-Modified", "")
    return last_modified


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read(BLOCK_BYTES)
    except (OSError, HTTPException) as error:
        raise _TransferError(str(error) or type(error).__name__) from None
