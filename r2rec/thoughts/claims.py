"""What free text claims of items, ratings and attributes: each claim must be the case's own.

Steps in the template teacher's form are compared as a whole (`statements`), and a chain's ratings
are followed where the chain is read (`hops`). This module has the rest, as far as it can be told
without a vocabulary of the data set: names in quotation marks or beside a rating, ratings that
somebody gave, common genres, and decades.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts import lexicon
from r2rec.thoughts.marks import items_by_position, marked_titles
from r2rec.thoughts.phrases import (
    PEOPLE,
    chains_at,
    cited_ratings,
    clauses,
    first_mentions,
    mentions,
    named_candidates,
    named_or_all,
    stretches,
)
from r2rec.thoughts.reading import Trace, distinctive_words, read_thought

SHOWN_CHARACTERS = 60  # of a name in a reason, at most


class Cited(NamedTuple):
    """Whether the case has each thing that a thought cites in its own words."""

    items: list[bool]
    ratings: list[bool]


class Citation(NamedTuple):
    """A thing that a thought cites in its own words."""

    step: int  # 0: before the first step
    is_rating: bool  # else an item
    text: str  # as the thought has it; of an item that the case has, its title
    right: bool  # the case has it
    meant: tuple[str, ...]  # of a rating: those that may be meant


class RatingClaim(NamedTuple):
    """A clause in a thought's own words that says what somebody gave."""

    offset: int  # in the trace's text
    clause: str
    ratings: list[str]

    @property
    def end(self) -> int:
        """The offset at which the clause ends."""
        return self.offset + len(self.clause)


def check_names(trace: Trace, case: RankingCase | RatingCase) -> Iterator[str]:
    """Items that are cited are the case's own."""
    for offset, name in _foreign_names(trace, case).items():
        step = trace.step_at(offset)
        shown = name[:SHOWN_CHARACTERS]
        yield f'inconsistent: step {step} cites "{shown}", which the question does not have'


def check_attributes(trace: Trace, case: RankingCase | RatingCase) -> Iterator[str]:
    """Genres and decades that are cited belong to something read by then.

    A clause that denies something may name any: "it is no western".
    """
    n_chains = len(_chains(case))
    read_first = []
    for position, item in items_by_position(case):
        if position <= 2 * n_chains:
            read_first.append(item)
    known = set(_genres_and_decades(_described(case, read_first), years=True))
    for step, written in enumerate(trace.steps):
        start = trace.starts[step]
        text = trace.text[start : trace.step_end(start)]
        if isinstance(case, RankingCase) and _speaks_of_candidates(text, case):
            described = _described(case, case.candidates)
            known.update(_genres_and_decades(described, years=True))
        if trace.statements[step] is not None:
            continue
        for _, clause in clauses(written):
            cited = _genres_and_decades(clause)
            unknown = [word for kind, word in cited.items() if kind not in known]
            if unknown and not lexicon.DENIAL.search(clause):
                words = ", ".join(unknown)
                yield f"inconsistent: step {step} cites {words}, which nothing read so far is"


def _speaks_of_candidates(text: str, case: RankingCase) -> bool:
    return "candidate" in text.lower() or bool(named_candidates(text, case))


