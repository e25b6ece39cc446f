"""What free text claims of items, ratings and attributes, wherever it does: each must be the case's own.

Steps in the template teacher's form are compared whole (`statements`), and a chain's ratings are read hop by hop where
the chain is read (`hops`). The rest is here, and is kept to what can be told without a vocabulary of the data set:
names in quotation marks or beside a rating, ratings that somebody gave, common genres and decades.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts.hops import PREDICTS, cited, clauses
from r2rec.thoughts.reading import Trace, places, read_thought, telling, titles
from r2rec.thoughts.rules import first_mentions, mentions, named_candidates, stretches

_QUOTED = re.compile(r"[\"“]([^\"“”\n]{2,120})[\"”]")
_NAME = re.compile(  # in the middle of a sentence, where a capital letter is no accident
    r"(?<=[\w,;’\U000f0000-\U0010fffd] )[*_'‘]*([A-Z][\w'’-]+(?: (?:(?:of|the|and|in) )?[A-Z][\w'’-]+)*)"
)
_RATES = re.compile(
    r"\b(?:gave|given|rated|rates|ratings?|stars?|(?:user|neighbour|neighbour \d|they|he|she)(?: \w+)? gives?)\b",
    re.I,
)
_COUNTS = re.compile(
    r"\b(?:averag\w*|mean|sums?|total|in all|counts?|mentions?|scores?|ranks?)\b", re.I
)
_BOUND = re.compile(
    r"\b(?:above|below|over|under|than|at least|at most|up to) [1-5]\b|"
    r"\b[1-5] (?:or|and) (?:[1-5]\b|more|less|above|below|better|worse|higher|lower|up)", re.I
)  # fmt: skip
_GENRE = re.compile(
    r"\b(action|adventure|animat(?:ed|ion)|comed(?:y|ies)|crime|documentar(?:y|ies)|drama|fantasy|horror|"
    r"musical(?! instr)|myster(?:y|ies)|noir|roman(?:ce|tic)|sci-?fi|science fiction|thriller|war|western)s?\b",
    re.I,
)
_DECADE = re.compile(r"\b(?:1[89]|20)(\d)0s\b|\bthe [’']?(\d)0s\b")
_YEAR = re.compile(r"\b(?:1[89]|20)(\d)\d\b")
_DENIED = re.compile(
    r"\b(?:no|not|none|nothing|never|neither|nor|without|lacks?|rather than|instead of|unlike)\b|n[’']t\b",
    re.I,
)
_GENERAL = frozenset("""
    movie movies film films book books product products genre genres title titles profile history recently latest
    watched bought read interaction chains
""".split())  # fmt: skip


class Cited(NamedTuple):
    """Whether the case has each thing that a thought cites in its own words."""

    items: list[bool]
    ratings: list[bool]


def names(trace: Trace, case: RankingCase | RatingCase) -> Iterator[str]:
    """Items that are cited are the case's own."""
    for at, name in _foreign(trace, case).items():
        yield f'inconsistent: step {trace.at(at)} cites "{name[:60]}", which the question does not have'


def attributes(trace: Trace, case: RankingCase | RatingCase) -> Iterator[str]:
    """Genres and decades that are cited are of what was read by then; to say that there is none of a kind is free."""
    known = {
        *_kinds(
            _words(case, [i for place, i in places(case) if place <= 2 * len(_chains(case))]),
            years=True,
        )
    }
    for n, step in enumerate(trace.steps):
        text = trace.text[trace.starts[n] : trace.end(trace.starts[n])]
        if isinstance(case, RankingCase) and (
            "candidate" in text.lower() or named_candidates(text, case)
        ):
            known.update(_kinds(_words(case, case.candidates), years=True))
        for _, clause in clauses(step) if trace.statements[n] is None else ():
            unknown = [word for kind, word in _kinds(clause).items() if kind not in known]
            if unknown and not _DENIED.search(clause):
                yield f"inconsistent: step {n} cites {', '.join(unknown)}, which nothing read so far is"


