"""Prompts as conversations, the same for training, rollouts and ranking."""

from typing import Any

from omegaconf import DictConfig

from r2rec.prompts.answer import render_completion

Messages = list[dict[str, str]]


def ask(prompt: str) -> Messages:
    return [{"role": "user", "content": prompt}]


def reply(thought: str | None, answer: str) -> Messages:
    return [{"role": "assistant", "content": render_completion(thought, answer)}]


def opened(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> str:
    """The conversation up to where the model goes on.

    Templates of R1 style open a thought for the model. Where none is asked for, it is closed at once.
    """
    messages = ask(prompt) if isinstance(prompt, str) else prompt
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text + "\n</think>\n\n" if not reasoning and text.endswith("<think>\n") else text


def encode(tokenizer: Any, prompt: str | Messages, reasoning: bool) -> list[int]:
    """Its token ids."""
    return tokenizer.encode(opened(tokenizer, prompt, reasoning), add_special_tokens=False)


def fits(tokenizer: Any, prompts: list[str], cfg: DictConfig, new_tokens: int) -> list[bool]:
    """Whether each prompt leaves room for `new_tokens` within `model.max_length`: trainers don't check."""
    room = cfg.model.max_length - new_tokens
    return [len(encode(tokenizer, p, cfg.prompt.reasoning)) <= room for p in prompts]