def check_ratings(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Where no chain is read, a rating that somebody gave is one of a chain read before."""
    first = first_mentions(trace)
    never = len(trace.text)
    chain_stretches = list(stretches(trace, len(case.chains)))
    for claim in _rating_claims(trace):
        if chains_at(chain_stretches, claim.offset):
            continue  # `check_hops` has checked it
        meant = set()
        read_by_then = set()
        for n, rating in _meant_ratings(case, claim.clause, set()):
            meant.add(rating)
            if first.get(n, never) < claim.end:
                read_by_then.add(rating)
        step = trace.step_at(claim.offset)
        for rating in claim.ratings:
            if rating in read_by_then:
                continue
            rule = "masked" if rating in meant else "inconsistent"
            yield f"{rule}: step {step} cites a {rating}"


def checked(case: RankingCase | RatingCase, thought: str) -> Cited:
    """What a thought cites in its own words, each with whether the case has it.

    Order does not matter here.
    """
    found = citations(read_thought(case, thought), case)
    items = [cited.right for cited in found if not cited.is_rating]
    return Cited(items, [cited.right for cited in found if cited.is_rating])


def citations(trace: Trace, case: RankingCase | RatingCase) -> list[Citation]:
    """The same one by one: items of the case, other items, ratings."""
    foreign = _foreign_names(trace, case)
    titles: dict[int, str] = {}
    for position, item in items_by_position(case):
        titles.setdefault(position, clean(item.title))
    found = []
    for offset, position in marked_titles(trace.text):
        if _is_free_text(trace, offset):
            title = titles[position]
            found.append(Citation(trace.step_at(offset), False, title, True, ()))
    for offset, name in foreign.items():
        found.append(Citation(trace.step_at(offset), False, name, False, ()))
    chain_stretches = []
    if isinstance(case, RankingCase):
        chain_stretches = list(stretches(trace, len(case.chains)))
    for claim in _rating_claims(trace):
        here = chains_at(chain_stretches, claim.offset)
        meant = {rating for _, rating in _meant_ratings(case, claim.clause, here)}
        if any(claim.offset <= offset < claim.end for offset in foreign):
            meant = set()
        for rating in claim.ratings:
            step = trace.step_at(claim.offset)
            right = rating in meant
            found.append(Citation(step, True, rating, right, tuple(sorted(meant))))
    return found


def _is_free_text(trace: Trace, offset: int) -> bool:
    """Whether the step at an offset is in the thought's own words."""
    return trace.statements[trace.step_at(offset)] is None


def _foreign_names(trace: Trace, case: RankingCase | RatingCase) -> dict[int, str]:
    """Offset -> name of each item that is cited and that the case does not have."""
    names = {}
    for match in lexicon.QUOTED.finditer(trace.text):
        quotation = match[1]
        if quotation[0].isupper() and not marked_titles(quotation):
            names[match.start(1)] = quotation
    unquoted = lexicon.QUOTED.sub(lambda match: " " * len(match[0]), trace.text)
    for claim in _rating_claims(trace):
        for match in lexicon.NAME.finditer(unquoted, claim.offset, claim.end):
            names[match.start(1)] = match[1]
    all_items = [item for _, item in items_by_position(case)]
    known = set(re.findall(r"\w+", _described(case, all_items).casefold()))
    known |= lexicon.GENERAL_WORDS
    foreign = {}
    for offset, name in sorted(names.items()):
        unknown = set(distinctive_words(name)) - known
        if unknown and _is_free_text(trace, offset):
            foreign[offset] = name
    return foreign


def _rating_claims(trace: Trace) -> Iterator[RatingClaim]:
    """Clauses that say what somebody gave; not what is expected, or added up."""
    for offset, clause in clauses(trace.text):
        if not _is_free_text(trace, offset) or not lexicon.RATES.search(clause):
            continue
        ratings = cited_ratings(lexicon.BOUND.sub(" ", clause))
        is_guess = lexicon.PREDICTS.search(clause) or lexicon.COUNTS.search(clause)
        if ratings and not is_guess:
            yield RatingClaim(offset, clause, ratings)


def _meant_ratings(
    case: RankingCase | RatingCase, clause: str, here: set[int]
) -> Iterator[tuple[int, str]]:
    """(chain, rating) of the ratings that a clause can mean.

    By whom, of what and in which chain: as far as the clause says.

    Args:
        here: Chains that are meant if the clause names none; empty: any.
    """
    titles = _named_titles(case, clause)
    people = named_or_all(clause, PEOPLE)
    numbers = set()
    for mention in mentions(clause):
        if mention.word != "step":
            numbers.add(mention.number)
    numbers = numbers or here
    for n, chain in enumerate(_chains(case), 1):
        if numbers and n not in numbers:
            continue
        for who, item, rating in _rated_by(chain):
            if who in people and (not titles or item.title in titles):
                yield n, f"{rating:g}"


def _named_titles(case: RankingCase | RatingCase, clause: str) -> set[str]:
    """Titles of the items that a clause names."""
    positions = {position for _, position in marked_titles(clause)}
    titles: set[str] = set()
    if not positions:
        return titles
    for position, item in items_by_position(case):
        if position in positions:
            titles.add(item.title)
    return titles


def _rated_by(chain: Chain) -> list[tuple[str, Item, float]]:
    """(who, item, rating) of the ratings of a chain, in reading order."""
    ratings = [
        ("user", chain.item1, chain.rating_u1),
        ("neighbour", chain.item1, chain.rating_v1),
        ("neighbour", chain.item2, chain.rating_v2),
    ]
    if chain.rating_u2 is not None:
        ratings.append(("user", chain.item2, chain.rating_u2))
    return ratings


def _chains(case: RankingCase | RatingCase) -> tuple[Chain, ...]:
    if isinstance(case, RatingCase):
        return (case.chain,)
    return case.chains


def _described(case: RankingCase | RatingCase, items: Iterable[Item]) -> str:
    """All that a prompt says of the user, of neighbours and of these items."""
    described = [clean(case.profile or "")]
    described += [clean(chain.neighbour or "") for chain in _chains(case)]
    for item in items:
        described.append(clean(item.title))
        described += map(clean, item.attributes)
    return " ".join(described)


def _genres_and_decades(text: str, years: bool = False) -> dict[str, str]:
    """Kind -> the words for it. A kind is what a genre's forms share ("com"), or a decade ("90s").

    Args:
        years: A year counts as its decade.
    """
    kinds = {}
    for match in lexicon.GENRE.finditer(text):
        kinds[match[1][:3].lower()] = match[0]
    decades = list(lexicon.DECADE.finditer(text))
    if years:
        decades += lexicon.YEAR.finditer(text)
    for match in decades:
        digit = match[match.lastindex or 0]
        kinds[f"{digit}0s"] = match[0]
    return kinds
