"""A file server that misbehaves on purpose, and archives that do."""

import hashlib
import stat
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY = bytes(range(256)) * 400
SHA, MD5 = (f"{kind}:{hashlib.new(kind, BODY).hexdigest()}" for kind in ("sha256", "md5"))
ETAG = '"one"'


class Server(ThreadingHTTPServer):
    """Serves `body`; each request takes its fault from `faults`.

    A status is sent as it is; "cut" ends the body early, "drop" sends nothing, "whole" ignores the
    requested range, "shift" sends another.
    """

    body, etag = BODY, ETAG

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[int | str] = []
        self.seen: list[str | None] = []  # the Range of each request
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["Range"])
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, int):
            return self.send_error(fault)
        if fault != "drop":
            self.send(fault)
        self.close_connection = True
        return None

    def send(self, fault: str | None) -> None:
        body, start = self.server.body, int((self.headers["Range"] or "bytes=0-")[6:-1])
        if fault == "whole" or self.headers.get("If-Range", self.server.etag) != self.server.etag:
            start = 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            return self.end_headers()
        self.send_response(206 if start else 200)
        if start:
            sent_start = start + (fault == "shift")
            self.send_header("Content-Range", f"bytes {sent_start}-{len(body) - 1}/{len(body)}")
        if self.server.etag:
            self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + 30_000 if fault == "cut" else None])
        return None


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers until the block ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def zipped(folder: Path, *members: tuple[str, bytes], link: bool = False) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = ((stat.S_IFLNK if link else stat.S_IFREG) | 0o644) << 16
            archive.writestr(info, data)
    return folder / "a.zip"
