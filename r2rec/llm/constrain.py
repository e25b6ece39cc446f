"""Constrained answers: which tokens may follow, so that "Ranking: B > A > C" names each label once.

The thought is free, and so is everything before the marker. After it, only the choice of the next
label is left.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from r2rec.llm.turns import end_token
from r2rec.prompts.answer import split_thought
from r2rec.prompts.cases import LABELS

if TYPE_CHECKING:
    from torch import Tensor

LogitsProcessor = Callable[["Tensor", "Tensor"], "Tensor"]  # (ids, scores) -> scores

MARKER = re.compile(r"^[\s*_#]*ranking:", re.IGNORECASE | re.MULTILINE)  # "Ranking:", "**ranking:"
LIST_TEXT = re.compile(r"[ >A-Z]+")  # " B", " > A >"
FRAME = " ? >"  # what repeats in a list " B > A > C"; a label takes the place of each "?"
PERIOD = len(FRAME)  # characters from one label to the next
LABEL_AT = FRAME.index("?")


def answer_tail(text: str, reasoned: bool) -> str | None:
    """What a completion has after the marker of its answer; None before the marker."""
    tail = split_thought(text, reasoned)[1]
    marker = MARKER.search(tail)
    if marker is None:
        return None
    return tail[marker.end() :]


def begins(text: str, n: int) -> bool:
    """Whether a list of the first `n` labels, each once, can begin with `text`."""
    if len(text) > _list_length(n):
        return False
    named = _labels_in(text, 0)
    return named is not None and named <= set(LABELS[:n])


def _list_length(n: int) -> int:
    """Characters of a complete list of `n` labels, for example 10 of " B > A > C"."""
    return PERIOD * n - 2


def _labels_in(text: str, start: int) -> set[str] | None:
    """What stands in the places of labels, if `text` starts at `start` in a list.

    None: something is named twice, or a character between labels is wrong.
    """
    named: set[str] = set()
    for position, character in enumerate(text, start):
        place = position % PERIOD
        if place != LABEL_AT:
            if character != FRAME[place]:
                return None
        elif character in named:
            return None
        else:
            named.add(character)
    return named


class Piece(NamedTuple):
    """A token that can stand in a list of labels."""

    id: int
    length: int  # characters
    labels: frozenset[str]


class Grammar:
    """The tokens of a vocabulary as text, for completions that grow token by token."""

    def __init__(self, tokenizer: Any, reasoned: bool) -> None:
        self.reasoned = reasoned
        self.end = end_token(tokenizer)
        self.pieces = _token_texts(tokenizer)
        self.list_pieces = _list_pieces(tokenizer)

    def allowed(self, text: str, n: int) -> list[int] | None:
        """Ids of the tokens that may follow `text`, a completion that ranks `n` candidates.

        None: any token may follow. With nothing left to write, the end of the turn may.
        """
        if n == 0:
            return None
        tail = answer_tail(text, self.reasoned)
        if tail is None:
            return None
        if not begins(tail, n):
            return [self.end]
        unnamed = set(LABELS[:n]).difference(tail[LABEL_AT::PERIOD])
        room = _list_length(n) - len(tail)
        place = len(tail) % PERIOD
        ids = []
        for piece in self.list_pieces[place]:
            if piece.length <= room and piece.labels <= unnamed:
                ids.append(piece.id)
        return ids or [self.end]

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of tokens; those that are not in the vocabulary are left out."""
        return "".join(self.pieces.get(token, "") for token in tokens)


@lru_cache(maxsize=4)
def _token_texts(tokenizer: Any) -> dict[int, str]:
    """Id -> text of each token."""
    # how byte-level BPE (Ġ, Ċ) and SentencePiece (▁) write white space
    white_space = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n"})
    texts = {}
    for token, token_id in tokenizer.get_vocab().items():
        texts[token_id] = token.translate(white_space)
    return texts


@lru_cache(maxsize=4)
def _list_pieces(tokenizer: Any) -> list[list[Piece]]:
    """The tokens that a list is made of, by the place of " ? >" that they can begin at."""
    candidates = []
    for token_id, text in _token_texts(tokenizer).items():
        if LIST_TEXT.fullmatch(text):
            candidates.append((token_id, text))
    by_place = []
    for place in range(PERIOD):
        pieces = []
        for token_id, text in candidates:
            named = _labels_in(text, place)
            if named is not None and named <= set(LABELS):
                pieces.append(Piece(token_id, len(text), frozenset(named)))
        by_place.append(pieces)
    return by_place


def label_processor(
    tokenizer: Any,
    labels: Sequence[int],
    reasoned: bool,
) -> LogitsProcessor:
    """The constraint as a logits processor of transformers' `generate`.

    Args:
        labels: How many candidates each row of the batch ranks.
        reasoned: Whether a thought comes before the answer.
    """
    grammar = Grammar(tokenizer, reasoned)
    texts = [""] * len(labels)
    prompt_seen = False

    def process(ids: "Tensor", scores: "Tensor") -> "Tensor":
        nonlocal prompt_seen
        if prompt_seen:  # the first call sees the prompt alone
            for row, token in enumerate(ids[:, -1].tolist()):
                texts[row] += grammar.text_of([token])
        prompt_seen = True
        allowed = []
        for text, n in zip(texts, labels, strict=True):
            allowed.append(grammar.allowed(text, n))
        return masked(scores, allowed)

    return process


def masked(scores: "Tensor", allowed: Sequence[list[int] | None]) -> "Tensor":
    """Scores [rows, vocabulary] with -inf for all but the allowed tokens of each row; None: all."""
    scores = scores.clone()
    for row, ids in enumerate(allowed):
        if ids is None:
            continue
        kept = scores[row, ids]
        scores[row] = -float("inf")
        scores[row, ids] = kept
    return scores
