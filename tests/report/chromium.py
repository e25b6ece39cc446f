"""A headless Chromium on a pipe: no driver, no port and no package needed.

It speaks the DevTools protocol, as JSON between NULs.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FOUND = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --remote-debugging-pipe"
).split()
# Chromium reads commands from descriptor 3 and answers on 4.
PLACE = """import os, sys
to, back = (os.dup(int(end)) for end in sys.argv[1:3])
to, back = os.dup2(to, 13), os.dup2(back, 14)
os.dup2(to, 3), os.dup2(back, 4)
os.execv(sys.argv[3], sys.argv[3:])"""
PATIENCE = 120  # seconds that a browser may live


class Tab:
    """One page: what it asked for and complained of so far, and what can be done with it."""

    def __init__(self, to: Any, back: Any) -> None:
        self._to, self._back, self._number, self._session = to, back, 0, None
        self.requests: list[str] = []
        self.complaints: list[Any] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        self._to.write(json.dumps(message).encode() + b"\0")
        self._to.flush()
        while (answer := self._read()).get("id") != self._number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, page: Path | str) -> None:
        """Load a file, or an address, and wait for its load event."""
        self.send("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited.

        The page's policy forbids only scripts of the page itself.
        """
        result = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key down and up, as from a keyboard."""
        known = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39, "ArrowDown": 40, " ": 32}
        about = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": known.get(key) or ord(key.upper()),
        }
        letter = "\r" if key == "Enter" else key if len(key) == 1 else None
        self.send(
            "Input.dispatchKeyEvent",
            type="keyDown",
            **about,
            **({"text": letter} if letter else {}),
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def _read(self) -> dict[str, Any]:
        parts = []
        while (byte := self._back.read(1)) != b"\0":
            if not byte:
                raise RuntimeError("chromium has ended")
            parts.append(byte)
        message = json.loads(b"".join(parts))
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(params)
        return message


@contextmanager
def tab() -> Iterator[Tab]:
    """A fresh browser with an empty profile, ended and forgotten afterwards."""
    assert FOUND
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        out_read, out_write = os.pipe()
        back_read, back_write = os.pipe()

        browser = [FOUND, *FLAGS, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", PLACE, str(out_read), str(back_write), *browser],
            pass_fds=(out_read, back_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # A browser that hangs is killed, which ends the pipe, and so the test.
        watch = threading.Timer(PATIENCE, process.kill)
        watch.start()
        os.close(out_read)
        os.close(back_write)
        try:
            with open(out_write, "wb") as to, open(back_read, "rb") as back:
                yield Tab(to, back)
        finally:
            watch.cancel()
            process.terminate()
            process.wait(20)
