"""Files packed by gzip, unpacked by ISA-L where `isal` is installed (extra `fast`), else by zlib.

ISA-L takes about a third of zlib's time. Unpacking a large file takes longer than parsing it, so
a thread unpacks the next block while the last one is parsed.
"""

import gzip
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

try:
    from isal import igzip, isal_zlib
except ImportError:
    igzip, isal_zlib = gzip, zlib

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
UNPACKING_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, isal_zlib.error)


class LongLineError(Exception):
    """A line is at least as long as a block; the argument is its number."""


def gunzipped(data: bytes) -> bytes:
    """What was packed by gzip.

    Raises:
        one of UNPACKING_ERRORS: It is damaged.
    """
    text: bytes = igzip.decompress(data)
    return text


@contextmanager
def unpacked_file(path: Path) -> Iterator[IO[bytes]]:
    """The file, unpacked, positioned after its byte-order mark if it has one."""
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        file.seek(0)
        text: IO[bytes] = file
        if is_packed:
            opened: Any = igzip.GzipFile if igzip is gzip else igzip.IGzipFile
            text = cast(IO[bytes], opened(fileobj=file))
        if text.read(len(BOM)) != BOM:
            text.seek(0)
        yield text


def line_blocks(path: Path, size: int) -> Iterator[bytes]:
    """The whole lines of a file, unpacked, in blocks of about `size` bytes.

    The block after the one that is given has been looked at already.

    Raises:
        LongLineError: `size` bytes have no end of a line in them. A few packed MB can unpack to one
            line that is larger than memory.
        one of UNPACKING_ERRORS: The file cannot be read to its end.
    """
    with unpacked_file(path) as text, ThreadPoolExecutor(1) as thread:
        coming = thread.submit(text.read, size)
        ready, rest = b"", b""
        n_ends = 0
        while block := coming.result():
            coming = thread.submit(text.read, size)
            end = block.rfind(b"\n") + 1
            if not end and len(block) == size:
                coming.cancel()
                raise LongLineError(n_ends + ready.count(b"\n") + 1)
            if ready:
                n_ends += ready.count(b"\n")
                yield ready
            ready, rest = (rest + block[:end], block[end:]) if end else (b"", rest + block)
        if ready:
            yield ready
        if rest:
            yield rest