def check_ratings(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Where no chain is read, a rating that somebody gave is one of a chain read before."""
    first, never, spans = first_mentions(trace), len(trace.text), list(stretches(trace, case))
    for at, clause, values in _rated(trace):
        if any(start <= at < end for _, start, end in spans):
            continue
        meant = [(n, f"{rating:g}") for n, rating in _meant(case, clause, set())]
        read_by_then = {value for n, value in meant if first.get(n, never) < at + len(clause)}
        for value in values:
            if value not in read_by_then:
                rule = "masked" if value in {later for _, later in meant} else "inconsistent"
                yield f"{rule}: step {trace.at(at)} cites a {value}"


def checked(case: RankingCase | RatingCase, thought: str) -> Cited:
    """What a thought cites in its own words, each with whether the case has it; order is not looked at."""
    trace = read_thought(case, thought)
    foreign, spans = (
        _foreign(trace, case),
        list(stretches(trace, case)) if isinstance(case, RankingCase) else [],
    )
    items = [True for at, _ in titles(trace.text) if trace.statements[trace.at(at)] is None]
    had: list[bool] = []
    for at, clause, values in _rated(trace):
        of = {n for n, start, end in spans if start <= at < end}
        meant = {f"{rating:g}" for _, rating in _meant(case, clause, of)}
        known = not any(at <= place < at + len(clause) for place in foreign)
        had += [known and value in meant for value in values]
    return Cited(items + [False] * len(foreign), had)


def _foreign(trace: Trace, case: RankingCase | RatingCase) -> dict[int, str]:
    """Place -> name of an item that is cited and that the case has not."""
    known = {
        *re.findall(r"\w+", _words(case, [item for _, item in places(case)]).casefold()),
        *_GENERAL,
    }
    found = {
        m.start(1): m[1]
        for m in _QUOTED.finditer(trace.text)
        if m[1][0].isupper() and not any(titles(m[1]))
    }
    bare = _QUOTED.sub(lambda m: " " * len(m[0]), trace.text)
    for at, clause, _ in _rated(trace):
        found |= {m.start(1): m[1] for m in _NAME.finditer(bare, at, at + len(clause))}
    return {
        at: name
        for at, name in sorted(found.items())
        if trace.statements[trace.at(at)] is None and set(telling(name)) - known
    }


def _rated(trace: Trace) -> Iterator[tuple[int, str, list[str]]]:
    """Clauses of free steps that say what somebody gave: where they begin, and the ratings. Not what is expected."""
    for at, clause in clauses(trace.text):
        if trace.statements[trace.at(at)] is None and _RATES.search(clause):
            values = cited(_BOUND.sub(" ", clause))
            if values and not PREDICTS.search(clause) and not _COUNTS.search(clause):
                yield at, clause, values


def _meant(
    case: RankingCase | RatingCase, clause: str, of: set[int]
) -> Iterator[tuple[int, float]]:
    """(chain, rating) of the hops that a clause can mean: by whom, on what and in which chain, as far as it says.

    Args:
        of: Chains that are meant where the clause names none; empty: any.
    """
    items = {
        item.title
        for _, named_at in titles(clause)
        for place, item in places(case)
        if place == named_at
    }
    chains = {n for word, _, n in mentions(clause) if word != "step"} or of
    whose = {who for who in ("user", "neighbour") if who in clause} or {"user", "neighbour"}
    for n, c in enumerate(_chains(case), 1):
        for who, item, rating in (
            ("user", c.item1, c.rating_u1), ("neighbour", c.item1, c.rating_v1),
            ("neighbour", c.item2, c.rating_v2), ("user", c.item2, c.rating_u2),
        ):  # fmt: skip
            said = who in whose and item.title in (items or {item.title}) and n in (chains or {n})
            if said and rating is not None:
                yield n, rating


def _chains(case: RankingCase | RatingCase) -> tuple[Chain, ...]:
    return case.chains if isinstance(case, RankingCase) else (case.chain,)


def _words(case: RankingCase | RatingCase, items: Iterable[Item]) -> str:
    """All that a prompt says of these items, and of the user."""
    return " ".join(
        [
            clean(case.profile or ""),
            *(clean(text) for i in items for text in (i.title, *i.attributes)),
        ]
    )


def _kinds(text: str, years: bool = False) -> dict[str, str]:
    """Genres, by what their forms share, and decades, those of years too where asked for; with the words for them."""
    genres = {m[1][:3].lower(): m[0] for m in _GENRE.finditer(text)}
    decades = [m for pattern in (_DECADE, _YEAR)[: 1 + years] for m in pattern.finditer(text)]
    return genres | {f"{m[m.lastindex or 0]}0s": m[0] for m in decades}
