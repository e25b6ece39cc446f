"""The HTTP client under openai's: it bounds the size and the time of a reply, and checks it.

openai's own client retries what fails in transport, with growing pauses, and honours Retry-After.
A reply that is too large, too slow or no completion is raised here as a fault of transport, so that
one retry policy covers all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any

MAX_REPLY_BYTES = 16 * 2**20
MAX_REDIRECTS = 5
ENCODINGS = ("gzip", "deflate")  # they inflate what is received about 1000-fold at most
DESCRIBES_BODY = ("content-encoding", "content-length", "transfer-encoding")

Send = Callable[..., Awaitable[Any]]  # the method `send` of an HTTP client
Check = Callable[[bytes], object]


def bounded_client(seconds: float, check: Check) -> Any:
    """An HTTP client for `openai.AsyncOpenAI(http_client=...)`.

    Args:
        seconds: For one reply, from the request to its last byte.
        check: Called with the body of each successful reply; a ValueError makes it a faulty one.
    """
    import openai

    reader = Reader(_http_library(), seconds, check)

    class BoundedClient(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, **options: Any) -> Any:
            return await reader.reply(super().send, request, options)

    return BoundedClient(headers={"Accept-Encoding": ", ".join(ENCODINGS)})


class Reader:
    """Reads replies to their end, within bounds."""

    def __init__(self, http: Any, seconds: float, check: Check) -> None:
        self.http = http  # the HTTP library
        self.seconds = seconds
        self.check = check

    async def reply(self, send: Send, request: Any, options: dict[str, Any]) -> Any:
        """The reply to a request, with its body in memory.

        Raises:
            RequestError: Of the HTTP library; openai's client tries again.
        """
        try:
            async with asyncio.timeout(self.seconds):
                reply = await self._followed(send, request, options)
        except TimeoutError:
            raise self.http.ReadTimeout(f"no whole reply within {self.seconds:g} s") from None
        if reply.is_success:
            try:
                self.check(reply.content)
            except ValueError as error:
                raise self.http.DecodingError(str(error)) from error
        if reply.status_code == 429 and b"insufficient_quota" in reply.content:
            reply.headers["x-should-retry"] = "false"  # to wait does not help; the client obeys
        return reply

    async def _followed(self, send: Send, request: Any, options: dict[str, Any]) -> Any:
        """The reply at the end of all redirects, whose own bodies are bounded too."""
        options = {**options, "stream": True, "follow_redirects": False}
        for _ in range(MAX_REDIRECTS + 1):
            streamed = await send(request, **options)
            try:
                body = await self._body(streamed)
            finally:
                await streamed.aclose()
            if streamed.next_request is None:
                return self._in_memory(streamed, body, request)
            request = streamed.next_request
        raise self.http.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")

    async def _body(self, streamed: Any) -> bytes:
        encoding = streamed.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", *ENCODINGS):
            raise self.http.DecodingError(f"the reply is encoded as {encoding}")
        parts = []
        size = 0
        async for part in streamed.aiter_bytes():
            size += len(part)
            if size > MAX_REPLY_BYTES:
                limit = MAX_REPLY_BYTES // 2**20
                raise self.http.ReadError(f"the reply is larger than {limit} MiB")
            parts.append(part)
        return b"".join(parts)

    def _in_memory(self, streamed: Any, body: bytes, request: Any) -> Any:
        headers = []
        for name, value in streamed.headers.multi_items():
            if name.lower() not in DESCRIBES_BODY:
                headers.append((name, value))
        return self.http.Response(
            streamed.status_code,
            headers=headers,
            content=body,
            request=request,
        )


def _http_library() -> Any:
    """The HTTP library that openai is built on: `httpx2` in recent versions, `httpx` before."""
    import openai

    base = openai.DefaultAsyncHttpxClient.__mro__[1]
    return import_module(base.__module__.partition(".")[0])
