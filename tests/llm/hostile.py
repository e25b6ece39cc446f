"""A server that writes bytes of its own choice to the socket: HTTP itself may be what is wrong."""

import gzip
import json
import socketserver
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from tests.llm.faulty import KEY, MEGABYTE, reply

Chunks = tuple[bytes, ...]
ESCAPE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
PAUSE = 0.2  # seconds between the pieces of a reply that never gets done
SILENCE: Chunks = (b"",)


class Handler(socketserver.StreamRequestHandler):
    """One connection, one request."""

    def handle(self) -> None:
        state: Any = self.server
        length = 0
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        prompt = json.loads(self.rfile.read(length))["messages"][-1]["content"]
        with state.lock:
            state.asked[prompt] += 1
        if prompt != "q0":
            time.sleep(state.delay)
            self.write(response(reply(f"echo: {prompt}")))
            return
        for piece in state.behaviour:
            self.write(piece)
        while state.again and not state.over.wait(PAUSE if state.again == SILENCE else 0):
            for piece in state.again:
                if not self.write(piece):
                    return

    def write(self, data: bytes) -> bool:
        """Send bytes; return False where nobody is listening any more."""
        with suppress(OSError):
            self.wfile.write(data)
            self.server.sent += len(data)  # type: ignore[attr-defined]
            return True
        return False


class HostileServer(socketserver.ThreadingTCPServer):
    """Answers q0 with `behaviour`, then with `again` without an end, and all others properly."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour: Chunks = ()
        self.again: Chunks = ()
        self.delay = 0.0
        self.over = threading.Event()
        self.asked: Counter[str] = Counter()
        self.sent = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: Any) -> None:
        """Clients that go away are what is tested."""


def response(body: bytes, status: str = "200 OK", *headers: str, length: str | None = "") -> bytes:
    """A whole HTTP response; `length`: "" the right one, None without, else as given."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length or len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


GZIP = "Content-Encoding: gzip"
CHUNKED = "Transfer-Encoding: chunked"


def error(message: Any, status: str = "400 Bad Request") -> bytes:
    """An error in OpenAI's form."""
    return response(json.dumps({"error": {"message": message, "code": None}}).encode(), status)


def usage(prompt: Any, completion: Any) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return response(reply("four words of text", counts).replace(b"Infinity", b"1e999"))


def twice_zipped() -> bytes:
    """64 MiB in a few hundred bytes."""
    return gzip.compress(gzip.compress(MEGABYTE * 64))


# name -> what is sent, and what is sent over and over after it.
REFUSED: dict[str, tuple[Chunks, Chunks]] = {
    "closes at once": ((b"",), ()),
    "speaks no HTTP": ((b"SSH-2.0-OpenSSH_9.6\r\n",), ()),
    "binary noise": ((bytes(range(256)) * 8,), ()),
    "TLS alert": ((b"\x15\x03\x01\x00\x02\x02\x28",), ()),
    "HTTP/0.9": ((reply("hi"),), ()),
    "status without a number": ((b"HTTP/1.1 abc OK\r\n\r\n",), ()),
    "status 999": ((response(reply("hi"), "999 Odd"),), ()),
    "status 204": ((b"HTTP/1.1 204 No Content\r\n\r\n",), ()),
    "silent": ((b"",), SILENCE),
    "head without an end": ((b"HTTP/1.1 200 OK\r\n",), (b"X-A: " + b"a" * 4096 + b"\r\n",)),
    "one header without an end": ((b"HTTP/1.1 200 OK\r\nX: ",), (b"a" * 4096,)),
    "early hints without an end": ((b"",), (b"HTTP/1.1 103 Early Hints\r\n\r\n",)),
    "body without an end": ((response(b"", length=str(2**40)),), (MEGABYTE,)),
    "body without a length or an end": ((response(b"", length=None),), (MEGABYTE,)),
    "chunks without an end": (
        (response(b"", "200 OK", CHUNKED, length=None),),
        (b"100000\r\n" + MEGABYTE + b"\r\n",),
    ),
    "tiny chunks without an end": (
        (response(b"", "200 OK", CHUNKED, length=None),),
        (b"1\r\n \r\n",),
    ),
    "chunk size without an end": (
        (response(b"", "200 OK", CHUNKED, length=None),),
        (b"0" * 4096,),
    ),
    "chunk of a negative size": (
        (response(b"-5\r\nabc\r\n", "200 OK", CHUNKED, length=None),),
        (),
    ),
    "error without an end": ((response(b"", "400 Bad", length=str(2**40)),), (MEGABYTE,)),
    "negative length": ((response(reply("hi"), length="-1"),), ()),
    "two lengths": ((response(reply("hi"), "200 OK", "Content-Length: 5"),), ()),
    "length above the body": ((response(reply("hi"), length="999999"),), ()),
    "length below the body": ((response(reply("hi"), length="9"),), ()),
    "not zipped": ((response(reply("hi"), "200 OK", GZIP),), ()),
    "half zipped": ((response(gzip.compress(reply("hi"))[:-20], "200 OK", GZIP),), ()),
    "zip bomb": ((response(gzip.compress(MEGABYTE * 64), "200 OK", GZIP),), ()),
    "zipped twice": ((response(twice_zipped(), "200 OK", f"{GZIP}, gzip"),), ()),
    "unknown encoding": ((response(reply("hi"), "200 OK", "Content-Encoding: rot13"),), ()),
    "redirect to nowhere": ((response(b"", "307 Moved", "Location: http://127.0.0.1:9/"),), ()),
    "redirect to a file": ((response(b"", "307 Moved", "Location: file:///etc/passwd"),), ()),
    "redirect to nonsense": ((response(b"", "307 Moved", "Location: http://[::1"),), ()),
    "redirect without a place": ((response(b"", "307 Moved"),), ()),
    "events instead of an answer": ((response(b"data: {}\n\ndata: [DONE]\n\n"),), ()),
    "deep JSON": ((response(b"[" * 200_000),), ()),
    "deep JSON, closed": ((response(b'{"choices":' + b"[" * 9**5 + b"]" * 9**5 + b"}"),), ()),
    "a number of 5,000 digits": ((response(b'{"choices": ' + b"9" * 5000 + b"}"),), ()),
    "null": ((response(b"null"),), ()),
    "1e999": ((response(b"1e999"),), ()),
    "choices a table": ((response(b'{"choices": {"0": {}}}'),), ()),
    "choices a text": ((response(b'{"choices": "yes"}'),), ()),
    "message null": ((response(b'{"choices": [{"message": null}]}'),), ()),
    "message a text": ((response(b'{"choices": [{"message": "hi"}]}'),), ()),
    "content a number": ((response(reply(1e308)),), ()),
    "content a table": ((response(reply({"text": "hi"})),), ()),
    "UTF-16": ((response(reply("hi").decode().encode("utf-16")[:-1]),), ()),
    "error with escapes": ((error(f"{ESCAPE}no{ESCAPE}"),), ()),
    "error in lines": ((error("a\nb\r\nc\u2028d\x85e"),), ()),
    "error with a lone surrogate": ((error("\ud83d no"),), ()),
    "error with the key": ((error(f"no {KEY}", f"401 {KEY}"),), ()),
    "error of a megabyte": ((error("no " * 2**18),), ()),
    "error that ends in half a key": ((error(" " * (2**16 - 50) + KEY * 3 + "a" * 2**17),), ()),
    "error that is no text": ((error({"a": [1e308, None]}),), ()),
    "error null": ((response(b'{"error": null}', "400 Bad"),), ()),
    "error as deep JSON": ((response(b"[" * 200_000, "400 Bad"),), ()),
    "error as a page with the key": ((response(f"<b>{KEY}</b>".encode(), "403 No"),), ()),
    "reason with escapes": ((response(b"", f"400 {ESCAPE[:4]}"),), ()),
}


