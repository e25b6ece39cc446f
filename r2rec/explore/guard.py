"""Who may ask the local server, and what a request may be.

A page of another site can make a browser send requests to 127.0.0.1. It knows no token, its origin
is another one, and a name that it lets point to 127.0.0.1 stands in `Host`.
"""

import hmac
import json
from collections.abc import Callable
from email.message import Message
from typing import Any
from urllib.parse import parse_qs

MAX_BODY = 64 * 1024  # bytes of a request

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every response."""


class RefusedError(Exception):
    """A request that is not answered: an HTTP status, and why in a line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def check_request(headers: Message, query: str, port: int, token: str) -> None:
    """Refuse what does not come from the page itself, or from who was told its address.

    Raises:
        RefusedError: The host, the origin or the token is another one.
    """
    hosts = headers.get_all("Host", [])
    if len(hosts) != 1 or hosts[0] not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        raise RefusedError(403, "the host is not the one of this server")
    origins = headers.get_all("Origin", [])
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        raise RefusedError(403, "requests of other sites are not answered")
    if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RefusedError(403, "requests of other sites are not answered")
    given = parse_qs(query, max_num_fields=10).get("token", [])
    if len(given) != 1 or not hmac.compare_digest(_bytes(given[0]), _bytes(token)):
        raise RefusedError(403, "the token is missing or wrong: open the address that was printed")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def json_object(headers: Message, read: Callable[[int], bytes]) -> dict[str, Any]:
    """The JSON object that a request carries.

    Args:
        read: Reads so many bytes of its body.

    Raises:
        RefusedError: It carries another type, too much, or no JSON object.
    """
    if headers.get_content_type() != "application/json" or "Content-Type" not in headers:
        raise RefusedError(415, "requests are JSON: Content-Type: application/json")
    length = headers.get("Content-Length", "")
    if "Transfer-Encoding" in headers or not (length.isascii() and length.isdigit()):
        raise RefusedError(411, "the length of the body is not told: Content-Length")
    if len(length) > 9 or int(length) > MAX_BODY:
        raise RefusedError(413, f"the body is longer than {MAX_BODY:,} bytes")
    body = read(int(length))
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, "the body is no JSON") from error
    if not isinstance(value, dict):
        raise RefusedError(400, "the body is no JSON object")
    return value
