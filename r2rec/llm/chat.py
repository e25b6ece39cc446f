"""Prompts as conversations: the same for training, rollouts and ranking."""

from functools import lru_cache
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.prompts.answer import render_completion

Messages = list[dict[str, str]]
THOUGHT_TAGS = ("<think>", "</think>")  # our own prompts and completions contain them on purpose


def user_turn(prompt: str) -> Messages:
    """A conversation that consists of one prompt."""
    return [{"role": "user", "content": prompt}]


def assistant_turn(thought: str | None, answer: str) -> Messages:
    """The reply to it, with the thought before the answer."""
    return [{"role": "assistant", "content": render_completion(thought, answer)}]


def rendered_conversation(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> str:
    """The text of a conversation up to where the model goes on.

    Chat templates in the style of R1 open a thought for the model. Without `reasoning` it is closed
    at once.

    Raises:
        R2RecError: A message contains a control token (see `spelled`).
    """
    if isinstance(prompt, str):
        messages = user_turn(prompt)
    else:
        messages = prompt
    control_tokens = spelled(tokenizer, messages)
    if control_tokens:
        raise R2RecError(
            f"a prompt spells {', '.join(control_tokens)}, which is a control token of this "
            "tokenizer: change the title or profile that contains it, or take another model"
        )
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    if text.endswith("<think>\n") and not reasoning:
        return text + "\n</think>\n\n"
    return text


def encode(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> list[int]:
    """Token ids of `rendered_conversation`."""
    text = rendered_conversation(tokenizer, prompt, reasoning)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def spelled(tokenizer: Any, messages: Messages) -> list[str]:
    """Control tokens that the texts of a conversation turn into; empty for a harmless conversation.

    Only the chat template may give commands. `render.clean` removes the marks that most control
    tokens are made of, but some tokenizers use plain words as well.
    """
    control = _control_tokens(tokenizer)
    ids: set[int] = set()
    for message in messages:
        ids.update(tokenizer.encode(message["content"], add_special_tokens=False))
    return [control[token] for token in sorted(ids & control.keys())]


@lru_cache(maxsize=4)
def _control_tokens(tokenizer: Any) -> dict[int, str]:
    """Id -> text of tokens that are special, or that the chat template writes."""
    template = str(tokenizer.chat_template)
    control = {}
    for token_id, token in tokenizer.added_tokens_decoder.items():
        text = token.content
        in_template = text.strip() and text in template
        if text not in THOUGHT_TAGS and (token.special or in_template):
            control[token_id] = text
    return control


def fits(
    tokenizer: Any,
    prompts: list[str],
    max_length: int,
    new_tokens: int,
    reasoning: bool,
) -> list[bool]:
    """Whether each prompt leaves room for `new_tokens` within `max_length` tokens.

    Trainers do not check this themselves.
    """
    longest = max_length - new_tokens
    return [len(encode(tokenizer, prompt, reasoning)) <= longest for prompt in prompts]
