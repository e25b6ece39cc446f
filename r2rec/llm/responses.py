"""Answers of endpoints on disk, each under the hash of what was asked."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base.errors import R2RecError
from r2rec.base.files import write_json
from r2rec.config import Endpoint
from r2rec.llm.chat import Messages

Body = dict[str, Any]  # of a request


class Answer(NamedTuple):
    """What a model wrote, and what that took."""

    text: (
        str  # the thought of a reasoning model, where the endpoint returns it, comes first, in tags
    )
    prompt_tokens: int
    completion_tokens: int
    cost: float  # US dollars, by the prices of the configuration


def request_body(messages: Messages, endpoint: Endpoint) -> Body:
    """The body of the request for one answer."""
    return {"model": endpoint.model, "messages": messages, **endpoint.options}


def address(body: Body, endpoint: Endpoint) -> str:
    """The name of an answer: 32 hex digits of what is asked, and of whom."""
    text = json.dumps([endpoint.base_url, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_answer(path: Path, body: Body, answer: Answer) -> None:
    """Store an answer with its request, sealed."""
    record = {"request": body, "answer": answer._asdict()}
    write_json(path, record | {"seal": _seal(record)})


def read_answer(path: Path, endpoint: Endpoint) -> Answer:
    """A stored answer.

    Raises:
        R2RecError: The file is damaged, or holds the answer to another request.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        seal = record.pop("seal", None)  # the first answers were stored without one
        if seal is not None and seal != _seal(record):
            raise ValueError("altered")
        if address(record["request"], endpoint) != path.stem:
            raise ValueError("of another request")
        answer = Answer(**record["answer"])
        if not 0 <= answer.cost < float("inf"):
            raise ValueError("without a cost")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise R2RecError(
            f"{path} holds no answer ({type(error).__name__}); delete it to ask again"
        ) from error
    return answer


def _seal(record: dict[str, Any]) -> str:
    """SHA-256 of a request and its answer."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
