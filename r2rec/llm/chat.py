"""Prompts as conversations: the same for training, rollouts and ranking."""

from functools import lru_cache
from typing import Any

from r2rec.base.errors import R2RecError, one_line
from r2rec.base.limits import TEXT, OutOfBoundsError, limited
from r2rec.prompts.answer import render_completion
from r2rec.prompts.dialects import CLOSE, OPEN, TAGS, Dialect, dialect_of

Messages = list[dict[str, str]]
THOUGHT_TAGS = (OPEN, CLOSE)  # our own prompts and completions contain them on purpose
TODAY = (
    "{%- macro strftime_now(form) -%}{%- if '%B' in form -%}26 July 2024{%- elif '%b' in form -%}"
    "26 Jul 2024{%- else -%}2024-07-26{%- endif -%}{%- endmacro -%}"
)
"""What templates that tell the date call today (Llama 3's own default), as a macro of theirs."""


def user_turn(prompt: str) -> Messages:
    """A conversation that consists of one prompt."""
    return [{"role": "user", "content": prompt}]


def assistant_turn(thought: str | None, answer: str) -> Messages:
    """The reply to it, with the thought before the answer."""
    return [{"role": "assistant", "content": render_completion(thought, answer)}]


def templated(tokenizer: Any, messages: Messages, reasoning: bool, *, begin: bool = False) -> str:
    """The text that the chat template makes of a conversation, the same on every day.

    Templates that refuse a system message get it as the beginning of the user's turn.

    Args:
        reasoning: Whether the model is to think, for templates that can be told
            (`enable_thinking`: Qwen3, SmolLM3).
        begin: End where the model's turn begins.

    Raises:
        R2RecError: The template refuses the conversation, or takes more than `base.limits` allows.
    """
    template = tokenizer.chat_template
    if "strftime_now" in template and isinstance(template, str):
        template = TODAY + template
    try:
        with limited():
            text: str = tokenizer.apply_chat_template(
                messages,
                chat_template=template if isinstance(template, str) else None,
                tokenize=False,
                add_generation_prompt=begin,
                enable_thinking=reasoning,
            )
        if len(text) > TEXT:
            raise OutOfBoundsError(f"it makes a text of more than {TEXT:,} characters")
    except Exception as error:  # a template is a program of others
        has_system = len(messages) > 1 and messages[0]["role"] == "system"
        if has_system and not isinstance(error, OutOfBoundsError):
            return templated(tokenizer, _without_system(messages), reasoning, begin=begin)
        roles = ", ".join(message["role"] for message in messages)
        reason = one_line(error)[:200]
        raise R2RecError(
            f"the model's chat template refuses a conversation ({roles}): {reason}; "
            "name another template with model.chat_template=FILE"
        ) from error
    return text


def _without_system(messages: Messages) -> Messages:
    """The conversation with its system message at the beginning of the next turn."""
    system, following, *others = messages
    content = f"{system['content']}\n\n{following['content']}"
    return [{**following, "content": content}, *others]


def dialect(tokenizer: Any) -> Dialect:
    """How the tokenizer's chat template marks thoughts."""
    return dialect_of(str(tokenizer.chat_template))


def rendered_conversation(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> str:
    """The text of a conversation up to where the model goes on.

    Chat templates in the style of R1 open a thought for the model. Without `reasoning` it is closed
    at once, and where answers have a channel, it is opened.

    Raises:
        R2RecError: A message contains a control token (see `spelled`), or the template refuses it
            or lets the model think nothing.
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
    text = templated(tokenizer, messages, reasoning, begin=True)
    marks = dialect(tokenizer)
    if reasoning:
        if closes_thought(text, marks):
            raise R2RecError(
                "the model's chat template closes the thought before the model can write one: "
                "use prompt=no_reasoning, or another template with model.chat_template=FILE"
            )
        return text
    if opens_thought(text, marks):
        return text + (f"{marks.closing}\n" if marks == TAGS else marks.closing)
    if marks.plain and not text.endswith(marks.plain):
        return text + marks.plain
    return text


def opens_thought(text: str, marks: Dialect) -> bool:
    """Whether a rendered conversation ends in an opened thought."""
    return text.rstrip().endswith(marks.opening.strip())


def closes_thought(text: str, marks: Dialect) -> bool:
    """Whether a rendered conversation ends in a thought that is over."""
    return text.rstrip().endswith(marks.closing.strip())


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
