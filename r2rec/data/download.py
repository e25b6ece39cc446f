"""Fetching a published file once, whole and verified, and taking named files out of a zip."""

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
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from r2rec.base.errors import R2RecError

BLOCK_BYTES = 1 << 20
# Far above any rating file there is, far below what an archive can be made to claim.
MEMBER_BYTES = 1 << 33
FIRST_PAUSE_S = 0.5
PASSING = {408, 425, 429}


class _CutError(Exception):
    """The transfer stopped for a reason that may pass; `.part` keeps what came."""


def fetch(
    url: str, target: Path, checksum: str | None, *, attempts: int = 5, timeout_s: float = 30
) -> Path:
    """The file at `url` (http or https), verified, as `target`; its folder is made.

    checksum:  "md5:<hex>" or "sha256:<hex>" of the whole file. None: its sha256 is written to
               `<target>.sha256` and holds from then on.
    attempts:  tries in a row that may bring nothing, with growing pauses between them.
    timeout_s: seconds without a byte until a try counts as cut.

    A target that is already there and verifies is not fetched again. What came of a cut transfer stays in
    `<target>.part`, and the next try or call goes on from there where the server allows it.

    Raises R2RecError when the file is not there, the server cannot be reached, or the checksum differs
    (then the file is removed).
    """
    if checksum:
        _algorithm(checksum)
    if not url.startswith(("http://", "https://")):
        raise R2RecError(f"{url} is not an http or https address: correct the data set's url")
    record = target.with_name(target.name + ".sha256")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.with_name(f".{target.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two writers would mix their parts
            expected = checksum or (record.read_text("utf-8").strip() if record.is_file() else None)
            if target.is_file() and (not expected or digest(target, expected) == expected.lower()):
                found = target
            else:
                found = _download(url, target, expected, attempts, timeout_s)
            if not expected:
                record.write_text(digest(found, "sha256:") + "\n", "utf-8")
            found.replace(target)
    except OSError as error:
        raise R2RecError(
            f"{target} cannot be written ({error}): check its folder and space"
        ) from None
    return target


def digest(path: Path, kind: str) -> str:
    """The file's checksum as "<algorithm>:<hex>"; `kind` names the algorithm up to its colon."""
    algorithm = _algorithm(kind)
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _algorithm(checksum: str) -> str:
    algorithm = checksum.partition(":")[0]
    if algorithm not in ("md5", "sha256"):
        raise R2RecError(f"checksum {checksum!r} is not md5:<hex> or sha256:<hex>: correct it")
    return algorithm


def unpack(archive: Path, folder: Path, members: list[str]) -> None:
    """Take the files named `members` out of the zip `archive`, wherever in it they lie, into `folder`.

    All are unpacked and checked aside before the first is moved into place. Raises R2RecError when the
    archive is damaged, or a member is missing, there twice, a link, or larger than MEMBER_BYTES.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as zipped, tempfile.TemporaryDirectory(dir=folder) as aside:
            for name in members:
                member = _member(zipped, archive, name)
                with zipped.open(member) as source, Path(aside, name).open("wb") as out:
                    shutil.copyfileobj(source, out, BLOCK_BYTES)
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


def _member(zipped: zipfile.ZipFile, archive: Path, name: str) -> zipfile.ZipInfo:
    if PurePosixPath(name).name != name or name in (".", ".."):
        raise R2RecError(f"{name!r} is a path: name the archive's members without folders")
    files = [info for info in zipped.infolist() if not info.is_dir()]
    found = [info for info in files if PurePosixPath(info.filename).name == name]
    if len(found) != 1:
        raise R2RecError(
            f"{archive} holds {len(found)} files {name}, not one: check the data set's url"
        )
    if stat.S_ISLNK(found[0].external_attr >> 16) or found[0].file_size > MEMBER_BYTES:
        raise R2RecError(f"{archive}: {name} is a link or too large: check the data set's url")
    return found[0]


def _download(
    url: str, target: Path, expected: str | None, attempts: int, timeout_s: float
) -> Path:
    """The verified file, still under its `.part` name."""
    part, tag = (target.with_name(target.name + end) for end in (".part", ".part.tag"))
    _transfer(url, part, tag, bool(expected), attempts, timeout_s)
    tag.unlink(missing_ok=True)
    found = digest(part, expected) if expected else None
    if expected and found != expected.lower():
        part.unlink()
        raise R2RecError(
            f"{url} has checksum {found}, not {expected}: run again, or correct the checksum"
        )
    return part


def _transfer(
    url: str, part: Path, tag: Path, verified: bool, attempts: int, timeout_s: float
) -> None:
    """Attempts until the file is whole; a try that brought something starts the count anew."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _attempt(url, part, tag, verified, timeout_s)
        except _CutError as cut:
            failures = 1 if _size(part) > before else failures + 1
            if failures >= attempts:
                raise R2RecError(
                    f"{url} cannot be fetched ({cut}): check network and url"
                ) from None
        time.sleep(min(FIRST_PAUSE_S * 2 ** (failures - 1), 30))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, part: Path, tag: Path, verified: bool, timeout_s: float) -> None:
    """One request: the rest of the file if some is there, else all of it."""
    version = tag.read_text("utf-8") if tag.is_file() else ""
    # Without the server's name of the version, or a checksum, bytes of two versions could get mixed.
    size = _size(part) if version or verified else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "r2rec"}
    if size:
        headers |= {"Range": f"bytes={size}-"} | ({"If-Range": version} if version else {})
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout_s
        )
    except urllib.error.HTTPError as error:
        with error:
            return _refused(url, error, part, size)
    except (OSError, HTTPException, ValueError) as error:
        raise _CutError(str(getattr(error, "reason", error))) from None
    with response:
        _copy(response, part, tag, size)


def _refused(url: str, error: urllib.error.HTTPError, part: Path, size: int) -> None:
    if error.code == 416:
        if error.headers.get("Content-Range") == f"bytes */{size}":
            return  # the part was whole already
        part.unlink(missing_ok=True)
    elif error.code < 500 and error.code not in PASSING:
        raise R2RecError(
            f"{url} answers {error.code} {error.reason}: correct the data set's url"
        ) from None
    raise _CutError(f"HTTP {error.code} {error.reason}")


def _copy(response: HTTPResponse, part: Path, tag: Path, size: int) -> None:
    """The body into `part`: after what is there when the server sends the rest, else from the start."""
    resumed = response.status == 206
    if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {size}-"):
        part.unlink(missing_ok=True)
        raise _CutError("the server sent another range than asked for")
    with part.open("ab" if resumed else "wb") as out:
        if not resumed:
            tag.write_text(_version(response), "utf-8")
        while block := _block(response):
            out.write(block)
    if response.length:
        raise _CutError(f"{response.length:,} bytes short")


def _version(response: HTTPResponse) -> str:
    """What names this version of the file in If-Range; weak entity tags may not."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _block(response: HTTPResponse) -> bytes:
    try:
        return response.read(BLOCK_BYTES)
    except (OSError, HTTPException) as error:
        raise _CutError(str(error) or type(error).__name__) from None