# name -> a reply that is odd, but an answer; the text that is stored; the tokens that are paid for.
ANSWERED: dict[str, tuple[bytes, str, tuple[int, int]]] = {
    "no usage": (usage(None, None), "four words of text", (1, 6)),
    "usage zero": (usage(0, 0), "four words of text", (1, 6)),
    "usage negative": (usage(-(10**12), -1), "four words of text", (1, 6)),
    "usage a fraction": (usage(0.5, 2.5), "four words of text", (1, 6)),
    "usage 1e999": (usage(float("inf"), float("nan")), "four words of text", (1, 6)),
    "usage of 400 digits": (usage(10**400, 10**400), "four words of text", (1, 6)),
    "usage a thousand million": (usage(10**9, 10**9), "four words of text", (1, 6)),
    "usage true": (usage(True, True), "four words of text", (1, 6)),
    "usage a text": (usage("9", "9"), "four words of text", (1, 6)),
    "usage a list": (response(reply("hi", [1])), "hi", (1, 1)),
    "too few tokens for the text": (
        response(reply("word " * 600, {"prompt_tokens": 1, "completion_tokens": 1})),
        "word " * 600,
        (1, 1000),
    ),
    "usage as it may be": (usage(1000, 200), "four words of text", (1000, 200)),
    "content null": (response(reply(None, None)), "", (1, 1)),
    "more choices": (
        response(b'{"choices": [{"message": {"content": "a"}}, null, 5]}'),
        "a",
        (1, 1),
    ),
    "keys twice": (
        response(b'{"choices": 1, "choices": [{"message": {"content": "b"}}]}'),
        "b",
        (1, 1),
    ),
    "unknown keys": (response(reply("hi", None, tool_calls=[{"x": 1}], refusal=5)), "hi", (1, 1)),
    "the key": (response(reply(f"I am {KEY}.", None)), "I am (hidden).", (1, 9)),
    "the key in a thought": (
        response(reply("x", None, reasoning=f"{KEY}")),
        "<think>\n(hidden)\n</think>\nx",
        (1, 14),
    ),
    "a lone surrogate": (response(reply("a\ud83db", None)), "a?b", (1, 1)),
    "a byte of nothing": (response(reply("a\0b", None)), "a\0b", (1, 1)),
    "no length": (response(reply("hi", None), length=None), "hi", (1, 1)),
    "HTTP/3.7": (b"HTTP/3.7 200 OK\r\n\r\n" + reply("hi", None), "hi", (1, 1)),
    "hints before it": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response(reply("hi", None)),
        "hi",
        (1, 1),
    ),
    "a second response behind it": (
        response(reply("hi", None)) + response(reply("no", None)),
        "hi",
        (1, 1),
    ),
    "status 201": (response(reply("hi", None), "201 Created"), "hi", (1, 1)),
    "another type": (response(reply("hi", None), "200 OK", "X-Type: text/html"), "hi", (1, 1)),
    "a cookie with the key": (
        response(reply("hi", None), "200 OK", f"Set-Cookie: {KEY}"),
        "hi",
        (1, 1),
    ),
}
