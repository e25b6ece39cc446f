"""Statements in the template teacher's form: whatever is said in it must be the case's own.

Data texts may read like anything, so a statement is held against the case word for word, from its start on, before
any rule reads it.
"""

import re
from collections.abc import Iterable
from string import Formatter
from typing import NamedTuple

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts import evidence
from r2rec.thoughts.template import AGREES, VERDICT

SENTENCES = {  # by stage: a statement rests on those of earlier stages
    RatingCase: (
        "{item1} {liked} by the user ({rating1}).",
        "Neighbour {n} gave it {rating2} and {agreed}, so their taste is {guide}.",
        "Neighbour {n} gave {item2} a {rating3}; it shares {shared} with the first.",
    ),
    RankingCase: (
        "The user lately liked {counts1}.",
        "Chain {n}: {item1} {liked} ({rating1}), neighbour {agreed} ({rating2}); then {item2}, neighbour {end}.",
        "Tastes: {counts2}.",
        "Candidates: {met}.",
        "{strongest}: {best}.",
        "{strongest}: {best}, {rest}.",
    ),
}

Facts = dict[str, dict[str, str]]
"""Slot -> what may stand in it, one or more with commas between, -> what the rules read there instead."""


class Statement(NamedTuple):
    stage: int
    plain: str | None  # what the rules read instead; None: it is not what the case says


def mark(place: int, is_title: int = 0) -> str:
    """The private character that stands for a data text first read at a place (`reading.places`)."""
    return chr(0xF0000 + 2 * place + is_title)


def statement(step: str, case: RankingCase | RatingCase, known: list[Facts]) -> Statement | None:
    """What a step states in the template's form, if it has that form."""
    for stage, sentence in enumerate(SENTENCES[type(case)]):
        for facts in known:
            if (plain := _stated(step, sentence, facts)) is not None:
                return Statement(stage, plain)
    return next((Statement(stage, None) for stage, form in enumerate(_FORMS[type(case)]) if form.fullmatch(step)), None)


def facts(case: RankingCase | RatingCase) -> list[Facts]:
    """All that can be stated about a case: about the whole, and about each chain."""
    if isinstance(case, RatingCase):
        return [_of_chain(1, case.chain)]
    taste = evidence.tastes(case)
    met = evidence.support(case, taste)
    score = {label: sum(weight for _, weight in pairs) for label, pairs in met.items()}
    whole = {
        "counts1": dict.fromkeys(_counts(evidence.tally((item, 1) for item in case.history).items()), mark(0)),
        "counts2": dict.fromkeys(_counts(taste), mark(0)),
        "met": {"; ".join(f"{label} {', '.join(_counts(pairs))}" for label, pairs in met.items()): ", ".join(met)},
        "strongest": _as_said("Best supported", "Strongest"),
        "best": _as_said(*(f"{label} {s}" for label, s in score.items() if s == max(score.values()))),
        "rest": _as_said(*(f"{label} {s}" for label, s in score.items())),
    }
    return [whole, *(_of_chain(n, chain) for n, chain in enumerate(case.chains, 1))]


def _of_chain(n: int, c: Chain) -> Facts:
    alike = evidence.sign(c.rating_u1) == evidence.sign(c.rating_v1)
    shared = [t for t in evidence.traits(c.item2) if t in evidence.traits(c.item1)]
    end = f"{c.rating_v2:g}"
    closed = [] if c.rating_u2 is None else [f"user {w} ({c.rating_u2:g})" for w in VERDICT[evidence.sign(c.rating_u2)]]
    return {
        "n": _as_said(str(n)),
        "item1": dict.fromkeys(_names(c.item1), mark(2 * n - 1)),
        "item2": dict.fromkeys(_names(c.item2), mark(2 * n)),
        "liked": _as_said(*VERDICT[evidence.sign(c.rating_u1)]),
        "agreed": _as_said(*AGREES[alike]),
        "guide": _as_said("a guide" if alike else "a weak guide"),
        "shared": dict.fromkeys(shared or ["nothing"], mark(0)),
        "rating1": _as_said(f"{c.rating_u1:g}"),
        "rating2": _as_said(f"{c.rating_v1:g}"),
        "rating3": _as_said(end),
        "end": dict.fromkeys([f"{end}, {again}" for again in closed] or [end], ""),
    }


def _names(item: Item) -> list[str]:
    title = clean(item.title)
    return [title, f'"{title}"', *evidence.traits(item), "an item"]


def _counts(pairs: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{trait} {count}" for trait, count in pairs] or ["-"]


def _as_said(*words: str) -> dict[str, str]:
    return dict(zip(words, words, strict=True))


def _stated(step: str, sentence: str, facts: Facts) -> str | None:
    """What the rules read instead of a step that is this sentence about these facts."""
    ends = {0: ""}  # where what was read so far can end -> what the rules read instead
    for literal, slot, _, _ in Formatter().parse(sentence):
        ends = _read_on(step, ends, {literal: literal})
        if slot:
            ends = _listed(step, ends, facts.get(slot, {}))
        if not ends:
            return None
    return ends.get(len(step))


def _listed(step: str, ends: dict[int, str], words: dict[str, str]) -> dict[int, str]:
    found, new = {}, _read_on(step, ends, words)
    while new:
        found |= new
        new = _read_on(step, _read_on(step, new, {", ": ", "}), words)
    return found


def _read_on(step: str, ends: dict[int, str], words: dict[str, str]) -> dict[int, str]:
    return {
        at + len(word): read + plain
        for at, read in ends.items()
        for word, plain in words.items()
        if step.startswith(word, at)
    }


def _one_of(words: Iterable[tuple[str, str]]) -> str:
    return "(?:" + "|".join(w for pair in words for w in pair) + ")"


_COUNTS = r"(?:-|[^,;]+ -?\d+(?:, [^,;]+ -?\d+)*)"
_SLOTS = {  # what a slot looks like, true or not; free text has articles and verbs beside an item
    "n": r"\d+",
    "item": r"(?:(?!\b(?:is|was|are|were|an?|the|this)\b).)*",
    "liked": _one_of(VERDICT.values()),
    "agreed": _one_of(AGREES.values()),
    "rating": r"[^()\s]*",
    "counts": _COUNTS,
    "met": rf"[A-Z] {_COUNTS}(?:; [A-Z] {_COUNTS})*",
    "strongest": "(?:Best supported|Strongest)",
    "best": r"[A-Z] -?\d+(?:, [A-Z] -?\d+)*",
}


def _form(sentence: str) -> re.Pattern[str]:
    parts = Formatter().parse(sentence)
    return re.compile("".join(re.escape(s) + (slot and _SLOTS.get(slot.strip("123"), ".*") or "") for s, slot, *_ in parts))


_FORMS = {kind: [_form(sentence) for sentence in sentences] for kind, sentences in SENTENCES.items()}
