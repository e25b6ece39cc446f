"""A chat endpoint that misbehaves as planned: by itself, or as a proxy in front of a real one."""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from r2rec.config import Endpoint
from r2rec.llm.chat import Messages, user_turn

KEY = "sk-planted-0123456789"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}
MEGABYTE = b" " * 2**20

# What can go wrong with one request: (status, headers), the body of a reply, or a name.
Fault = tuple[int, dict[str, str]] | bytes | str


def reply(content: Any, usage: Any = USAGE, **message: Any) -> bytes:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": content, **message}
    choices = [{"index": 0, "message": message}]
    return json.dumps({"id": "1", "choices": choices, "usage": usage}).encode()


def error_body(status: int) -> bytes:
    """The body of an error, with the key in it."""
    return json.dumps({"error": {"message": f"fault {status} for {KEY}", "code": None}}).encode()


class Server:
    """Answers "echo: PROMPT", or what `upstream` answers, after the faults planned for a prompt."""

    def __init__(self, upstream: str | None = None) -> None:
        self.faults: dict[str, list[Fault]] = {}  # prompt -> faults of its first requests
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.now = 0  # requests in flight
        self.most = 0  # the most of them at once
        self.delay = 0.01  # seconds before each answer
        self.hang = 1.5  # seconds of silence
        self.times: list[float] = []  # of each request
        self.credentials: set[str | None] = set()  # Authorization headers
        self.elsewhere = ""  # where `moved_away` redirects to
        self.sent = 0  # bytes of endless bodies
        self.reply: Callable[[str], str] = "echo: {}".format
        self.upstream = upstream
        self.lock = threading.Lock()
        handler = type("BoundHandler", (Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=[0.02], daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_state: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        state = self.server_state
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        prompt = json.loads(raw)["messages"][-1]["content"]
        with state.lock:
            state.now += 1
            state.most = max(state.most, state.now)
            state.asked[prompt] += 1
            state.times.append(time.monotonic())
            state.credentials.add(self.headers["Authorization"])
            plan = state.faults.get(prompt, [])
            fault = plan.pop(0) if plan else None
        time.sleep(state.delay)
        if state.upstream:
            status, body = self.forwarded(raw)
        else:
            status, body = 200, reply(state.reply(prompt))
        with state.lock:  # before the answer: who stopped waiting for it is not in flight any more
            state.now -= 1
        with suppress(ConnectionError):
            self.answer(prompt, fault, status, body)

    def forwarded(self, raw: bytes) -> tuple[int, bytes]:
        url = f"{self.server_state.upstream}/chat/completions"
        request = Request(url, raw, {"Content-Type": "application/json"})
        try:
            with urlopen(request, timeout=60) as response:
                return response.status, response.read()
        except HTTPError as error:
            return error.code, error.read()

    def answer(self, prompt: str, fault: Fault | None, status: int, body: bytes) -> None:
        if isinstance(fault, tuple):
            return self.send(fault[0], error_body(fault[0]), fault[1])
        if isinstance(fault, bytes):
            return self.send(200, fault, {})
        if fault is not None and fault != "hang":
            return getattr(self, fault)(body)
        if fault == "hang":
            time.sleep(self.server_state.hang)
        self.server_state.answered[prompt] += 1
        return self.send(status, body, {})

    def cut(self, body: bytes) -> None:
        self.head(len(body))
        self.wfile.write(body[:20])
        self.connection.close()

    def half(self, body: bytes) -> None:
        self.send(200, body[:-30], {})

    def html(self, _: bytes) -> None:
        self.send(200, b"<html>busy</html>", {"Content-Type": "text/html"})

    def empty(self, _: bytes) -> None:
        self.send(200, b'{"choices": []}', {})

    def slow(self, body: bytes) -> None:
        """Never silent, and never done within a client's patience."""
        self.head(len(body))
        for n in range(len(body) - 1):
            self.wfile.write(body[n : n + 1])
            self.wfile.flush()
            time.sleep(self.server_state.hang / 10)

    def endless(self, _: bytes, status: int = 200, **headers: str) -> None:
        """Megabytes without an end."""
        self.head(2**40, status, headers)
        while True:
            self.wfile.write(MEGABYTE)
            self.server_state.sent += len(MEGABYTE)

    def endless_redirect(self, body: bytes) -> None:
        self.endless(body, 307, Location=f"{self.server_state.url}/elsewhere")

    def bomb(self, _: bytes) -> None:
        """64 MiB in 64 KiB."""
        self.send(200, gzip.compress(64 * MEGABYTE), {"Content-Encoding": "gzip"})

    def zipped(self, body: bytes) -> None:
        self.send(200, gzip.compress(body), {"Content-Encoding": "gzip"})

    def moved(self, _: bytes) -> None:
        self.send(307, b"", {"Location": f"{self.server_state.url}/chat/completions"})

    def moved_away(self, _: bytes) -> None:
        self.send(307, b"", {"Location": f"{self.server_state.elsewhere}/chat/completions"})

    def head(self, length: int, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.head(len(body), status, headers)
        self.wfile.write(body)


FAULTS: list[Fault] = [
    (429, {}),
    (429, {"Retry-After": "0.1"}),
    (500, {}),
    (503, {}),
    "cut",
    "hang",
    "slow",
    "half",
    "html",
    "empty",
]

# Bodies that are no chat completion.
MALFORMED: dict[str, bytes] = {
    "message null": b'{"choices": [{"message": null}]}',
    "choices null": b'{"choices": null}',
    "no content": b'{"choices": [{"message": {"role": "assistant"}}]}',
    "content a number": reply(5),
    "content a list": reply([{"type": "text", "text": "hi"}]),
    "a list": b"[]",
    "nothing": b"",
    "not text": b"\xff\xfe\xfd",
    "deep": b"[" * 100_000,
    "deep and closed": b'{"choices": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a long number": b'{"choices": ' + b"9" * 5000 + b"}",
}

# Usage that is no count of tokens.
NO_COUNTS: list[Any] = [
    None,
    [1],
    "many",
    {},
    {"prompt_tokens": 0, "completion_tokens": 0},
    {"prompt_tokens": -(10**12), "completion_tokens": -1},
    {"prompt_tokens": None, "completion_tokens": "100"},
    {"prompt_tokens": float("inf"), "completion_tokens": float("nan")},
    {"prompt_tokens": True, "completion_tokens": [7]},
    {"prompt_tokens": 10**400, "completion_tokens": 1e300},
]


def endpoint(server: Server, **changes: Any) -> Endpoint:
    """How the server is asked."""
    usual = Endpoint(
        model="m",
        base_url=server.url,
        key="R2REC_TEST_KEY",
        options={"max_completion_tokens": 200},
        concurrency=3,
        timeout=0.8,
        retries=4,
        dollars_in=1.0,
        dollars_out=2.0,
    )
    return replace(usual, **changes)


def prompts(n: int) -> list[Messages]:
    """q0, q1, q2, ..."""
    return [user_turn(f"q{k}") for k in range(n)]


def stored(folder: Path) -> str:
    """All that is in the files of a folder."""
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
