"""Statements in the template teacher's form: what is said in one must be what the case says.

Data texts may read like anything, so statements are compared whole, before any rule reads a word of them.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import evidence
from r2rec.thoughts.template import AGREES, BEST, VERDICT, counts, listed, summed

_ALIKE = {other: one for one, other in (*VERDICT.values(), *AGREES.values(), BEST)}
_OTHER = re.compile("|".join(sorted(_ALIKE, key=len, reverse=True)))
_COUNTS = r"(?:-|[^,;]+ -?\d+(?:, [^,;]+ -?\d+)*)"
_SUM = rf"[A-Z] {_COUNTS}(?: = -?\d+)?"
_FORMS = {  # how statements look, true or not; each rests on those before it
    RatingCase: (  # free text has articles and verbs beside an item
        r"(?:(?!\b(?:is|was|are|were|an?|the|this)\b).)* (?:liked|neutral|disliked) by the user \([^()]*\)\.",
        r"Neighbour \d+ gave it \S+ and (?:agrees|differs), so their taste is .*\.",
        r"Neighbour \d+ gave .* a \S+; it shares .* with the first\.",
    ),
    RankingCase: (
        rf"Liked \d+: {_COUNTS}(?:; Liked \d+: {_COUNTS})*\.",
        r"Chain \d+: user \S+ (?:liked|neutral|disliked): .*; neighbour gave \S+, (?:agrees|differs); then .*\.",
        rf"Candidates: {_SUM}(?:; {_SUM})*\.",
        r"Best supported: (?:none|[A-Z] -?\d+(?:, [A-Z] -?\d+)*)\.",
        r"First: [A-Z]\.",
    ),
}


MARKUP = "*_ \t\r\n"
"""What may stand around a step and say nothing; a data text may begin or end with it as well."""


class Statement(NamedTuple):
    stage: int  # its form's place among `_FORMS`
    plain: str | None  # what the rules read instead; None: it is not what the case says


def mark(place: int, is_title: int = 0) -> str:
    """The private character that stands for a data text: where in the case it is first read, and if it is a title."""
    return chr(0xF0000 + 2 * place + is_title)


def stated(steps: list[str], case: RankingCase | RatingCase) -> list[Statement | None]:
    """What each step states, if it has one of the forms."""
    worded = [_in_one_wording(step) for step in steps]
    true = _of_question(case.chain) if isinstance(case, RatingCase) else _of_ranking(case, worded)
    known = {
        _in_one_wording(text.strip(MARKUP)): Statement(stage, plain) for stage, text, plain in true
    }
    untrue = [
        [Statement(n, None) for n, f in enumerate(_FORMS[type(case)]) if re.fullmatch(f, text)]
        for text in worded
    ]
    return [
        known.get(text) or next(iter(maybe), None)
        for text, maybe in zip(worded, untrue, strict=True)
    ]


def _of_question(c: Chain) -> Iterator[tuple[int, str, str]]:
    """What can be stated about a chain whose last rating is asked for: stage, text, what the rules read."""
    shared = (
        ", ".join(t for t in evidence.traits(c.item2) if t in evidence.traits(c.item1)) or "nothing"
    )
    user, gave, again = (
        f"by the user ({c.rating_u1:g}).",
        f"gave it {c.rating_v1:g}",
        f"a {c.rating_v2:g}",
    )
    guide = "a guide" if _alike(c) else "a weak guide"
    yield 0, f"{_named(c.item1)} {_liked(c.rating_u1)} {user}", f"{mark(1)} {user}"
    yield (
        1,
        f"Neighbour 1 {gave} and {AGREES[_alike(c)][0]}, so their taste is {guide}.",
        f"neighbour {gave}.",
    )
    text = f"Neighbour 1 gave {_named(c.item2)} {again}; it shares {shared} with the first."
    yield 2, text, f"neighbour gave {mark(2)} {again}."


def _of_ranking(case: RankingCase, worded: list[str]) -> Iterator[tuple[int, str, str]]:
    counted = [counts(pairs) for pairs in evidence.running(evidence.verdicts(case))]
    liked = "; ".join(f"Liked {n}: {counted[n - 1]}" for n, _ in enumerate(case.history, 1))
    yield 0, f"{liked}.", "user."
    for n, c in enumerate(case.chains, 1):
        first, second = counted[len(case.history) + 2 * n - 2 :][:2]
        user = f"user {c.rating_u1:g} {_liked(c.rating_u1)}: {first}"
        neighbour = f"neighbour gave {c.rating_v1:g}, {AGREES[_alike(c)][0]}; then {c.rating_v2:g}"
        again = "" if c.rating_u2 is None else f"; user {c.rating_u2:g} {_liked(c.rating_u2)}"
        text = f"Chain {n}: {user}; {neighbour}{again}: {second}."
        yield 1, text, f"chain {n}: user {mark(2 * n - 1)}, neighbour; then {mark(2 * n)}."
        end = "" if c.rating_u2 is None else f"user {c.rating_u2:g} {_liked(c.rating_u2)}, "
        text = (
            f"Chain {n}: from its end {end}{second}; neighbour gave {c.rating_v2:g}; "
            f"before it {c.rating_v1:g}, {AGREES[_alike(c)][0]}; {user}."
        )
        yield 1, text, f"chain {n}: {mark(2 * n)}, neighbour; {mark(2 * n - 1)}, user."
    plain = evidence.support(case)
    yield from _of_support(
        plain if _in_one_wording(_candidates(plain)) in worded else evidence.filled(plain)
    )


def _of_support(support: dict[str, evidence.Counted]) -> Iterator[tuple[int, str, str]]:
    """What follows from what speaks for the candidates: with what they have not, as the teacher counts, or without."""
    score = evidence.trait_scores(support)
    yield 2, _candidates(support), f"Candidates: {', '.join(support)}."
    best = f"Best supported: {listed(score, evidence.best(score))}."
    yield 3, best, best
    for label in evidence.choices(score):
        yield 4, f"First: {label}.", f"First: {label}."


def _candidates(support: dict[str, evidence.Counted]) -> str:
    return (
        f"Candidates: {'; '.join(f'{label} {summed(pairs)}' for label, pairs in support.items())}."
    )


def _in_one_wording(text: str) -> str:
    return _OTHER.sub(lambda m: _ALIKE[m[0]], text)


def _named(item: Item) -> str:
    return ", ".join(evidence.traits(item)) or "an item"


def _liked(rating: float) -> str:
    return VERDICT[evidence.sign(rating)][0]


def _alike(chain: Chain) -> bool:
    return evidence.sign(chain.rating_u1) == evidence.sign(chain.rating_v1)
