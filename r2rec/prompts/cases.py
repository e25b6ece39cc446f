"""What a prompt is about, before it is text: items, chains, and the two questions of the paper.

A case holds no identity: no raw id, no user id, no true answer (that travels beside the case). So
nothing that renders a case can leak one.
"""

from typing import NamedTuple

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Candidate labels, in the order shown; the default of 20 candidates uses A to T."""


class Item(NamedTuple):
    """An item as the data describes it. Both texts are untrusted: `render.clean` them first."""

    title: str
    attributes: tuple[str, ...]


class Chain(NamedTuple):
    """The closed loop u - item1 - v - item2 - u with its four ratings (section 3.2.1)."""

    item1: Item
    rating_u1: float  # the target user's rating of item1
    rating_v1: float  # the neighbour's rating of item1
    rating_v2: float  # the neighbour's rating of item2
    item2: Item
    # The target user's rating of item2: the answer of a RatingCase. None: the chain is open.
    rating_u2: float | None
    neighbour: str | None = None  # profile of v, untrusted; None: the prompt tells none


class Evidence(NamedTuple):
    """What the chains u - item1 - {v} - candidate say of one candidate (`chains.evidence`).

    They are added up over all other users v; `raters`, `soon` and `liked` count those v.
    """

    place: int  # 1: the strongest candidate
    item1: Item | None  # where the strongest chain begins; None: no chain leads to the candidate
    rating_u1: float  # the target user's rating of item1
    raters: int  # rated item1
    soon: int  # rated the candidate soon after item1
    liked: int  # of `soon`, those who liked the candidate
    links: int  # recent items of the target user that lead to the candidate
    witness: int | None = None  # where another model ranks the candidate, from 1; None: not asked


class Facts(NamedTuple):
    """How other users rated a candidate."""

    ratings: int  # how many rated it
    liked: int  # percent of them who liked it


class RankingCase(NamedTuple):
    """Rank the candidates for a user, by profile, recently liked items and chains (4.1.2)."""

    profile: str | None
    history: tuple[Item, ...]  # most recent last
    chains: tuple[Chain, ...]
    candidates: tuple[Item, ...]  # as shown: candidate k carries LABELS[k]
    evidence: tuple[Evidence, ...] = ()  # of each candidate; empty: chains are of another kind
    facts: tuple[Facts, ...] = ()  # of each candidate; empty: not told

    def strongest(self) -> list[int]:
        """Indices of the candidates, those with the strongest evidence first."""
        return sorted(range(len(self.evidence)), key=lambda index: self.evidence[index].place)


class RatingCase(NamedTuple):
    """The paper's question on one chain (3.2.1): what does the user give to item2?

    `chain.rating_u2` is never shown.
    """

    profile: str | None
    chain: Chain
