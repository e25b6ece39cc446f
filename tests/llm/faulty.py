"""A chat endpoint that misbehaves as planned: by itself, or as a proxy in front of a real one."""

import json
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

KEY = "sk-planted-0123456789"


class Server:
    """Answers "echo: <prompt>", or what the server at `upstream` does, after the faults planned for each prompt."""

    def __init__(self, upstream: str | None = None):
        self.faults: dict[str, list] = {}
        self.asked, self.answered = Counter(), Counter()
        self.now = self.most = 0
        self.delay, self.hang = 0.01, 1.5  # seconds
        self.times: list[float] = []
        self.reply = "echo: {}".format
        lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                prompt = json.loads(raw)["messages"][-1]["content"]
                with lock:
                    server.now += 1
                    server.most = max(server.most, server.now)
                    server.asked[prompt] += 1
                    server.times.append(time.monotonic())
                    plan = server.faults.get(prompt, [])
                    fault = plan.pop(0) if plan else None
                time.sleep(server.delay)
                status, text = self.forward(raw) if upstream else (200, self.echo(prompt, fault))
                with (
                    lock
                ):  # before the answer: a client that stopped waiting for it is no longer in flight
                    server.now -= 1
                with suppress(ConnectionError):
                    self.answer(prompt, fault, status, text)

            def forward(self, raw):
                at = Request(
                    f"{upstream}/chat/completions", raw, {"Content-Type": "application/json"}
                )
                try:
                    with urlopen(at, timeout=60) as reply:
                        return reply.status, reply.read()
                except HTTPError as error:
                    return error.code, error.read()

            def echo(self, prompt, fault):
                usage = {"prompt_tokens": 1000, "completion_tokens": 100}
                message = {"role": "assistant", "content": server.reply(prompt)}
                if fault == "thinks":
                    message["reasoning_content"] = "well"
                return json.dumps(
                    {"id": "1", "choices": [{"index": 0, "message": message}], "usage": usage}
                ).encode()

            def answer(self, prompt, fault, status, text):
                if isinstance(fault, tuple):  # status, headers
                    error = json.dumps(
                        {"error": {"message": f"fault {fault[0]} for {KEY}", "code": None}}
                    ).encode()
                    return self.send(fault[0], error, fault[1])
                if fault == "cut":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text[:20])
                    return self.connection.close()
                if fault == "hang":
                    time.sleep(server.hang)
                if fault == "slow":
                    return self.trickle(text)
                bad = {
                    "half": (200, text[:-30]),
                    "html": (200, b"<html>busy</html>"),
                    "empty": (200, b'{"choices": []}'),
                }
                if fault not in bad:
                    server.answered[prompt] += 1
                kind = {"Content-Type": "text/html"} if fault == "html" else {}
                return self.send(*bad.get(fault, (status, text)), kind)

            def trickle(self, text):
                """Never silent, and never done within a client's patience."""
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                for n in range(len(text) - 1):
                    self.wfile.write(text[n : n + 1])
                    self.wfile.flush()
                    time.sleep(server.hang / 10)

            def send(self, status, body, headers):
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def close(self):
        self.http.shutdown()
        self.http.server_close()


FAULTS = [
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
