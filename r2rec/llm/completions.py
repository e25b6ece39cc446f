"""Reading a server's reply: nothing in it is trusted to have the right type, size or sign."""

import json
import math
from typing import Any, NamedTuple

BYTES_PER_TOKEN = 3  # of UTF-8, at least: where tokens are estimated, costs come out too high
MOST_BYTES_PER_TOKEN = 16  # of a text on average: a lower count is no count


class Completion(NamedTuple):
    """A chat completion."""

    text: str  # without lone surrogates, which no file could store
    prompt_tokens: int | None  # as the server counts; None: not a positive whole number
    completion_tokens: int | None


def read_completion(content: bytes) -> Completion:
    """The completion in the body of a reply.

    Raises:
        ValueError: There is none; in one line.
    """
    try:
        reply = json.loads(content)
        message = reply["choices"][0]["message"]
        text = message["content"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        kind = type(error).__name__
        raise ValueError(f"the reply is not a chat completion ({kind})") from None
    if text is None:
        text = ""
    if not isinstance(text, str) or not isinstance(message, dict):
        raise ValueError("the reply is not a chat completion (its content is not text)")
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(thought, str) and thought:
        text = f"<think>\n{thought}\n</think>\n{text}"
    usage = reply.get("usage")
    return Completion(
        text.encode(errors="replace").decode(),
        _token_count(usage, "prompt_tokens"),
        _token_count(usage, "completion_tokens"),
    )


def estimated_tokens(text: str) -> int:
    """Tokens of a text: rather too many than too few, and at least one."""
    return max(1, math.ceil(len(text.encode(errors="replace")) / BYTES_PER_TOKEN))


def believed(count: int | None, text: str, unseen: int) -> int:
    """A server's count of the tokens of a text, or our estimate where it cannot be true.

    Args:
        unseen: Tokens that there may be beside the text.
    """
    size = len(text.encode(errors="replace"))
    if count is not None and size / MOST_BYTES_PER_TOKEN <= count <= size + unseen:
        return count
    return estimated_tokens(text)


def _token_count(usage: Any, name: str) -> int | None:
    """A whole number from 1 on; None for anything else that a server may send."""
    if not isinstance(usage, dict):
        return None
    count = usage.get(name)
    if isinstance(count, bool) or not isinstance(count, int | float):
        return None
    if not 1 <= count < math.inf or count != int(count):
        return None
    return int(count)
