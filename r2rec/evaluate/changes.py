"""A ranking case changed by hand, to ask what the answer would be if something were otherwise.

Items are named by where the prompt tells them: "h1" the first liked item, "c2" the item that chain
2 begins at, "e2" the one that a closed chain ends at, "kA" candidate A.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from r2rec.base.errors import R2RecError
from r2rec.evaluate.interventions import shuffled
from r2rec.prompts.cases import LABELS, Chain, Evidence, Item, RankingCase
from r2rec.prompts.render import clean, told_in_full


class Changes(NamedTuple):
    """What is changed. Chains and items are named as the unchanged prompt numbers them."""

    leave_out: Collection[int] = ()  # chains, from 1
    flip: Collection[str] = ()  # items that the user rates the other way: 5 becomes 1
    titles: Mapping[str, str] = {}  # item -> its new title, which is untrusted
    shuffle: int | None = None  # seed of a random order of the candidates; None: as stored


class Changed(NamedTuple):
    """A changed case."""

    case: RankingCase
    order: list[int]  # order[k]: index, in the unchanged case, of the candidate shown as LABELS[k]


def changed(case: RankingCase, changes: Changes, detailed: int, title_length: int) -> Changed:
    """The case under these changes.

    A rating is flipped on the scale 1 to 5, wherever a chain tells it; an item that was liked is
    so no more, and leaves the history, but none enters it. The order of evidence and its counts
    stay as they are. A new title stands wherever the item does.

    Args:
        detailed: Evidence chains that the prompt tells in full.
        title_length: Characters of a title that are shown.

    Raises:
        R2RecError: There is no such chain or item, it was not rated, or a title is empty.
    """
    items = items_told(case, detailed)
    flipped = {_named(items, place) for place in changes.flip}
    for place in changes.flip:
        if items[place] not in _rated(case):
            raise R2RecError(f"the user has not rated {place}, so there is no rating to flip")
    titles = {}
    for place, text in changes.titles.items():
        titles[_named(items, place)] = _new_title(place, text, title_length)

    case = _without_chains(case, changes.leave_out, detailed)
    case = _with_flipped_ratings(case, flipped)
    case = _with_titles(case, titles)
    if changes.shuffle is None:
        return Changed(case, list(range(len(case.candidates))))
    again = shuffled([case], np.random.default_rng(changes.shuffle))
    return Changed(again.cases[0], again.orders[0].tolist())


def items_told(case: RankingCase, detailed: int) -> dict[str, Item]:
    """Place -> item, of all items that the prompt tells."""
    items = {f"h{number}": item for number, item in enumerate(case.history, 1)}
    for number, chain in enumerate(case.chains, 1):
        items[f"c{number}"] = chain.item1
        items[f"e{number}"] = chain.item2
    for number, index in enumerate(told_in_full(case, detailed), 1):
        begins = case.evidence[index].item1
        if begins:
            items[f"c{number}"] = begins
    for label, item in zip(LABELS, case.candidates, strict=False):
        items[f"k{label}"] = item
    return items


def _rated(case: RankingCase) -> set[Item]:
    """The items of which the prompt tells that the user liked or rated them."""
    rated = {*case.history}
    for chain in case.chains:
        rated.add(chain.item1)
        if chain.rating_u2 is not None:
            rated.add(chain.item2)
    rated.update(told.item1 for told in case.evidence if told.item1)
    return rated


def _named(items: Mapping[str, Item], place: str) -> Item:
    if place not in items:
        raise R2RecError(f"the prompt tells no item {place}; there are {', '.join(items)}")
    return items[place]


def _new_title(place: str, text: str, length: int) -> str:
    title = clean(text, length)
    if not title:
        raise R2RecError(f"the new title of {place} is empty")
    return title


def _without_chains(case: RankingCase, left_out: Iterable[int], detailed: int) -> RankingCase:
    """Without these chains: no chain leads to the candidate of an evidence chain any more."""
    in_full = told_in_full(case, detailed)
    count = len(in_full) if case.evidence else len(case.chains)
    numbers = set(left_out)
    for number in sorted(numbers):
        if not 1 <= number <= count:
            raise R2RecError(f"there is no chain {number} to leave out; the prompt tells {count}")
    if case.evidence:
        return _without_evidence(case, {in_full[number - 1] for number in numbers})
    kept = [chain for number, chain in enumerate(case.chains, 1) if number not in numbers]
    return case._replace(chains=tuple(kept))


def _without_evidence(case: RankingCase, indices: Collection[int]) -> RankingCase:
    """These candidates come last, with no chain; a witness still ranks them."""
    order = case.strongest()
    order = [index for index in order if index not in indices] + [
        index for index in order if index in indices
    ]
    evidence: list[Evidence] = list(case.evidence)
    for place, index in enumerate(order, 1):
        told = case.evidence[index]._replace(place=place)
        if index in indices:
            told = Evidence(place, None, 0.0, 0, 0, 0, 0, told.witness)
        evidence[index] = told
    return case._replace(evidence=tuple(evidence))


def _with_flipped_ratings(case: RankingCase, flipped: Collection[Item]) -> RankingCase:
    evidence = []
    for told in case.evidence:
        if told.item1 in flipped:
            told = told._replace(rating_u1=6 - told.rating_u1)
        evidence.append(told)
    return case._replace(
        history=tuple(item for item in case.history if item not in flipped),
        chains=tuple(_with_flipped_ends(chain, flipped) for chain in case.chains),
        evidence=tuple(evidence),
    )


def _with_flipped_ends(chain: Chain, flipped: Collection[Item]) -> Chain:
    """A closed chain with the user's rating of these items turned round."""
    if chain.item1 in flipped:
        chain = chain._replace(rating_u1=6 - chain.rating_u1)
    if chain.item2 in flipped and chain.rating_u2 is not None:
        chain = chain._replace(rating_u2=6 - chain.rating_u2)
    return chain


def _with_titles(case: RankingCase, titles: Mapping[Item, str]) -> RankingCase:
    def named(item: Item) -> Item:
        return Item(titles[item], item.attributes) if item in titles else item

    chains = []
    for chain in case.chains:
        chains.append(chain._replace(item1=named(chain.item1), item2=named(chain.item2)))
    evidence = []
    for told in case.evidence:
        evidence.append(told._replace(item1=told.item1 and named(told.item1)))
    return case._replace(
        history=tuple(map(named, case.history)),
        chains=tuple(chains),
        candidates=tuple(map(named, case.candidates)),
        evidence=tuple(evidence),
    )
