"""The HTTP client under openai's: it bounds the size and the time of a reply, and checks it.

openai's own client retries what fails in transport, with growing pauses, and honours Retry-After.
A reply that is too large, too slow or no completion is raised here as a fault of transport, so that
one retry policy covers all of them.
"""

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any

MAX_REPLY_BYTES = 16 * 2**20
MAX_REDIRECTS = 5
ENCODINGS = ("gzip", "deflate")  # which inflate a received block about 1000-fold at most
DESCRIBES_BODY = ("content-encoding", "content-length", "transfer-encoding")


def bounded_client(seconds: float, check: Callable[[bytes], object]) -> Any:
    """An HTTP client for `openai.AsyncOpenAI(http_client=...)`.

    Args:
        seconds: For one reply, from the request to its last byte.
        check: Called with the body of each successful reply; a ValueError makes it a faulty one.
    """
    import openai

    http = _http_library()

    class BoundedClient(openai.DefaultAsyncHttpxClient):  # type: ignore[misc, unused-ignore]
        async def send(self, request: Any, **options: Any) -> Any:
            try:
                async with asyncio.timeout(seconds):
                    return await self._checked(request, options)
            except TimeoutError:
                raise http.ReadTimeout(f"no whole reply within {seconds:g} s") from None

        async def _checked(self, request: Any, options: dict[str, Any]) -> Any:
            reply = await self._whole_reply(request, options)
            if reply.is_success:
                try:
                    check(reply.content)
                except ValueError as error:
                    raise http.DecodingError(str(error)) from error
            if reply.status_code == 429 and b"insufficient_quota" in reply.content:
                reply.headers["x-should-retry"] = "false"  # waiting will not help
            return reply

        async def _whole_reply(self, request: Any, options: dict[str, Any]) -> Any:
            """The reply, read to its end. Redirects are followed here, to bound their bodies too."""
            options = {**options, "stream": True, "follow_redirects": False}
            for _ in range(MAX_REDIRECTS + 1):
                streamed = await super().send(request, **options)
                try:
                    body = await _bounded_body(streamed)
                finally:
                    await streamed.aclose()
                if streamed.next_request is None:
                    return _rebuilt(streamed, body, request)
                request = streamed.next_request
            raise http.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects")

    async def _bounded_body(streamed: Any) -> bytes:
        encoding = streamed.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", *ENCODINGS):
            raise http.DecodingError(f"the reply is encoded as {encoding}")
        parts = []
        size = 0
        async for part in streamed.aiter_bytes():
            size += len(part)
            if size > MAX_REPLY_BYTES:
                raise http.ReadError(f"the reply is larger than {MAX_REPLY_BYTES // 2**20} MiB")
            parts.append(part)
        return b"".join(parts)

    def _rebuilt(streamed: Any, body: bytes, request: Any) -> Any:
        """A reply whose body is in memory."""
        headers = []
        for name, value in streamed.headers.multi_items():
            if name.lower() not in DESCRIBES_BODY:
                headers.append((name, value))
        return http.Response(streamed.status_code, headers=headers, content=body, request=request)

    return BoundedClient(headers={"Accept-Encoding": ", ".join(ENCODINGS)})


def _http_library() -> Any:
    """The HTTP library that openai is built on: `httpx2` since openai 3, `httpx` before."""
    import openai

    base = openai.DefaultAsyncHttpxClient.__mro__[1]
    return import_module(base.__module__.partition(".")[0])
