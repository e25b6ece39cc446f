"""Links from the steps of a thought to what they mention: liked items, chains and hops, candidates.

This is a light reading for the page, fast enough for a thousand thoughts. The audit's reading
(`thoughts.reading`) is the one that judges.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import clean

Link = tuple[str, str]
"""Text of a link, and its target within the case.

Targets: "h" the history, "c2" chain 2, "c2-3" its hop 3, "c0" the candidates that no evidence chain
leads to, "k" all candidates, "kA" candidate A.
"""

MAX_CANDIDATES = 4  # a step that mentions more looks at all of them, and gets one link
MIN_TITLE = 4  # characters; shorter titles are common words

# "Liked 3", "chains 1, 2 and 4", "neighbour #2", "Chains 1-2"; not "liked 78%"
_NUMBERED = re.compile(
    r"\b(liked|chain|neighbou?r)s?\s++#?"
    r"(\d{1,2}+(?![\d%])(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,2}\b)*+)",
    re.I,
)
# "1-3", "1 to 3"
_RANGE = re.compile(r"\d\s*(?:to|-|–)\s*\d")
# "the neighbour", "Neighbors"
_NEIGHBOUR = re.compile(r"\bneighbou?r", re.I)
# "the user gave 5"
_USER = re.compile(r"\buser\b", re.I)
# What the second half of a chain begins with: "then 3", "item 2", "the second movie"
_SECOND = re.compile(
    r"\bthen\b|\bitem ?2\b|\bsecond (?:item|movie|film|book|product|title)\b", re.I
)
# A label, as in "C 5, B 4." but not in "B.B. King" or "B-side". A and I are words as well, so they
# count only where a label would stand: "A > B", "I: a drama", "A 5", "Best: A fits", "A against B",
# "A comes first", "then A.", "best by people: A."
_LABEL = re.compile(
    r"(?<![\w'’.&/-])"
    r"(?:[B-HJ-Z](?![\w'’&/]|\.\w|-\w)"
    r"|[AI](?=\s*+[>,;:=)]|\s\d|\sagainst\b|\scomes first\b)"
    r"|(?<=[:;>] )[AI](?=\s)"
    r"|(?:(?<=\bfor )|(?<=\bto )|(?<=\bthen )|(?<=: ))[AI](?=\.(?:\s|$)))"
)
# A title, where labels are looked for: "Dial M for Murder" names no candidate. Not the label in
# 'candidate "B"'.
_QUOTED = re.compile(r'"[^"\n]{2,}"')
# A comparison of candidates: it rests on what chains say of them.
_COMPARES = re.compile(r"\bagainst\b|\bbest by\b", re.I)
# The hops of an evidence chain: the user's rating, those who rated the same, those who went on.
_EVIDENCE_HOPS = (
    _USER,
    re.compile(r"\bothers? rated\b", re.I),
    re.compile(r"\bsoon rated\b|\bliked it\b", re.I),
)
# A comparison by what hop 3 says
_BY_PEOPLE = re.compile(r"\bpeople\b", re.I)
# "No chain leads to B"
_UNLINKED = re.compile(r"\bno chains? leads?\b", re.I)

Mentions = Mapping[int, int]
"""Number of an item -> where a step mentions it first."""


class Titles(NamedTuple):
    """The cleaned titles of a case that are long enough to be recognised."""

    liked: Mapping[int, str]  # by number from 1, as prompts number them
    candidates: Mapping[int, str]  # by index from 0


class Numbers(NamedTuple):
    """What a step names by number."""

    liked: set[int]
    chains: set[int]


def step_links(
    case: RankingCase, steps: Sequence[str], in_full: Sequence[int] = ()
) -> list[list[Link]]:
    """The links of each step: what it mentions by number, label or title.

    A step about "the neighbour" that names no chain belongs to the last chain named before it.

    Args:
        in_full: Where the case has evidence, the index of the candidate that each chain leads to.
    """
    titles = Titles(liked=_titles(case.history, 1), candidates=_titles(case.candidates, 0))
    if case.evidence:
        return [_evidence_links(case, step, titles, in_full) for step in steps]
    every = []
    last_chain = 0  # 0: none so far
    for step in steps:
        numbers = _numbers(step)
        numbered_chains = numbers.chains
        if not numbered_chains and last_chain and _NEIGHBOUR.search(step):
            numbered_chains = {last_chain}
        chains = sorted(numbered_chains.intersection(range(1, len(case.chains) + 1)))
        if chains:
            last_chain = chains[-1]
        liked = numbers.liked.intersection(range(1, len(case.history) + 1))
        liked.update(_by_title(step, titles.liked))
        candidates = _by_title(step, titles.candidates)
        if not numbered_chains and not liked:  # else "A 5" may mean something else
            candidates = _by_label(step, len(case.candidates), candidates)

        links = _liked_links(sorted(liked))
        links += _chain_links(case, chains, step)
        links += _candidate_links(candidates)
        every.append(links)
    return every


def _evidence_links(
    case: RankingCase, step: str, titles: Titles, in_full: Sequence[int]
) -> list[Link]:
    """The links of a step about evidence chains."""
    numbers = _numbers(step)
    liked = numbers.liked.intersection(range(1, len(case.history) + 1))
    liked.update(_by_title(step, titles.liked))
    candidates = _by_title(step, titles.candidates)
    candidates = _by_label(step, len(case.candidates), candidates)
    compares = _COMPARES.search(step)
    links = _liked_links(sorted(liked))
    for number, index in enumerate(in_full, start=1):
        if number in numbers.chains:
            hops = [hop for hop, words in enumerate(_EVIDENCE_HOPS, 1) if words.search(step)]
            links += _to_chain(number, hops if len(numbers.chains) == 1 else [])
        elif compares and index in candidates:
            to_hop = (f"chain {number}, hop 3", f"c{number}-3")
            links += [to_hop] if _BY_PEOPLE.search(step) else _to_chain(number, [])
    some_unlinked = any(told.item1 is None for told in case.evidence)
    if some_unlinked and _UNLINKED.search(step):
        links.append(("no chain", "c0"))
    return links + _candidate_links(candidates)


def _numbers(step: str) -> Numbers:
    """What a step names by number; "neighbour 2" stands for chain 2 unless a chain is named."""
    named: dict[str, set[int]] = {"liked": set(), "chain": set(), "neighbor": set()}
    for match in _NUMBERED.finditer(step):
        kind = match[1].lower().replace("ou", "o")
        listed = list(map(int, re.findall(r"\d+", match[2])))
        if _RANGE.search(match[2]):
            named[kind].update(range(listed[0], listed[-1] + 1))
        else:
            named[kind].update(listed)
    return Numbers(named["liked"], named["chain"] or named["neighbor"])


def _titles(items: Sequence[Item], first: int) -> dict[int, str]:
    """Number -> title, counted from `first`; titles too short to be recognised are left out."""
    titles = {}
    for number, item in enumerate(items, first):
        title = clean(item.title)
        if len(title) >= MIN_TITLE:
            titles[number] = title
    return titles


def _by_title(step: str, titles: Mapping[int, str]) -> Mentions:
    """Where titles stand in a step."""
    positions = {}
    for number, title in titles.items():
        position = step.find(title)
        if position >= 0:
            positions[number] = position
    return positions


def _by_label(step: str, count: int, mentioned: Mentions) -> Mentions:
    """`mentioned`, and where labels of the first `count` candidates stand in a step."""
    positions = dict(mentioned)
    without_titles = _QUOTED.sub(lambda match: f'"{" " * (len(match[0]) - 2)}"', step)
    for match in _LABEL.finditer(without_titles):
        index = LABELS.index(match[0])
        if index < count:
            positions[index] = min(match.start(), positions.get(index, len(step)))
    return positions


def _liked_links(numbers: Sequence[int]) -> list[Link]:
    if not numbers:
        return []
    return [(f"liked {_ranges(numbers)}", "h")]


def _chain_links(case: RankingCase, chains: Sequence[int], step: str) -> list[Link]:
    """A link per chain, and to its hops where the step is about one chain."""
    links = []
    for number in chains:
        links += _to_chain(number, _hops(case, number, step) if len(chains) == 1 else [])
    return links


def _to_chain(number: int, hops: Sequence[int]) -> list[Link]:
    """Links to a chain and to hops of it."""
    to_hops = [(f"hop {hop}", f"c{number}-{hop}") for hop in hops]
    return [(f"chain {number}", f"c{number}"), *to_hops]


def _candidate_links(mentioned: Mentions) -> list[Link]:
    """A link per candidate in the order of the text, or one to all of them."""
    if len(mentioned) > MAX_CANDIDATES:
        return [(f"{len(mentioned)} candidates", "k")]
    links = []
    for index in sorted(mentioned, key=lambda index: (mentioned[index], index)):
        links.append((LABELS[index], f"k{LABELS[index]}"))
    return links


def _hops(case: RankingCase, number: int, step: str) -> list[int]:
    """The ratings of a chain that a step follows.

    Hop 1 is the user's rating of item 1, 2 the neighbour's of item 1, 3 the neighbour's of item 2,
    and 4 the user's of item 2.
    """
    chain = case.chains[number - 1]
    neighbour = _NEIGHBOUR.search(step, step.find(":") + 1)  # after "Neighbour 2:" itself
    before = step
    after = ""
    if neighbour:
        before = step[: neighbour.start()]
        after = step[neighbour.end() :]
    hops = []
    if _USER.search(before) or clean(chain.item1.title) in before:
        hops.append(1)
    if not neighbour:
        return hops
    hops.append(2)
    second = _SECOND.search(after)
    if second:
        start = second.start()
    else:
        start = after.find(clean(chain.item2.title))
    if start >= 0:
        hops.append(3)
        if chain.rating_u2 is not None and _USER.search(after[start:]):
            hops.append(4)
    return hops


def _ranges(numbers: Sequence[int]) -> str:
    """Sorted numbers as text: "1–3, 5"."""
    parts: list[str] = []
    start = 0
    for end in range(1, len(numbers) + 1):
        if end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
            continue
        first = numbers[start]
        last = numbers[end - 1]
        if first == last:
            parts.append(f"{first}")
        else:
            parts.append(f"{first}–{last}")
        start = end
    return ", ".join(parts)
