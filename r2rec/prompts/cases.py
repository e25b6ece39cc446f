"""What a prompt is about, before it is text: items, chains, and the two questions the paper asks.

Cases hold no identity: no raw id, no user id, no true answer (that travels beside the case), so nothing
that renders a case can leak one.
"""

from typing import NamedTuple

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Candidate labels, in the order shown; the default 20 candidates use A-T."""


class Item(NamedTuple):
    """An item as a prompt shows it: untrusted title and attribute texts from the data."""

    title: str
    attributes: tuple[str, ...]


class Chain(NamedTuple):
    """The closed loop u - item1 - v - item2 - u with its four ratings (section 3.2.1)."""

    item1: Item
    rating_u1: float  # the target user's rating of item1
    rating_v1: float  # the neighbour's rating of item1
    rating_v2: float  # the neighbour's rating of item2
    item2: Item
    rating_u2: (
        float | None
    )  # None in an open chain; the target user's rating of item2: the answer of a chain-rating question


class RankingCase(NamedTuple):
    """Rank the candidates for a user, from a profile, recently liked items and chains (section 4.1.2)."""

    profile: str | None
    history: tuple[Item, ...]  # most recent last
    chains: tuple[Chain, ...]
    candidates: tuple[Item, ...]  # as shown: candidate k carries LABELS[k]


class RatingCase(NamedTuple):
    """The paper's question on one chain: what does the user rate item2? `chain.rating_u2` is never shown."""

    profile: str | None
    chain: Chain
