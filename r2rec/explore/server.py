"""The local server of `r2rec explore`: one page, its script and style, and replies as JSON.

It listens on the loopback interface alone, and asks no other machine for anything.
"""

import json
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any

from r2rec.base.errors import R2RecError, one_line
from r2rec.base.signals import Interrupted
from r2rec.explore.desk import BusyError, Desk
from r2rec.explore.guard import HEADERS, RefusedError, check_request, json_object
from r2rec.explore.opened import UnknownError
from r2rec.results.load import Run

HOST = "127.0.0.1"
API = "/api/"
PATIENCE = 30  # seconds for a request to arrive, and for an answer that is written at the end

STATIC = Path(__file__).parent / "static"
FILES = {  # path -> (file, type); `{{token}}` in a file becomes the token
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/shown.js": ("shown.js", "text/javascript"),
}


class Server(ThreadingHTTPServer):
    """A server with its own token, one for each time it is started."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int = 0) -> None:
        super().__init__((HOST, port), Handler)
        self.desk = desk
        self.token = secrets.token_urlsafe(32)

    def server_bind(self) -> None:
        """Bind without the name server, which `HTTPServer` asks what 127.0.0.1 is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    @property
    def address(self) -> str:
        """Where a browser finds the page. Whoever has it may ask."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of an error in r2rec, and not of a browser that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    server_version = "r2rec"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Send the page, its script or its style."""
        self._answer(self._file)

    def do_POST(self) -> None:
        """Reply to a request of the page."""
        self._answer(self._reply)

    def _answer(self, made: Callable[[str], tuple[str, bytes]]) -> None:
        """Send the (type, body) that `made` makes of a path, if the request may be answered."""
        path, _, query = self.path.partition("?")
        try:
            check_request(self.headers, query, self.server.server_port, self.server.token)
            kind, body = made(path)
        except RefusedError as error:
            self._send_error(error.status, str(error))
        except BusyError as error:
            self._send_error(409, str(error))
        except UnknownError as error:
            self._send_error(404, str(error))
        except R2RecError as error:
            self._send_error(400, one_line(error))
        except (ConnectionError, TimeoutError):  # whoever asked has gone, or sends nothing more
            raise
        except Exception as error:
            self._send_error(500, f"an error in r2rec: {type(error).__name__}: {one_line(error)}")
            raise
        else:
            self._send(200, kind, body)

    def _file(self, path: str) -> tuple[str, bytes]:
        if path not in FILES:
            raise UnknownError("there is no such page")
        name, kind = FILES[path]
        text = (STATIC / name).read_text(encoding="utf-8")
        return kind, text.replace("{{token}}", self.server.token).encode()

    def _reply(self, path: str) -> tuple[str, bytes]:
        if not path.startswith(API):
            raise UnknownError("there is no such page")
        request = json_object(self.headers, self.rfile.read)
        reply = self.server.desk.reply(path.removeprefix(API), request)
        return "application/json", json.dumps(reply).encode()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_error(self, status: int, reason: str) -> None:
        self._send(status, "application/json", json.dumps({"error": reason}).encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no GET and no POST, or no HTTP."""
        self.close_connection = True
        self._send_error(code, message or HTTPStatus(code).phrase)

    def end_headers(self) -> None:
        """End the headers, with those that every response has."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the console is for the address, and addresses hold the token."""


def serve(runs: Sequence[Run], port: int = 0) -> None:
    """Serve a page over runs until Ctrl-C; its address is printed.

    Args:
        port: 0: a free one.

    Raises:
        R2RecError: A run has no results, or the port is taken.
    """
    desk = Desk(runs)
    first = next(iter(desk.runs))
    print(f"explore: reading {first}", flush=True)
    desk.open(first)  # what is wrong with it is told here, and not on the page
    try:
        server = Server(desk, port)
    except OSError as error:
        raise R2RecError(
            f"port {port} cannot be used: {error.strerror}; without --port a free one is taken"
        ) from error
    print(f"explore: {server.address}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt as error:
        if isinstance(error, Interrupted) and error.number != signal.SIGINT:
            raise
    finally:
        server.server_close()
        desk.asking.acquire(timeout=PATIENCE)  # torch must not be at work when Python ends
    print("explore: ended", flush=True)
