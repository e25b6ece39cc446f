"""How families of models mark a thought in their turn; inside this project it is `<think>`.

DeepSeek-R1, Qwen3 and SmolLM3 write `<think>`, gpt-oss and Gemma 4 channels, Magistral `[THINK]`.
What they write is read as if all wrote `<think>`, and what they learn is written in their own way.
"""

import re
from typing import NamedTuple

OPEN = "<think>"
CLOSE = "</think>"


class Dialect(NamedTuple):
    """What stands around a thought, and before an answer without one."""

    opening: str
    closing: str
    plain: str = ""


TAGS = Dialect(f"{OPEN}\n", f"\n{CLOSE}\n")
# A template belongs to the first dialect whose opening or closing it writes.
DIALECTS = (
    Dialect(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        plain="<|channel|>final<|message|>",
    ),
    Dialect("<|channel>thought\n", "\n<channel|>"),
    Dialect("[THINK]", "[/THINK]"),
    TAGS,
)
THOUGHT_TOKENS = (
    *(OPEN, CLOSE),
    *("<|channel|>", "<|message|>", "<|start|>", "<|end|>"),
    *("<|channel>", "<channel|>"),
    *("[THINK]", "[/THINK]"),
)
"""Tokens that say where a thought is: some tokenizers call them special, and would drop them."""

# gpt-oss as it reads once its tokenizer has dropped special tokens
_BARE_CHANNELS = re.compile(r"\Aanalysis(?P<thought>.*?)assistantfinal", re.DOTALL)

_BEGINS = re.compile(
    r"(?:\s*+(?:<s>|<bos>|<\|begin_of_text\|>|<｜begin▁of▁sentence｜>|<\|assistant\|>|<｜Assistant｜>"
    r"|<\|start_header_id\|>assistant<\|end_header_id\|>"
    r"|(?:<\|im_start\|>|<\|start\|>)assistant\b|(?:<start_of_turn>|<\|turn>)model\b))++\s*+"
)
_NAMES = (
    "im_start im_end start end user assistant system endoftext end_of_text end_of_turn eot eot_id "
    "eom_id return call observation start_header_id begin_of_text User Assistant begin▁of▁sentence "
    "end▁of▁sentence START_OF_TURN_TOKEN END_OF_TURN_TOKEN"
).split()
_ENDS = re.compile(  # where another turn begins, or this one ends
    rf"<[|｜](?:{'|'.join(_NAMES)})[|｜]>|<(?:start|end)_of_turn>|</?s>|<eos>|<bos>"
    r"|<\|turn>|<turn\|>|\[/?INST\]"
)
_ROLE = re.compile(r"^[ \t*#_]*+(?:user|human)[*_]*+[ \t]*+:", re.IGNORECASE | re.MULTILINE)


def dialect_of(template: str) -> Dialect:
    """The dialect of a chat template's text."""
    for dialect in DIALECTS:
        for mark in (dialect.opening, dialect.closing):
            if mark.strip() in template:
                return dialect
    return TAGS


def own_turn(text: str) -> str:
    """A completion up to the end of its turn, its thought in `<think>` and `</think>`.

    What follows is a turn that the model has invented. Marks that open the turn are left out.
    """
    bare = _BARE_CHANNELS.match(text)
    if bare:
        text = f"{TAGS.opening}{bare['thought']}{TAGS.closing}{text[bare.end() :]}"
    for opening, closing, plain in DIALECTS[:-1]:
        if opening.strip() in text or closing.strip() in text:
            text = text.replace(closing, TAGS.closing).replace(closing.strip(), CLOSE)
            text = text.replace(opening, TAGS.opening).replace(opening.strip(), OPEN)
        if plain:
            text = text.replace(plain, "")
    begin = _BEGINS.match(text)
    start = begin.end() if begin else 0
    end = _ENDS.search(text, start)
    return text[start : end.start() if end else len(text)]


def in_dialect(text: str, dialect: Dialect) -> str:
    """A completion with `<think>` as models of a dialect write it: what `own_turn` reads back."""
    if text.startswith(TAGS.opening):
        text = dialect.opening + text.removeprefix(TAGS.opening)
    thought, closing, answer = text.rpartition(TAGS.closing)
    if not closing:
        return text
    return thought + dialect.closing + answer


def spoken_parts(text: str) -> list[str]:
    """A text split before "User:" and "Human:" at the start of lines: turns in plain text."""
    return _ROLE.split(text)
