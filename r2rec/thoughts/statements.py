"""Statements in the template teacher's form: what one says must be what the case says.

Data texts may read like anything, so statements are compared as a whole, before any rule reads a
word of them.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import NamedTuple

from r2rec.prompts.cases import Chain, RankingCase, RatingCase
from r2rec.thoughts import taste
from r2rec.thoughts.marks import mark
from r2rec.thoughts.template import AGREES, BEST, VERDICT, counts, listed, named_traits, summed

MARKUP = "*_ \t\r\n"
"""What may stand around a step and say nothing. A data text may begin or end with it as well."""


class Statement(NamedTuple):
    """What a step in one of the forms states."""

    stage: int  # index of its form; a statement rests on those of earlier stages
    plain: str | None  # what the rules read in its place; None: it is not what the case says


class Fact(NamedTuple):
    """A statement that is true of a case."""

    stage: int
    text: str  # in the first wording
    plain: str  # what the rules read in its place


# --- How statements look, true or not ------------------------------------------------------------

# Each text matches in one way at most: with two, twenty candidates would be tried in 2^20 ways.
_COUNTS = r"(?:-|[^,;]+ -?\d+(?:, [^,;]+ -?\d+)*)"  # "Crime 2, Drama 1", "Crime 2, Drama 1 = 3"
_SUM = rf"[A-Z] {_COUNTS}"
_RATING_FORMS = (
    # "Crime, 1990s liked by the user (5)."; free text has articles and verbs beside an item
    r"(?:(?!\b(?:is|was|are|were|an?|the|this)\b).)* (?:liked|neutral|disliked) "
    r"by the user \([^()]*\)\.",
    # "Neighbour 1 gave it 4 and agrees, so their taste is a guide."
    r"Neighbour \d+ gave it \S+ and (?:agrees|differs), so their taste is .*\.",
    # "Neighbour 1 gave Horror a 3; it shares nothing with the first."
    r"Neighbour \d+ gave .* a \S+; it shares .* with the first\.",
)
_RANKING_FORMS = (
    # "Liked 1: Crime 1; Liked 2: Crime 2, Drama 1."
    rf"Liked \d+: {_COUNTS}(?:; Liked \d+: {_COUNTS})*\.",
    # "Chain 1: user 4 liked: Comedy 1; neighbour gave 5, agrees; then 2: Horror 0."
    r"Chain \d+: user \S+ (?:liked|neutral|disliked): .*; "
    r"neighbour gave \S+, (?:agrees|differs); then .*\.",
    # "Candidates: A Drama 1 = 1; B Crime 2, Drama 1 = 3."
    rf"Candidates: {_SUM}(?:; {_SUM})*\.",
    # "Best supported: B 3, A 1."
    r"Best supported: (?:none|[A-Z] -?\d+(?:, [A-Z] -?\d+)*)\.",
    # "First: B."
    r"First: [A-Z]\.",
)


def stated(steps: list[str], case: RankingCase | RatingCase) -> list[Statement | None]:
    """What each step states; None for a step that has none of the forms."""
    worded = [in_one_wording(step) for step in steps]
    forms: tuple[str, ...]
    if isinstance(case, RatingCase):
        forms = _RATING_FORMS
        facts = _facts_of_rating(case.chain)
    else:
        forms = _RANKING_FORMS
        facts = _facts_of_ranking(case, worded)
    true = {}
    for fact in facts:
        text = in_one_wording(fact.text.strip(MARKUP))
        true[text] = Statement(fact.stage, fact.plain)
    return [true.get(text) or _untrue(text, forms) for text in worded]


def true_form(step: str, steps: list[str], case: RankingCase) -> str:
    """What a case says in the form of a step that is not true; "": nothing of its kind.

    Of several statements of one kind it is the one that reads most like the step.

    Args:
        steps: All steps of the thought, as `stated` gets them.
    """
    worded = [in_one_wording(other) for other in steps]
    text = in_one_wording(step)
    kind = text.partition(":")[0]
    facts = [fact.text for fact in _facts_of_ranking(case, worded)]
    same_kind = [fact for fact in facts if fact.partition(":")[0] == kind]
    return next(iter(get_close_matches(text, same_kind, n=1, cutoff=0.0)), "")


def _untrue(text: str, forms: tuple[str, ...]) -> Statement | None:
    """The statement of a text that has one of the forms and is not true."""
    for stage, form in enumerate(forms):
        if re.fullmatch(form, text):
            return Statement(stage, None)
    return None


# --- What is true of a case ----------------------------------------------------------------------


def _facts_of_rating(chain: Chain) -> Iterator[Fact]:
    """What can be stated about a chain whose last rating is asked for."""
    guide = "a guide" if taste.tastes_agree(chain) else "a weak guide"
    shared = ", ".join(taste.shared_traits(chain)) or "nothing"
    user = f"by the user ({chain.rating_u1:g})."
    yield Fact(
        stage=0,
        text=f"{named_traits(chain.item1)} {_verdict(chain.rating_u1)} {user}",
        plain=f"{mark(1)} {user}",
    )
    gave = f"gave it {chain.rating_v1:g}"
    yield Fact(
        stage=1,
        text=f"Neighbour 1 {gave} and {_agreement(chain)}, so their taste is {guide}.",
        plain=f"neighbour {gave}.",
    )
    rating = f"a {chain.rating_v2:g}"
    yield Fact(
        stage=2,
        text=f"Neighbour 1 gave {named_traits(chain.item2)} {rating}; "
        f"it shares {shared} with the first.",
        plain=f"neighbour gave {mark(2)} {rating}.",
    )


def _facts_of_ranking(case: RankingCase, worded: list[str]) -> Iterator[Fact]:
    """What can be stated about a RankingCase.

    Args:
        worded: The steps of the thought: they decide whether candidates are counted with the traits
            that they lack, as the teacher does, or without.
    """
    counted = [counts(pairs) for pairs in taste.running(taste.verdicts(case))]
    liked = []
    for n, _ in enumerate(case.history, 1):
        liked.append(f"Liked {n}: {counted[n - 1]}")
    yield Fact(stage=0, text=f"{'; '.join(liked)}.", plain="user.")
    for n, chain in enumerate(case.chains, 1):
        index = len(case.history) + 2 * (n - 1)
        yield from _facts_of_chain(n, chain, counted[index], counted[index + 1])
    support = taste.support(case)
    if in_one_wording(_candidates(support)) not in worded:
        support = taste.filled(support)
    yield from _facts_of_support(support)


def _facts_of_chain(n: int, chain: Chain, first: str, second: str) -> Iterator[Fact]:
    """Chain n read hop by hop, and read from its end.

    Args:
        first: What the first item adds up to.
        second: What the second item adds up to.
    """
    user = f"user {chain.rating_u1:g} {_verdict(chain.rating_u1)}: {first}"
    agreement = _agreement(chain)
    user_again = ""
    if chain.rating_u2 is not None:
        user_again = f"user {chain.rating_u2:g} {_verdict(chain.rating_u2)}"
    end = f"; {user_again}" if user_again else ""
    yield Fact(
        stage=1,
        text=f"Chain {n}: {user}; neighbour gave {chain.rating_v1:g}, {agreement}; "
        f"then {chain.rating_v2:g}{end}: {second}.",
        plain=f"chain {n}: user {mark(2 * n - 1)}, neighbour; then {mark(2 * n)}.",
    )
    end = f"{user_again}, " if user_again else ""
    yield Fact(
        stage=1,
        text=f"Chain {n}: from its end {end}{second}; neighbour gave {chain.rating_v2:g}; "
        f"before it {chain.rating_v1:g}, {agreement}; {user}.",
        plain=f"chain {n}: {mark(2 * n)}, neighbour; {mark(2 * n - 1)}, user.",
    )


def _facts_of_support(support: dict[str, taste.Counted]) -> Iterator[Fact]:
    """What follows from the counts of the candidates."""
    score = taste.trait_scores(support)
    labels = ", ".join(support)
    yield Fact(stage=2, text=_candidates(support), plain=f"Candidates: {labels}.")
    best = f"Best supported: {listed(score, taste.best(score))}."
    yield Fact(stage=3, text=best, plain=best)
    for label in taste.choices(score):
        first = f"First: {label}."
        yield Fact(stage=4, text=first, plain=first)


def _candidates(support: dict[str, taste.Counted]) -> str:
    counted = "; ".join(f"{label} {summed(pairs)}" for label, pairs in support.items())
    return f"Candidates: {counted}."


# --- Wordings ------------------------------------------------------------------------------------

_FIRST_WORDING = {second: first for first, second in (*VERDICT.values(), *AGREES.values(), BEST)}
_SECOND_WORDINGS = re.compile("|".join(sorted(_FIRST_WORDING, key=len, reverse=True)))
WORDINGS = "|".join(sorted({*_FIRST_WORDING, *_FIRST_WORDING.values()}, key=len, reverse=True))
"""A regular expression for each of the teacher's wordings that has another one."""


def in_one_wording(text: str) -> str:
    """The text with the first of the teacher's two wordings throughout: "enjoyed" -> "liked"."""
    return _SECOND_WORDINGS.sub(lambda match: _FIRST_WORDING[match[0]], text)


def _verdict(rating: float) -> str:
    return VERDICT[taste.sign(rating)][0]


def _agreement(chain: Chain) -> str:
    return AGREES[taste.tastes_agree(chain)][0]
