"""Prompts as conversations, the same for training, rollouts and ranking."""

from functools import lru_cache
from typing import Any

from omegaconf import DictConfig

from r2rec.base.errors import R2RecError
from r2rec.prompts.answer import render_completion

Messages = list[dict[str, str]]
TAGS = ("<think>", "</think>")  # our own words ask for these


def user_turn(prompt: str) -> Messages:
    return [{"role": "user", "content": prompt}]


def assistant_turn(thought: str | None, answer: str) -> Messages:
    return [{"role": "assistant", "content": render_completion(thought, answer)}]


def rendered_conversation(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> str:
    """The conversation up to where the model goes on.

    Templates of R1 style open a thought for the model. Where none is asked for, it is closed at once.

    Raises:
        R2RecError: A text in it would command the model (`spelled`).
    """
    messages = user_turn(prompt) if isinstance(prompt, str) else prompt
    if found := spelled(tokenizer, messages):
        raise R2RecError(
            f"a prompt spells {', '.join(found)}, which this tokenizer takes for a command: "
            "change the title or profile that holds it, or take another model"
        )
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text + "\n</think>\n\n" if not reasoning and text.endswith("<think>\n") else text


def encode(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> list[int]:
    """Its token ids."""
    return tokenizer.encode(
        rendered_conversation(tokenizer, prompt, reasoning), add_special_tokens=False
    )


def spelled(tokenizer: Any, messages: Messages) -> list[str]:
    """Control tokens that texts of a conversation become; [] where its template alone gives commands.

    `render.clean` takes away the marks that nearly all of them are made of; some tokenizers have plain words as well.
    """
    control = _control(tokenizer)
    ids = {i for m in messages for i in tokenizer.encode(m["content"], add_special_tokens=False)}
    return [control[i] for i in sorted(ids & control.keys())]


@lru_cache(maxsize=4)
def _control(tokenizer: Any) -> dict[int, str]:
    """Id -> token that is special, or that the chat template writes."""
    added = {
        i: (token.content, token.special) for i, token in tokenizer.added_tokens_decoder.items()
    }
    template = str(tokenizer.chat_template)
    return {
        i: text
        for i, (text, special) in added.items()
        if text not in TAGS and (special or (text.strip() and text in template))
    }


def fits(tokenizer: Any, prompts: list[str], cfg: DictConfig, new_tokens: int) -> list[bool]:
    """Whether each prompt leaves room for `new_tokens` within `model.max_length`: trainers don't check."""
    room = cfg.model.max_length - new_tokens
    return [len(encode(tokenizer, p, cfg.prompt.reasoning)) <= room for p in prompts]
