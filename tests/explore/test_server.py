"""The local server: who it answers, what it takes, and how it ends. Over real HTTP."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import RemoteDisconnected
from urllib.request import urlopen

import pytest

from r2rec.explore.guard import HEADERS, MAX_BODY
from r2rec.explore.server import FILES, Handler
from tests.command import SOURCE
from tests.explore.small import Client, desk_of, served
from tests.small import Done


@pytest.fixture(scope="module")
def client(smoke: Done) -> Iterator[Client]:
    with served(desk_of(smoke.folder)) as asking:
        yield asking


@pytest.fixture(scope="module")
def run(client: Client) -> str:
    (name,) = client.post("runs", {}).value["runs"]
    return str(name)


@pytest.mark.parametrize("path", FILES)
def test_the_page_and_its_parts_are_sent_to_who_has_the_token(client: Client, path: str) -> None:
    response = client.send("GET", f"{path}?{client.token}")
    assert response.status == 200
    assert b"{{" not in response.body
    for name, value in HEADERS.items():
        assert response.headers.getheader(name) == value


def test_the_page_asks_no_other_machine(client: Client) -> None:
    for path in FILES:
        text = client.send("GET", f"{path}?{client.token}").body.decode()
        for away in ("://", '"//', "'//", "`//", "url(", "@import"):
            assert away not in text, path
        for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert unsafe not in text, path


def test_no_name_server_is_asked(smoke: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*names: object) -> None:
        raise AssertionError(f"a name was looked up: {names}")

    for function in ("getfqdn", "gethostbyaddr", "gethostbyname", "getnameinfo"):
        monkeypatch.setattr(socket, function, asked)
    with served(desk_of(smoke.folder)) as asking:
        assert asking.post("runs", {}).status == 200


def test_it_listens_on_this_machine_alone_and_each_time_under_another_token(smoke: Done) -> None:
    tokens = set()
    for _ in range(2):
        with served(desk_of(smoke.folder)) as asking:
            assert asking.server.server_address[0] == "127.0.0.1"
            assert asking.server.address.startswith(f"http://127.0.0.1:{asking.port}/?token=")
            tokens.add(asking.server.token)
    assert len(tokens) == 2
    assert min(map(len, tokens)) >= 43  # 256 bits


FOREIGN = {
    "another host": {"Host": "evil.example"},
    "another host on this port": {"Host": "evil.example:PORT"},
    "a host that begins as ours": {"Host": "127.0.0.1:PORT.evil.example"},
    "no port": {"Host": "127.0.0.1"},
    "another loopback address": {"Host": "127.0.0.2:PORT"},
    "another origin": {"Origin": "http://evil.example"},
    "another scheme": {"Origin": "https://127.0.0.1:PORT"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "the other name of this machine": {"Origin": "http://localhost:PORT"},
    "an origin without a name": {"Origin": "null"},
    "a browser says so": {"Sec-Fetch-Site": "cross-site"},
    "a page of another port": {"Sec-Fetch-Site": "same-site"},
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("case", FOREIGN)
def test_another_site_is_not_answered(client: Client, case: str, method: str) -> None:
    headers = {name: text.replace("PORT", str(client.port)) for name, text in FOREIGN[case].items()}
    if method == "GET":
        response = client.send("GET", f"/?{client.token}", headers)
    else:
        response = client.post("runs", {}, **headers)
    assert response.status == 403
    assert set(response.value) == {"error"}
    assert response.headers.getheader("Access-Control-Allow-Origin") is None


def test_a_request_without_a_host_or_with_two_is_not_answered(client: Client) -> None:
    assert client.send("GET", f"/?{client.token}", host=False).status == 403
    two = {"Host": f"127.0.0.1:{client.port}", "host": "evil.example"}
    assert client.send("GET", f"/?{client.token}", two).status == 403


NO_TOKEN = ["", "?", "?token=", "?token=x", "?token=%C3%A4", "?token=%FF", "?t=TOKEN"]
NOT_THE_TOKEN = ["?token=TOKENx", "?token=PART", "?token=TOKEN&token=TOKEN"]


@pytest.mark.parametrize("query", [*NO_TOKEN, *NOT_THE_TOKEN])
def test_without_the_token_nothing_is_answered(client: Client, query: str) -> None:
    token = client.server.token
    query = query.replace("TOKEN", token).replace("PART", token[:-1])
    for path in FILES:
        assert client.send("GET", path + query).status == 403
    headers = {"Content-Type": "application/json", "Content-Length": "2"}
    response = client.send("POST", f"/api/runs{query}", headers, b"{}")
    assert response.status == 403
    assert token not in response.body.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_page_itself_is_answered(client: Client, host: str) -> None:
    own = {"Host": f"{host}:{client.port}", "Origin": f"http://{host}:{client.port}"}
    response = client.post("runs", {}, **own, **{"Sec-Fetch-Site": "same-origin"})
    assert response.status == 200
    assert response.headers.getheader("Cache-Control") == "no-store"


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""],
)
def test_only_json_is_taken(client: Client, kind: str) -> None:
    assert client.post("runs", {}, **{"Content-Type": kind}).status == 415
    no_type = {"Content-Length": "2"}
    assert client.send("POST", f"/api/runs?{client.token}", no_type, b"{}").status == 415


NO_OBJECT = [b"", b"{", b"[]", b"1", b"null", b'"x"', b"\xff\xfe", b'{"run": "\xff"}', b"{'a': 1}"]
DEEP = [b"[" * 30_000, b'{"a":' * 9_000, b"1" * 5_000]


@pytest.mark.parametrize("body", [*NO_OBJECT, *DEEP])
def test_what_is_no_json_object_is_refused(client: Client, body: bytes) -> None:
    response = client.post("runs", body)
    assert response.status == 400
    assert "the body is no JSON" in response.value["error"]


@pytest.mark.parametrize(
    ("length", "status"),
    [(str(MAX_BODY + 1), 413), ("9" * 40, 413), ("-1", 411), ("1e3", 411), ("", 411), ("²", 411)],
)
def test_a_body_that_is_too_long_is_never_read(client: Client, length: str, status: int) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": length.encode().decode("l1")}
    assert client.send("POST", f"/api/runs?{client.token}", headers).status == status


def test_who_sends_nothing_more_is_left(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Handler, "timeout", 0.2)
    headers = {"Content-Type": "application/json", "Content-Length": "10"}
    with pytest.raises(RemoteDisconnected):
        client.send("POST", f"/api/runs?{client.token}", headers, b"{")
    assert client.post("runs", {}).status == 200
    assert capfd.readouterr().err == ""


def test_a_body_of_untold_length_is_refused(client: Client) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    body = b"2\r\n{}\r\n0\r\n\r\n"
    assert client.send("POST", f"/api/runs?{client.token}", headers, body).status == 411


def test_a_body_as_long_as_is_allowed_is_read(client: Client) -> None:
    body = json.dumps({"pad": "x" * (MAX_BODY - 11)}).encode()
    assert len(body) == MAX_BODY
    assert client.post("runs", body).status == 200


def test_other_methods_and_paths_are_not_there(client: Client) -> None:
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"):
        response = client.send(method, f"/?{client.token}")
        assert response.status == 501
        assert response.headers.getheader("X-Frame-Options") == "DENY"
    paths = ("/desk.py", "/../desk.py", "/static/page.js", "/api/runs", "/page.html")
    for path in (*paths, "/%2e%2e/desk.py", f"http://127.0.0.1:{client.port}/"):
        assert client.send("GET", f"{path}?{client.token}").status == 404
    assert client.post("../page.js", {}).status == 404
    assert client.post("nothing", {}).value["error"] == "nothing answers nothing"


def test_what_is_not_there_is_told_in_a_line(client: Client, run: str) -> None:
    user = {"run": run, "user": "nobody"}
    for what, request, status, why in (
        ("run", {"run": "x"}, 404, f"no run x; there are {run}"),
        ("run", {}, 400, "run must be a text"),
        ("case", user, 404, "the run ranked for no user nobody"),
        ("case", {"run": run, "user": 4}, 400, "user must be a text"),
        ("ask", user | {"method": "R2Rec"}, 404, "the run ranked for no user nobody"),
        ("users", {"run": run, "method": "x"}, 400, "no method x; there are random"),
        ("users", {"run": run, "method": "random", "filters": ["x"]}, 400, "no filter x"),
        ("users", {"run": run, "method": "random", "filters": "x"}, 400, "must be a list"),
        ("users", {"run": run, "method": "random", "rivals": ["x"]}, 400, "no method x"),
    ):
        response = client.post(what, request)
        assert response.status == status, request
        assert response.value["error"].startswith(why) or why in response.value["error"]
        assert "\n" not in response.value["error"]


def test_one_answer_is_written_at_a_time(client: Client, run: str) -> None:
    (user, *_), *_ = client.post("users", {"run": run, "method": "R2Rec"}).value["users"]
    request = {"run": run, "user": user, "method": "R2Rec"}
    with client.server.desk.asking:
        response = client.post("ask", request)
        assert response.status == 409
        assert response.value["error"].startswith("an answer is being written: wait")
        assert client.post("case", request).status == 200  # reading goes on
    assert client.post("ask", request).status == 200


def test_a_fault_of_ours_is_told_and_the_server_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(what: str, request: object) -> None:
        raise ZeroDivisionError("division by zero")

    with monkeypatch.context() as patched:
        patched.setattr(client.server.desk, "reply", broken)
        response = client.post("runs", {})
    assert response.status == 500
    assert response.value == {"error": "an error in r2rec: ZeroDivisionError: division by zero"}
    assert client.post("runs", {}).status == 200
    told = ""
    patience = time.monotonic() + 10  # the server tells it after it has replied
    while "ZeroDivisionError" not in told and time.monotonic() < patience:
        told += capfd.readouterr().err
        time.sleep(0.01)
    assert "ZeroDivisionError" in told


def test_the_command_prints_its_address_and_ends_at_ctrl_c(smoke: Done) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "r2rec", "explore", str(smoke.folder)],
        cwd=smoke.folder,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = threading.Timer(300, process.kill)
    watch.start()
    try:
        assert process.stdout
        assert process.stdout.readline() == f"explore: reading {smoke.folder.name}\n"
        line = process.stdout.readline()
        assert re.fullmatch(r"explore: http://127\.0\.0\.1:\d+/\?token=[\w-]{43}\n", line)
        with urlopen(line.removeprefix("explore: ").strip()) as page:
            assert b"<title>r2rec explore</title>" in page.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watch.cancel()
        process.kill()
    assert (process.returncode, out, err) == (0, "explore: ended\n", "")
