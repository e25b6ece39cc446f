"""Answers that can only name each candidate once: which tokens may follow in "Ranking: B > A > C".

The thought is free, and so is all before the marker; from there on only the choice of the next label is left.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from r2rec.prompts.answer import split_thought
from r2rec.prompts.cases import LABELS

_MARKER = re.compile(r"^[\s*_#]*ranking:", re.IGNORECASE | re.MULTILINE)
_FRAME = " ? >"  # " B > A > C": a label in the place of each "?"


def answer_tail(text: str, reasoned: bool) -> str | None:
    """What a completion has after the marker of its answer; None before that."""
    tail = split_thought(text, reasoned)[1]
    marker = _MARKER.search(tail)
    return tail[marker.end() :] if marker else None


def begins(text: str, n: int) -> bool:
    """Whether a list of the first n labels, each once, can begin so."""
    named = text[1::4]
    return (
        _framed(text)
        and len(text) <= 4 * n - 2
        and len(set(named)) == len(named)
        and set(named) <= set(LABELS[:n])
    )


def _framed(text: str, start: int = 0) -> bool:
    """Whether a text has what stands between the labels in its place, if it begins at `start` of a list."""
    return all(c == _FRAME[i % 4] for i, c in enumerate(text, start) if i % 4 != 1)


class Piece(NamedTuple):
    """A token's text, where it can stand in a list of labels."""

    id: int
    long: int
    labels: frozenset[str]


class Grammar:
    """The tokens of a vocabulary, read as text, for completions that are extended token by token."""

    def __init__(self, tokenizer: Any, reasoned: bool) -> None:
        self.reasoned, self.end = reasoned, tokenizer.eos_token_id
        self.pieces, self.fitting = _vocabulary(tokenizer)

    def allowed(self, text: str, n: int) -> list[int] | None:
        """Ids of the tokens that may follow in a completion that ranks n candidates; None: any."""
        tail = answer_tail(text, self.reasoned) if n else None
        if tail is None:
            return None
        left, room = set(LABELS[:n]).difference(tail[1::4]), 4 * n - 2 - len(tail)
        fit = self.fitting[len(tail) % 4] if begins(tail, n) else ()
        return [piece.id for piece in fit if piece.long <= room and piece.labels <= left] or [
            self.end
        ]


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Any) -> tuple[dict[int, str], list[list[Piece]]]:
    """Id -> text; and the tokens that a list of labels is made of, by where in " A >" they can begin."""
    space = str.maketrans(
        {"Ġ": " ", "▁": " ", "Ċ": "\n"}
    )  # how byte-level BPE and SentencePiece write them
    pieces = {i: token.translate(space) for token, i in tokenizer.get_vocab().items()}
    made = [(i, piece) for i, piece in pieces.items() if re.fullmatch(r"[ >A-Z]+", piece)]
    fitting: list[list[Piece]] = [[], [], [], []]
    for start, fit in enumerate(fitting):
        for i, piece in made:
            named = piece[(1 - start) % 4 :: 4]
            if (
                _framed(piece, start)
                and len(set(named)) == len(named)
                and set(named) <= set(LABELS)
            ):
                fit.append(Piece(i, len(piece), frozenset(named)))
    return pieces, fitting


def processor(tokenizer: Any, labels: list[int], reasoned: bool) -> Any:
    """The rules as a logits processor of transformers' generate, for rows that rank so many candidates each."""
    import torch

    grammar = Grammar(tokenizer, reasoned)
    texts = [""] * len(labels)
    started = False

    def mask(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        nonlocal started
        if started:  # the first call sees the prompt alone
            for row, token in enumerate(ids[:, -1].tolist()):
                texts[row] += grammar.pieces.get(token, "")
        started = True
        return masked(
            scores, [grammar.allowed(text, n) for text, n in zip(texts, labels, strict=True)]
        )

    return mask


def masked(scores: Any, allowed: list[list[int] | None]) -> Any:
    """Scores [rows, vocabulary] with all but the allowed tokens of each row at -inf."""
    scores = scores.clone()
    for row, ids in enumerate(allowed):
        if ids is not None:
            kept = scores[row, ids]
            scores[row] = -float("inf")
            scores[row, ids] = kept
    return scores
