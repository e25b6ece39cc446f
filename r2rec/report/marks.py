"""Marks at the steps of a thought: right or wrong, what the prompt has, and where it stands."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from r2rec.prompts.cases import LABELS
from r2rec.report.links import Link
from r2rec.thoughts.judged import JudgedStep, Judgement

WHY = {  # kind of an answer (`judgements.KINDS`) -> in a word or two
    "hits_faithful": "faithful",
    "hits_by_luck": "by luck",
    "misses_by_misreading": "misread",
    "misses_by_judgement": "misjudged",
}
_LABEL = re.compile(r"\b[A-Z]\b")
_CHAIN = re.compile(r"c(\d+)(-\d)?")  # a chain, or a hop of one


class Mark(NamedTuple):
    """How the claims of a step were judged."""

    verdict: str  # "right", "wrong" or "unread"
    pieces: Sequence["MarkedPiece"]  # together they are the step


class MarkedPiece(NamedTuple):
    """A part of a step."""

    text: str
    truth: str | None  # what the prompt has in its place, "" for nothing; None: it is right
    target: str  # where on the page it is told; "": nowhere


def marks(
    steps: Sequence[str],
    links: Sequence[Sequence[Link]],
    judgement: Judgement,
    in_full: Sequence[int],
) -> list[Mark]:
    """The marks of the steps that are shown; one that was cut is marked as a whole.

    Args:
        links: Of each step.
        in_full: The candidates that evidence chains lead to, by number of the chain.
    """
    found = []
    for index, (step, of_step) in enumerate(zip(steps, links, strict=True)):
        if index >= len(judgement.steps):
            found.append(Mark("unread", [MarkedPiece(step, None, "")]))
            continue
        judged = judgement.steps[index]
        verdict = "unread"
        if judged.wrong:
            verdict = "wrong"
        elif judged.right:
            verdict = "right"
        pieces = [MarkedPiece(step, None, "")]
        if judged.text == step:
            pieces = _pieces(judged, of_step, in_full)
        found.append(Mark(verdict, pieces))
    return found


def claims_text(judgement: Judgement) -> str:
    """How many claims are right: "7 of 8 claims right, 1 step cannot be read"."""
    total = judgement.right + judgement.wrong
    told = []
    if total:
        told.append(f"{judgement.right} of {total} claim{'s' if total > 1 else ''} right")
    if judgement.unread:
        steps = "1 step" if judgement.unread == 1 else f"{judgement.unread} steps"
        told.append(f"{steps} that cannot be checked")
    return ", ".join(told)


def _pieces(judged: JudgedStep, links: Sequence[Link], in_full: Sequence[int]) -> list[MarkedPiece]:
    pieces = []
    before = ""
    for text, truth in judged.pieces:
        target = "" if truth is None else _target(before, links, in_full)
        pieces.append(MarkedPiece(text, truth, target))
        before += text
    return pieces


def _target(before: str, links: Sequence[Link], in_full: Sequence[int]) -> str:
    """Where the page tells what a piece should say: the chain that its step reads.

    Where a step compares several, it is that of the candidate named last before the piece.
    """
    targets = [target for _, target in links]
    chains: dict[int, str] = {}  # number -> its first target
    for target in targets:
        if match := _CHAIN.fullmatch(target):
            chains.setdefault(int(match[1]), target)
    if len(chains) > 1:
        for label in reversed(_LABEL.findall(before)):
            index = LABELS.index(label)
            number = in_full.index(index) + 1 if index in in_full else 0
            if number in chains:
                return chains[number]
            if f"k{label}" in targets:
                return f"k{label}"
    return next(iter([*chains.values(), *targets]), "")
