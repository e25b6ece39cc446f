"""Chat completions of any OpenAI-compatible endpoint, each paid for once.

An answer is on disk, under the hash of what was asked, before it counts: a killed run asks only for what is missing,
and with `replay` the same folder serves them without a network. Runs share the folder: of several that want an answer
at the same time one asks, and the others wait for it.
"""

import asyncio
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError
from r2rec.base.provenance import hidden
from r2rec.base.store import write_json
from r2rec.llm import ledger
from r2rec.llm.chat import Messages

LONGEST_WAIT = 60.0  # seconds between two tries
LOOK_AGAIN = 0.1  # seconds until an answer that another process asks for is looked for again
PER_TOKEN = 3  # characters of a prompt at least: costs are estimated too high rather than too low


class Answer(NamedTuple):
    text: str  # with what a reasoning model thought, in tags, where the endpoint tells it
    prompt_tokens: int
    completion_tokens: int
    cost: float  # US dollars, by the prices of the configuration


def answers(prompts: Sequence[Messages], spec: DictConfig, folder: Path) -> list[Answer]:
    """One answer per prompt, in order; what `folder` knows is not asked again.

    Args:
        spec: An `Endpoint` of the configuration.

    Raises:
        R2RecError: No key, no such model, no answer after all retries, or the ceiling would be passed by this and
            what the run has had before. What was answered until then stays in `folder`.
    """
    asked = [request(messages, spec) for messages in prompts]
    wanted = {address(body, spec): body for body in asked}
    missing = [key for key in wanted if not (folder / f"{key}.json").exists()]
    if missing and spec.replay:
        raise R2RecError(
            f"{len(missing)} of {len(wanted)} answers are not in {folder}; replay=false asks for them"
        )
    known = {key: _read(folder / f"{key}.json", spec) for key in wanted.keys() - set(missing)}
    ledger.of(spec).answers |= {key: answer.cost for key, answer in known.items()}
    if missing:
        asyncio.run(_Asking(spec, folder).all({key: wanted[key] for key in missing}))
        known |= {key: _read(folder / f"{key}.json", spec) for key in missing}
    return [known[address(body, spec)] for body in asked]


def request(messages: Messages, spec: DictConfig) -> dict[str, Any]:
    """The body of a request."""
    options: Any = OmegaConf.to_container(spec.options, resolve=True)
    return {"model": spec.model, "messages": messages, **options}


