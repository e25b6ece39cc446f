"""Chat completions of any OpenAI-compatible endpoint, each paid for once.

An answer is on disk, under the hash of what was asked, before it counts. A killed run asks only for
what is missing, and with `replay` the same folder serves all answers without a network. Runs share
the folder: if several want an answer at the same time, one asks and the others wait for it.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError, one_line
from r2rec.base.provenance import hidden
from r2rec.config import Endpoint
from r2rec.llm import ledger
from r2rec.llm.chat import Messages
from r2rec.llm.completions import believed, estimated_tokens, read_completion
from r2rec.llm.responses import Answer as Answer
from r2rec.llm.responses import Body, address, read_answer, request_body, write_answer
from r2rec.llm.transport import bounded_client

LOCK_POLL_SECONDS = 0.1
DEFAULT_MAX_TOKENS = 4096  # what an answer is taken to have at most, where options set no limit
TEMPLATE_TOKENS = 10_000  # at most, which a server puts around a prompt: its chat template, rules
MAX_ERROR_CHARACTERS = 300
READ_CHARACTERS = 2**16  # of an error, which may be megabytes: others wait while it is read
LONGEST_SECRET = 2**12  # characters
MIN_KEY_CHARACTERS = 8  # a shorter key is a dummy for a local server, and may be any word


def answers(prompts: Sequence[Messages], endpoint: Endpoint, folder: Path) -> list[Answer]:
    """One answer per prompt, in order. What is in `folder` is not asked again.

    Raises:
        R2RecError: There is no key, no such model, no answer after all retries, or the next answer
            might pass the ceiling, on which all answers of the run count. Answers received until
            then are in `folder`.
    """
    by_key: dict[str, Body] = {}
    keys = []  # of each prompt; the same prompt has the same key
    for messages in prompts:
        body = request_body(messages, endpoint)
        key = address(body, endpoint)
        keys.append(key)
        by_key[key] = body
    missing = {}
    stored = {}
    for key, body in by_key.items():
        path = folder / f"{key}.json"
        if path.exists():
            stored[key] = read_answer(path, endpoint)
        else:
            missing[key] = body
    if missing and endpoint.replay:
        raise R2RecError(
            f"{len(missing)} of {len(by_key)} answers are not in {folder}; "
            "replay=false asks the endpoint for them"
        )
    costs = ledger.of(endpoint).answers
    for key, answer in stored.items():
        costs[key] = answer.cost
    if missing:
        asyncio.run(_Asking(endpoint, folder).ask_all(missing))
        for key in missing:
            stored[key] = read_answer(folder / f"{key}.json", endpoint)
    return [stored[key] for key in keys]


class _Asking:
    """Requests in flight: a limited number at once, within the ceiling of the run."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.ledger = ledger.of(endpoint)
        self.reserved = 0.0  # dollars that the requests in flight may cost
        self.failure: Exception | None = None  # the first one
        self.api_key = os.environ.get(endpoint.key, "")
        if not self.api_key:
            raise R2RecError(
                f"no key for {endpoint.model}: set the environment variable {endpoint.key}"
            )

    async def ask_all(self, missing: dict[str, Body]) -> None:
        """Ask for all answers. After a failure, those that are in flight still come in."""
        from tqdm import tqdm

        self.folder.mkdir(parents=True, exist_ok=True)
        queue = iter(missing.items())
        bar = tqdm(total=len(missing), desc=self.endpoint.model, leave=False, disable=None)
        with bar:
            async with self._client() as client:
                workers = []
                for _ in range(min(self.endpoint.concurrency, len(missing))):
                    workers.append(self._work(client, queue, bar))
                await asyncio.gather(*workers)
        if self.failure is not None:
            raise self.failure

    def _client(self) -> Any:
        """openai's client, which does the retries."""
        from openai import AsyncOpenAI

        endpoint = self.endpoint
        try:
            return AsyncOpenAI(
                api_key=self.api_key,
                base_url=endpoint.base_url,
                max_retries=endpoint.retries,
                timeout=endpoint.timeout,
                http_client=bounded_client(endpoint.timeout, read_completion),
            )
        except Exception as error:  # of an impossible address
            raise R2RecError(self._in_one_line(error)) from None

    async def _work(self, client: Any, queue: Iterator[tuple[str, Body]], bar: Any) -> None:
        """Take requests from the queue until it is empty or one has failed."""
        for key, body in queue:
            if self.failure is not None:
                return
            try:
                async with self._lock(key):
                    await self._obtain(client, key, body)
            except Exception as error:  # raised by `ask_all`, when nothing is in flight any more
                if self.failure is None:
                    self.failure = error
            bar.update()

    @asynccontextmanager
    async def _lock(self, key: str) -> AsyncIterator[None]:
        """Hold the lock file of a question: one process at a time asks it."""
        from filelock import FileLock, Timeout

        path = self.folder / f"{key}.lock"
        lock = FileLock(path)
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if self.failure is not None:
                    raise self.failure from None
                await asyncio.sleep(LOCK_POLL_SECONDS)
        try:
            yield
            path.unlink(missing_ok=True)  # whoever waits for it, or makes it anew, finds the answer
        finally:
            lock.release()

    async def _obtain(self, client: Any, key: str, body: Body) -> None:
        """Store the answer, unless another process has done so by now."""
        path = self.folder / f"{key}.json"
        if path.exists():
            self.ledger.answers[key] = read_answer(path, self.endpoint).cost
            return
        most = max(self._highest_cost(body), self.ledger.dearest)
        spent = self.ledger.spent
        if spent + self.reserved + most > self.endpoint.ceiling:
            raise R2RecError(
                f"{self.endpoint.model}: ${spent:.4f} are spent, and the next answer may pass the "
                f"ceiling of ${self.endpoint.ceiling:g}; raise it to go on from the stored answers"
            )
        self.reserved += most
        try:
            answer = await self._ask(client, body)
        finally:
            self.reserved -= most
        self.ledger.answers[key] = answer.cost
        write_answer(path, body, answer)

    async def _ask(self, client: Any, body: Body) -> Answer:
        """The answer to one request, after up to `retries` retries by the client."""
        import openai

        try:
            reply = await client.chat.completions.with_raw_response.create(**body)
            completion = read_completion(reply.http_response.content)
        except (openai.OpenAIError, ValueError, TypeError) as error:
            raise R2RecError(self._in_one_line(error)) from None
        prompt_tokens = believed(completion.prompt_tokens, _prompt(body), TEMPLATE_TOKENS)
        hidden_tokens = _max_tokens(body)  # of a thought that the server keeps to itself
        completion_tokens = believed(completion.completion_tokens, completion.text, hidden_tokens)
        return Answer(
            self._without_key(completion.text),
            prompt_tokens,
            completion_tokens,
            self._cost(prompt_tokens, completion_tokens),
        )

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        endpoint = self.endpoint
        millionths = prompt_tokens * endpoint.dollars_in + completion_tokens * endpoint.dollars_out
        return millionths / 1e6

    def _highest_cost(self, body: Body) -> float:
        """What an answer may cost at most, in US dollars."""
        return self._cost(estimated_tokens(_prompt(body)), _max_tokens(body))

    def _without_key(self, text: str) -> str:
        """A text of the server without our key, and without whatever else looks like a secret."""
        if len(self.api_key) >= MIN_KEY_CHARACTERS:
            text = text.replace(self.api_key, "(hidden)")
        return hidden(text)

    def _in_one_line(self, error: Exception) -> str:
        """What went wrong, where, and how often: printable, and without the key."""
        whole = _reason(error)
        reason = self._without_key(whole[:READ_CHARACTERS])
        if len(whole) > READ_CHARACTERS:
            reason = reason[:-LONGEST_SECRET]  # the cut may have left the beginning of a key
        line = one_line(reason)[:MAX_ERROR_CHARACTERS]
        where = self.endpoint.base_url or "OpenAI"
        text = f"{self.endpoint.model} at {where}: {line}"
        tries = _tries(error)
        if tries > 1:
            text += f", {tries} times in a row; start again to go on from the stored answers"
        return hidden(text)


def _prompt(body: Body) -> str:
    """The texts of a conversation, for its tokens to be counted."""
    return "".join(message["content"] for message in body["messages"])


def _max_tokens(body: Body) -> int:
    """How many tokens an answer may have."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit if isinstance(limit, int) and limit > 0 else DEFAULT_MAX_TOKENS


def _reason(error: Exception) -> str:
    """The message of an error of openai's client, with what it leaves out."""
    reason = str(error) or type(error).__name__
    response = getattr(error, "response", None)
    if response is not None and reason == f"Error code: {response.status_code}":
        return f"{reason} - {response.text}"  # a form that the client does not know
    cause = str(error.__cause__ or "")
    if response is None and cause:
        return f"{reason.rstrip('.')}: {cause}"
    return reason


def _tries(error: Exception) -> int:
    """How often the request was sent, which openai's client counts in a header; 1 where unknown."""
    request = getattr(error, "request", None)
    if request is None:
        return 1
    retries = request.headers.get("x-stainless-retry-count", "0")
    if not retries.isdecimal():
        return 1
    return int(retries) + 1
