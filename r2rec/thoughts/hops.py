"""The ratings of a chain: each cited from its hop on, as given by whom and to what it was."""

import re
from collections.abc import Iterator
from itertools import pairwise

from r2rec.prompts.cases import Chain
from r2rec.thoughts.reading import Trace
from r2rec.thoughts.statements import mark

PREDICTS = re.compile(
    r"\b(?:expect|predict|would|will|likely|probably|estimate|should|might|may|conclu)", re.I
)
_CLAUSE = re.compile(r"[.;,!?](?=\s|$)|\n|\b(?:and|but|while|whereas|so|though|although)\b", re.I)
_RATING = re.compile(r"(?<![\w.#-])[1-5](?:\.\d+)?(?![\w%]|[.,]\d|-\d)")
_NOT_RATING = re.compile(
    r"\b(?:(?:step|hop|chain|neighbour|candidate)s?|user|top|no\.|part|volume|season) ?#?\d+|#\d+|\bitem ?[12]\b|"
    r"\b(?:above|below|over|under|than|midpoint(?: of)?|threshold(?: of)?) 3\b|\b[1-5](?: ?=| means| (?:full |more |"
    r"shared |common |other )?(?:people|(?:point|step|genre|trait|attribute|item|movie|film|book|product|hop|chain|"
    r"user|neighbour|year|time|decade|reason|candidate)s?)\b)", re.I
)  # fmt: skip


def in_order(
    trace: Trace, start: int, end: int, chain: Chain, n: int, hidden: str | None = None
) -> Iterator[str]:
    """Whether a stretch of text reads chain n hop by hop.

    Args:
        hidden: The answer of a RatingCase; there, the third hop needs a later step than the second.
    """
    text = trace.text[start:end]
    item1, item2 = mark(2 * n - 1, is_title=1), f"[{mark(2 * n)}{mark(2 * n, is_title=1)}]|item 2"
    near, second = first_of(text, "neighbour"), first_of(text, item2)
    third = trace.end(near) if hidden else near
    if first_of(text, f"[{mark(2 * n - 1)}{item1}]|user") > near:
        yield f"masked: step {trace.at(start + near)} has the neighbour's rating before the user's"
    if second < third:
        yield f"masked: step {trace.at(start + second)} has item 2 before the neighbour's rating of item 1"
    hops = [("user", item1, chain.rating_u1, 0), ("neighbour", item1, chain.rating_v1, near)]
    hops += [("neighbour", item2, chain.rating_v2, third)]
    if chain.rating_u2 is not None and not hidden:
        hops += [("user", item2, chain.rating_u2, second)]
    for at, clause in clauses(text):
        reached = [hop for hop in hops if hop[3] < at + len(clause)]
        whose, what = _spoken_of(("user", "neighbour"), clause), _spoken_of((item1, item2), clause)
        fair = {f"{rating:g}" for who, item, rating, _ in reached if who in whose and item in what}
        later = {f"{hop[2]:g}" for hop in hops} - {f"{hop[2]:g}" for hop in reached}
        foreseen = {hidden} if "neighbour" not in clause and PREDICTS.search(clause) else set()
        for value in cited(clause):
            if value not in fair - foreseen:
                rule = "masked" if value in later else "leak" if value == hidden else "inconsistent"
                yield f"{rule}: step {trace.at(start + at)} cites a {value}"


def first_of(text: str, pattern: str) -> int:
    """Where a pattern is first found, or the text's end."""
    found = re.search(pattern, text)
    return found.start() if found else len(text)


def _spoken_of(patterns: tuple[str, str], clause: str) -> tuple[str, ...]:
    """The one that a clause names, or both where that is not clear."""
    named = tuple(pattern for pattern in patterns if re.search(pattern, clause))
    return named if len(named) == 1 else patterns


def cited(clause: str) -> list[str]:
    """The ratings that a clause has, as a prompt writes them."""
    return [f"{float(value):g}" for value in _RATING.findall(_NOT_RATING.sub(" ", clause))]


def clauses(text: str) -> Iterator[tuple[int, str]]:
    """Clauses and where they begin."""
    bounds = [(0, 0), *(m.span() for m in _CLAUSE.finditer(text)), (len(text), len(text))]
    return ((end, text[end:start]) for (_, end), (start, _) in pairwise(bounds))