def address(body: dict[str, Any], spec: DictConfig) -> str:
    """Where the answer is kept: 32 hex digits of what is asked, and of whom."""
    text = json.dumps([spec.base_url, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _read(path: Path, spec: DictConfig) -> Answer:
    """A kept answer, to the request that its file is named after."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        sealed = told.pop("seal", None)  # answers of before there were seals have none
        if sealed not in (None, _seal(told)) or address(told["request"], spec) != path.stem:
            raise ValueError("altered")
        return Answer(**told["answer"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise R2RecError(
            f"{path} holds no answer ({type(error).__name__}); delete it to ask again"
        ) from error


def _seal(told: dict[str, Any]) -> str:
    """SHA-256 of a request and its answer."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class _Asking:
    """Requests on their way: so many at once, within the ceiling, and all of them waiting when told to."""

    def __init__(self, spec: DictConfig, folder: Path) -> None:
        self.spec, self.folder = spec, folder
        self.ledger, self.reserved = ledger.of(spec), 0.0
        self.not_before = 0.0  # the endpoint said when to come back
        self.answered = 0
        self.stop: R2RecError | None = None
        self.key = os.environ.get(spec.key, "")
        if not self.key:
            raise R2RecError(f"no key for {spec.model}: set the environment variable {spec.key}")

    async def all(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Ask for all; after a fault that ends the run, what is on its way still comes in and is kept."""
        from openai import AsyncOpenAI
        from tqdm import tqdm

        self.folder.mkdir(parents=True, exist_ok=True)
        queue = iter(wanted.items())
        with tqdm(total=len(wanted), desc=self.spec.model, leave=False, disable=None) as bar:
            async with AsyncOpenAI(
                api_key=self.key,
                base_url=self.spec.base_url,
                max_retries=0,
                timeout=self.spec.timeout,
            ) as client:

                async def worker() -> None:
                    for key, body in queue:
                        if self.stop:
                            return
                        try:
                            async with self._alone(key):
                                await self._one(client, key, body)
                        except R2RecError as error:
                            self.stop = self.stop or error
                        bar.update()

                await asyncio.gather(
                    *(worker() for _ in range(min(self.spec.concurrency, len(wanted))))
                )
        if self.stop:
            raise self.stop

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of a question, which is a file for as long as it is asked: of all processes one at a time."""
        from filelock import FileLock, Timeout

        path = self.folder / f"{key}.lock"
        lock = FileLock(path)
        while not lock.is_locked:
            try:
                lock.acquire(blocking=False)
            except Timeout:
                if self.stop:
                    raise self.stop from None
                await asyncio.sleep(LOOK_AGAIN)
        try:
            yield
            path.unlink(
                missing_ok=True
            )  # whoever comes now, by this file or by a new one, finds the answer
        finally:
            lock.release()

    async def _one(self, client: Any, key: str, body: dict[str, Any]) -> None:
        path = self.folder / f"{key}.json"
        if path.exists():  # another process asked since we looked
            self.ledger.answers[key] = _read(path, self.spec).cost
            return
        spent, most = self.ledger.spent, max(self._most(body), self.ledger.dearest)
        if spent + self.reserved + most > self.spec.ceiling:
            raise R2RecError(
                f"{self.spec.model}: ${spent:.4f} are spent, and the next answer may pass the ceiling of "
                f"${self.spec.ceiling:g}; raise it to go on from the answers that are kept"
            )
        self.reserved += most
        try:
            answer = await self._insist(client, body)
        finally:
            self.reserved -= most
        self.ledger.answers[key] = answer.cost
        self.answered += 1
        told = {"request": body, "answer": answer._asdict()}
        write_json(path, told | {"seal": _seal(told)})

    async def _insist(self, client: Any, body: dict[str, Any]) -> Answer:
        """The answer, after as many tries as it takes, up to `retries` more than one."""
        import openai

        for attempt in range(self.spec.retries + 1):
            await asyncio.sleep(max(0.0, self.not_before - time.monotonic()))
            wait = min(LONGEST_WAIT, 2.0**attempt * self.spec.backoff) * random.uniform(0.5, 1.0)
            try:
                async with asyncio.timeout(self.spec.timeout):
                    reply = await client.chat.completions.with_raw_response.create(**body)
                    return self._answer(json.loads(reply.http_response.content))
            except (
                openai.RateLimitError,
                openai.InternalServerError,
                openai.ConflictError,
            ) as error:
                last = self._plain(error)
                if getattr(error, "code", None) == "insufficient_quota":
                    raise R2RecError(last) from None
                if told := _seconds(error.response.headers.get("retry-after")):
                    self.not_before = max(
                        self.not_before, time.monotonic() + min(told, LONGEST_WAIT)
                    )
            except openai.APIStatusError as error:
                raise R2RecError(self._plain(error)) from None
            except (
                openai.APIConnectionError,
                TimeoutError,
                ValueError,
                LookupError,
                TypeError,
            ) as error:
                last = self._plain(error)
            if self.stop or (attempt and not self.answered and "Connection" in last):
                break
            if attempt < self.spec.retries:
                await asyncio.sleep(wait)
        raise R2RecError(
            f"{last}, {attempt + 1} times in a row; start again to go on from the answers that are kept"
        )

    def _answer(self, body: Any) -> Answer:
        """What a response says; LookupError, TypeError or ValueError where it is none."""
        message, usage = body["choices"][0]["message"], body.get("usage") or {}
        thought = message.get("reasoning_content") or message.get("reasoning")
        text = str(message["content"] or "")
        spent = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
        cost = (spent[0] * self.spec.dollars_in + spent[1] * self.spec.dollars_out) / 1e6
        return Answer(f"<think>\n{thought}\n</think>\n{text}" if thought else text, *spent, cost)

    def _most(self, body: dict[str, Any]) -> float:
        """What an answer can cost."""
        characters = sum(len(m["content"]) for m in body["messages"])
        longest = body.get("max_completion_tokens") or body.get("max_tokens") or 4096
        return (
            characters / PER_TOKEN * self.spec.dollars_in + longest * self.spec.dollars_out
        ) / 1e6

    def _plain(self, error: Exception) -> str:
        """An error in one line, without the key."""
        where = self.spec.base_url or "OpenAI"
        said = str(getattr(error, "message", "")) or str(error) or type(error).__name__
        if (
            said.startswith("Error code")
            and (reply := getattr(error, "response", None)) is not None
        ):
            said = f"{said}, {reply.text}"  # in a form that the client doesn't know, as of servers other than OpenAI's
        said = " ".join(said.split())[:300]
        return hidden(f"{self.spec.model} at {where}: {said}".replace(self.key, "***"))


def _seconds(header: str | None) -> float:
    """Seconds of a Retry-After header; 0 where there is none, or a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
