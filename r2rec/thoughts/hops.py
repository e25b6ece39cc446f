"""The ratings of a chain: each may be cited from its hop on, with who gave it and to what."""

from collections.abc import Iterator
from typing import NamedTuple

from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.thoughts import lexicon
from r2rec.thoughts.marks import first_positions, item_pattern, title_mark
from r2rec.thoughts.phrases import PEOPLE, cited_ratings, clauses, first_of, named_or_all
from r2rec.thoughts.reading import Trace


class Hop(NamedTuple):
    """One rating of a chain."""

    who: str  # one of PEOPLE
    item: str  # a regular expression for how a text names the item
    rating: str  # as prompts write it
    start: int  # the offset from which it may be cited


def check_hops(
    trace: Trace,
    start: int,
    end: int,
    case: RankingCase | RatingCase,
    n: int,
    hidden: str | None = None,
) -> Iterator[str]:
    """Whether a stretch of text reads chain n hop by hop (the masking rule, section 3.2.2).

    Args:
        start: Where in `trace.text` the stretch begins; `end` is where it ends.
        hidden: The answer of a RatingCase. There, the neighbour's rating of item 2 must come in a
            later step than the one of item 1.
    """
    text = trace.text[start:end]
    chain = case.chain if isinstance(case, RatingCase) else case.chains[n - 1]
    first = first_positions(case)
    places1 = (2 * n - 1, first[chain.item1.title])
    places2 = {2 * n, first[chain.item2.title]}.difference(places1)
    item1 = f"[{''.join(map(title_mark, places1))}]"
    item2 = f"{item_pattern(*places2)}|item 2"
    user_at = first_of(text, f"{item_pattern(*places1)}|user")
    neighbour_at = first_of(text, "neighbour")
    item2_at = first_of(text, item2)
    item2_allowed = trace.step_end(neighbour_at) if hidden else neighbour_at
    if user_at > neighbour_at:
        step = trace.step_at(start + neighbour_at)
        yield f"masked: step {step} has the neighbour's rating before the user's"
    if item2_at < item2_allowed:
        step = trace.step_at(start + item2_at)
        yield f"masked: step {step} has item 2 before the neighbour's rating of item 1"
    hops = [
        Hop("user", item1, f"{chain.rating_u1:g}", 0),
        Hop("neighbour", item1, f"{chain.rating_v1:g}", neighbour_at),
        Hop("neighbour", item2, f"{chain.rating_v2:g}", item2_allowed),
    ]
    if chain.rating_u2 is not None and not hidden:
        hops.append(Hop("user", item2, f"{chain.rating_u2:g}", item2_at))
    for offset, clause in clauses(text):
        for rule, rating in _wrong_ratings(clause, offset + len(clause), hops, hidden):
            yield f"{rule}: step {trace.step_at(start + offset)} cites a {rating}"


def _wrong_ratings(
    clause: str, clause_end: int, hops: list[Hop], hidden: str | None
) -> Iterator[tuple[str, str]]:
    """(rule, rating) of each rating that a clause cites and may not."""
    ratings = cited_ratings(clause)
    if not ratings:
        return
    people = named_or_all(clause, PEOPLE)
    items = named_or_all(clause, {hop.item for hop in hops})
    allowed = set()
    reached = set()
    later = set()
    for hop in hops:
        if hop.start >= clause_end:
            later.add(hop.rating)
            continue
        reached.add(hop.rating)
        if hop.who in people and hop.item in items:
            allowed.add(hop.rating)
    if hidden and "neighbour" not in clause and lexicon.PREDICTS.search(clause):
        allowed.discard(hidden)  # a prediction with the answer's digit gives it away
    for rating in ratings:
        if rating in allowed:
            continue
        if rating in later - reached:
            yield "masked", rating
        elif rating == hidden:
            yield "leak", rating
        else:
            yield "inconsistent", rating
