"""Small runs that are open, and a server over them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

import r2rec
from r2rec.explore.desk import Desk
from r2rec.explore.server import Server
from tests.small import go

ANSWERING = (  # the backbone of the package, which answers in words without any training
    "chain_sampler=evidence",
    "model=tiny",
    "sft=off",
    "rl=off",
    "evaluation.arms=[base]",
    "generation.max_new_tokens=640",
)


def answering(store: Path) -> Path:
    """The folder of a run whose model reads evidence chains and ranks."""
    return go(store, *ANSWERING).folder


def desk_of(*folders: Path) -> Desk:
    return Desk([r2rec.load(folder) for folder in folders])


class Response(NamedTuple):
    """What came back."""

    status: int
    headers: HTTPResponse
    body: bytes

    @property
    def value(self) -> Any:
        return json.loads(self.body)


class Client(NamedTuple):
    """Asks a server over HTTP."""

    server: Server

    @property
    def port(self) -> int:
        return int(self.server.server_port)

    @property
    def token(self) -> str:
        return f"token={self.server.token}"

    def send(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        host: bool = True,
    ) -> Response:
        """The response to a request with these headers and no others but `Host`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            all_headers = headers or {}
            if host and "Host" not in all_headers:
                all_headers = {"Host": f"127.0.0.1:{self.port}", **all_headers}
            for name, value in all_headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Response(response.status, response, response.read())
        finally:
            connection.close()

    def post(self, what: str, value: Any, **headers: str) -> Response:
        """The reply to a JSON value, sent as the page does it."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        return self.send("POST", f"/api/{what}?{self.token}", sent, body)


@contextmanager
def served(desk: Desk) -> Iterator[Client]:
    """A server in a thread, ended afterwards."""
    server = Server(desk)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Client(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
