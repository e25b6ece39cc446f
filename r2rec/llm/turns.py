"""A model's own turn: what it learns to write there, at which tokens it ends, and how it is read.

Training continues exactly the text that rollouts and ranking continue
(`chat.rendered_conversation`). What the chat template makes of a reply is taken where it goes on
from there and keeps the thought; else the reply is written here. The templates of R1's
distillations drop thoughts, and open one of their own for the model.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from r2rec.llm import chat
from r2rec.prompts.answer import render_completion, split_thought
from r2rec.prompts.dialects import THOUGHT_TOKENS, in_dialect, own_turn

SAMPLE = "Reply"  # stands for a reply, to see what a template puts around it


class Learnt(NamedTuple):
    """Token ids of a conversation that is trained on."""

    prompt: list[int]
    reply: list[int]  # up to the end of the turn


def learnt(tokenizer: Any, prompt: str, thought: str | None, answer: str) -> Learnt:
    """A prompt, and the turn that a model learns to write after it.

    Raises:
        R2RecError: The prompt contains a control token, or the template refuses it.
    """
    text = chat.rendered_conversation(tokenizer, prompt, reasoning=thought is not None)
    turn = reply(tokenizer, prompt, text, thought, answer)
    before = _encode(tokenizer, text)
    whole = _encode(tokenizer, text + turn)
    if whole[: len(before)] == before:
        return Learnt(before, whole[len(before) :])
    return Learnt(before, _encode(tokenizer, turn))  # a token would span both


def reply(tokenizer: Any, prompt: str, text: str, thought: str | None, answer: str) -> str:
    """What follows `text`, the rendered prompt, up to the end of the turn."""
    marks = chat.dialect(tokenizer)
    for message in _messages(thought, answer):
        conversation = [*chat.user_turn(prompt), message]
        whole = chat.templated(tokenizer, conversation, reasoning=thought is not None)
        turn = whole.removeprefix(text)
        ends = turn.rstrip().endswith(turn_end(tokenizer).rstrip())
        marked = thought is None or marks.closing.strip() in turn
        if turn != whole and ends and marked and says(turn, thought, answer):
            return turn
    turn = in_dialect(render_completion(thought, answer), marks)
    if thought is not None and chat.opens_thought(text, marks):
        turn = turn.removeprefix(marks.opening)
    return turn + turn_end(tokenizer)


def _messages(thought: str | None, answer: str) -> list[dict[str, str]]:
    """The ways in which templates take a reply: the thought apart, or within the content."""
    within = chat.assistant_turn(thought, answer)[0]
    if thought is None:
        return [within]
    apart = {"role": "assistant", "content": answer}
    names = ("reasoning_content", "thinking", "reasoning")
    return [{**apart, **dict.fromkeys(names, thought)}, within]


def says(turn: str, thought: str | None, answer: str) -> bool:
    """Whether a turn, as it is read, consists of this thought and this answer."""
    read_thought, tail = split_thought(turn, reasoned=thought is not None)
    return (read_thought or "").strip() == (thought or "").strip() and (
        tail.strip() == answer.strip()
    )


def turn_end(tokenizer: Any) -> str:
    """What the chat template writes after a reply; the end-of-text token where that is nothing."""
    return _turn_end(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=4)
def _turn_end(tokenizer: Any, template: str) -> str:
    question = chat.user_turn(SAMPLE)
    conversation = [*question, {"role": "assistant", "content": SAMPLE}]
    end = chat.templated(tokenizer, conversation, reasoning=False).rpartition(SAMPLE)[2]
    unasked = chat.templated(tokenizer, question, reasoning=False)
    asked = chat.templated(tokenizer, question, reasoning=False, begin=True)
    opening = asked.rpartition(SAMPLE)[2]
    if asked == unasked and end.endswith(opening):  # it always opens another turn
        end = end.removesuffix(opening)
    if end.strip():
        return end
    return str(tokenizer.eos_token)


def end_token(tokenizer: Any) -> int:
    """The token that a model learns to end its turn with."""
    added = tokenizer.added_tokens_decoder
    for token in _encode(tokenizer, turn_end(tokenizer)):
        if token in added:
            return token
    eos: int = tokenizer.eos_token_id
    return eos


def end_tokens(tokenizer: Any, generation_config: Any = None) -> list[int]:
    """Every token that ends a turn, the one that is learnt first.

    That is also the tokenizer's end of text, and all that the generation config names.
    """
    named = getattr(generation_config, "eos_token_id", None)
    if isinstance(named, int):
        named = [named]
    ends = [end_token(tokenizer), tokenizer.eos_token_id, *(named or [])]
    return list(dict.fromkeys(ends))


def text_of(tokenizer: Any, ids: Sequence[int], ends: Sequence[int]) -> str:
    """Generated tokens as text, up to the first that ends the turn.

    Special tokens are left out, save those that say where a thought is: it then stands in `<think>`
    and `</think>`, whatever the model writes itself.
    """
    kept = []
    special = _special(tokenizer)
    for token in ids:
        if token in ends:
            break
        if token not in special:
            kept.append(token)
    text: str = tokenizer.decode(kept, skip_special_tokens=False)
    return own_turn(text)


def length_of(ids: Sequence[int], ends: Sequence[int]) -> int:
    """How many of the generated tokens belong to the turn, the first that ends it included."""
    for index, token in enumerate(ids):
        if token in ends:
            return index + 1
    return len(ids)


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a text that `text_of` has read, as the model writes them."""
    return _encode(tokenizer, in_dialect(text, chat.dialect(tokenizer)))


def expected_tokens(tokenizer: Any, text: str) -> list[int]:
    """The tokens of a whole turn that may be written; none for an empty text."""
    if not text:
        return []
    return [*tokens_of(tokenizer, text), end_token(tokenizer)]


def cleaned(tokenizer: Any, text: str) -> str:
    """As `text_of`, of a text that an engine has decoded with its special tokens."""
    text = own_turn(text)
    for special in _special(tokenizer).values():
        text = text.replace(special, "")
    return text


@lru_cache(maxsize=4)
def _special(tokenizer: Any) -> dict[int, str]:
    """Id -> text of special tokens that say nothing about a thought."""
    special = {}
    for token_id, token in tokenizer.added_tokens_decoder.items():
        if token.special and token.content not in THOUGHT_TOKENS:
            special[token_id] = token.content
    return special


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
