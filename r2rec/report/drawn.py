"""Chains and neighbourhoods as drawings: what stands where; `drawn.html.j2` has the lines."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import NamedTuple
from unicodedata import east_asian_width

from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase

MOST_STARS = 5  # a rating on a larger scale is a number
LIKED = 3  # ratings above it are likes
MOST_CANDIDATES = 8  # of a neighbourhood; the held-out one is there in any case
WIDTH = 360  # units of a neighbourhood: about the pixels of a phone
ROW = 26
THICKEST = 4.0


class Node(NamedTuple):
    """A box or a circle of a neighbourhood, in units of its drawing."""

    kind: str  # "user", "item", "neighbour" or "candidate"
    x: float  # of its left edge, or of its centre where it is a circle
    y: float  # of its middle
    width: float  # 0: a circle
    text: str
    about: str = ""  # what stands beside it
    truth: bool = False  # it is the held-out item


class Edge(NamedTuple):
    """A line from one node to the next."""

    path: str  # as SVG writes it
    width: float
    weak: bool  # dashed: no like, or not told in full


class Drawing(NamedTuple):
    """A user's neighbourhood, from left to right."""

    height: float
    nodes: Sequence[Node]
    edges: Sequence[Edge]


def stars(rating: float) -> str:
    """A rating as stars and as a number: "★★★★☆ 4"."""
    if not 0 <= rating <= MOST_STARS:
        return f"★ {rating:g}"
    full = int(rating)
    half = "½" if rating - full >= 0.5 else ""
    return f"{'★' * full}{half}{'☆' * (MOST_STARS - full - len(half))} {rating:g}"


def agreement(one: float | None, other: float | None) -> str:
    """Whether two users agree on an item: "agree", "differ", or "" where one has not rated it."""
    if one is None or other is None:
        return ""
    return "agree" if (one > LIKED) == (other > LIKED) else "differ"


def lines(text: str, width: int, most: int) -> list[str]:
    """Text on at most `most` lines of `width` letters; what has no room is cut."""
    rows = [""]
    for part in _parts(text, width):
        longer = f"{rows[-1]} {part}".strip()
        if rows[-1] and _letters(longer) > width:
            rows.append(part)
        else:
            rows[-1] = longer
    if len(rows) > most:
        last = " ".join(rows[most - 1 :])
        while _letters(last) >= width:
            last = last[:-1]
        rows = [*rows[: most - 1], f"{last.rstrip()}…"]
    return rows


def _parts(text: str, width: int) -> Iterator[str]:
    """The words of a text, those wider than a line in several parts."""
    for word in text.split():
        part = ""
        for letter in word:
            if _letters(part + letter) > width:
                yield part
                part = ""
            part += letter
        yield part


def _letters(text: str) -> int:
    """How wide a text is, in Latin letters."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def neighbourhood(case: RankingCase, positive: int, in_full: Sequence[int]) -> Drawing | None:
    """The graph that all chains of a case make together; None where there is no chain.

    Args:
        case: As shown.
        positive: Index of the held-out item among the candidates.
        in_full: Candidates whose evidence is told in full.
    """
    if case.evidence:
        return _of_evidence(case, positive, in_full)
    if case.chains:
        return _of_loops(case.chains)
    return None


def _of_evidence(case: RankingCase, positive: int, in_full: Sequence[int]) -> Drawing | None:
    """User, the items that chains begin with, and the candidates that they lead to."""
    begins = [told.item1 for told in case.evidence]
    linked = [index for index in case.strongest() if begins[index] is not None]
    if not linked:
        return None
    shown = linked[:MOST_CANDIDATES]
    if positive in linked and positive not in shown:
        shown.append(positive)
    items = list(dict.fromkeys(begins[index] for index in shown))
    height = ROW * max(len(items), len(shown))
    user = Node("user", 18, height / 2, 0, "user")
    starts = _column("item", 62, 120, [item.title for item in items if item], height)
    titles = [f"{LABELS[index]} {case.candidates[index].title}" for index in shown]
    ends = _column("candidate", 240, 120, titles, height)
    edges = []
    most = max(case.evidence[index].soon for index in shown)
    for place, index in enumerate(shown):
        told = case.evidence[index]
        start = starts[items.index(told.item1)]
        width = 1 + (THICKEST - 1) * sqrt(told.soon / max(most, 1))
        edges.append(_edge(start, ends[place], width, weak=index not in in_full))
        ends[place] = ends[place]._replace(about=f"{told.soon:,}", truth=index == positive)
    edges += [_edge(user, start, 1, weak=False) for start in starts]
    return Drawing(height, [user, *starts, *ends], edges)


def _of_loops(chains: Sequence[Chain]) -> Drawing:
    """User, items that both rated, neighbours, and the items that lead back to the user."""
    first = _distinct(chain.item1 for chain in chains)
    second = _distinct(chain.item2 for chain in chains)
    height = ROW * max(len(first), len(second), len(chains))
    user = Node("user", 18, height / 2, 0, "user")
    starts = _column("item", 52, 98, [item.title for item in first], height)
    people = _column("neighbour", 180, 0, [f"v{n + 1}" for n in range(len(chains))], height)
    ends = _column("item", 208, 98, [item.title for item in second], height)
    edges = []
    for chain, neighbour in zip(chains, people, strict=True):
        start = starts[first.index(chain.item1)]
        place = second.index(chain.item2)
        edges.append(_edge(user, start, 1.5, weak=chain.rating_u1 <= LIKED))
        edges.append(_edge(start, neighbour, 1.5, weak=chain.rating_v1 <= LIKED))
        edges.append(_edge(neighbour, ends[place], 1.5, weak=chain.rating_v2 <= LIKED))
        if chain.rating_u2 is not None:
            ends[place] = ends[place]._replace(about=f"{chain.rating_u2:g} ★")
    return Drawing(height, [user, *starts, *people, *ends], list(dict.fromkeys(edges)))


def _distinct(items: Iterator[Item]) -> list[Item]:
    return list(dict.fromkeys(items))


def _column(kind: str, x: float, width: float, texts: Sequence[str], height: float) -> list[Node]:
    """Nodes below each other, spread over the height."""
    step = height / len(texts)
    return [Node(kind, x, step * (n + 0.5), width, text) for n, text in enumerate(texts)]


def _edge(start: Node, end: Node, width: float, *, weak: bool) -> Edge:
    """A curve from the right of one node to the left of another."""
    x = start.x + (start.width or (16 if start.kind == "user" else 11))
    end_x = end.x - (0 if end.width else 11)
    middle = (x + end_x) / 2
    y, end_y = f"{start.y:.4g}", f"{end.y:.4g}"
    return Edge(
        f"M{x:g} {y}C{middle:g} {y} {middle:g} {end_y} {end_x:g} {end_y}", round(width, 1), weak
    )
