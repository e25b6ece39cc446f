"""What a step of a thought rests on: the liked items, the chain and its hops, the candidates that it reads.

A light reading for links in the page, fast enough for a thousand thoughts; the audit's (`thoughts.reading`) judges.
"""

import re
from collections.abc import Iterator, Sequence

from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import clean

Ground = tuple[str, str]
"""What a link says, and where it leads in its case: "h" history, "c2" chain 2, "k" all candidates, "kA" one."""

MANY = 4  # more candidates than this in one step are a look at all of them
_NUMBERED = re.compile(
    r"\b(liked|chain|neighbou?r)s?\s++#?(\d{1,2}(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,2}\b)*+)", re.I
)
_NEIGHBOUR = re.compile(r"\bneighbou?r", re.I)
_SECOND = re.compile(
    r"\bthen\b|\bitem ?2\b|\bsecond (?:item|movie|film|book|product|title)\b", re.I
)
_LABEL = re.compile(  # A and I are words as well: they count where a label would stand
    r"(?<![\w'’.&/-])(?:[B-HJ-Z](?![\w'’&/]|\.\w|-\w)|[AI](?=\s*+[>,;:=)]|\s\d)|(?<=[:;>] )[AI](?=\s))"
)


def grounds(case: RankingCase, steps: Sequence[str]) -> list[list[Ground]]:
    """Of each step, what it names by number, label or title; one about "the neighbour" is still at the last chain."""
    titles = {place: clean(item.title) for place, item in _places(case)}
    found, at = [], 0
    for step in steps:
        named = {place for place, title in titles.items() if len(title) > 3 and title in step}
        numbered = set(_numbered(step))
        named |= numbered & titles.keys()
        spoken = {n for kind, n in numbered if kind == "chain"} or (
            {at} if at and _NEIGHBOUR.search(step) else set()
        )
        chains = sorted(n for n in spoken if 1 <= n <= len(case.chains))
        at = chains[-1] if chains else at
        labels = sorted(
            (step.find(titles["candidate", n]), n) for kind, n in named if kind == "candidate"
        )
        if not spoken and not any(kind == "liked" for kind, _ in named):
            labels += [
                (m.start(), n)
                for m in _LABEL.finditer(step)
                if (n := LABELS.index(m[0])) < len(case.candidates)
            ]
        found.append([
            *_liked(sorted(n for kind, n in named if kind == "liked")),
            *((f"chain {n}{_hops(case, n, step) if len(chains) == 1 else ''}", f"c{n}") for n in chains),
            *_candidates(list(dict.fromkeys(n for _, n in sorted(labels)))),
        ])  # fmt: skip
    return found


def _places(case: RankingCase) -> Iterator[tuple[tuple[str, int], Item]]:
    """Liked items from 1, as prompts number them; candidates from 0."""
    yield from ((("liked", n), item) for n, item in enumerate(case.history, 1))
    yield from ((("candidate", n), item) for n, item in enumerate(case.candidates))


def _numbered(step: str) -> Iterator[tuple[str, int]]:
    """Things named by number: "Liked 3", "chains 1, 2 and 4"; "neighbour 2" is of chain 2 where no chain is named."""
    named: dict[str, list[int]] = {}
    for found in _NUMBERED.finditer(step):
        numbers = [int(n) for n in re.findall(r"\d+", found[2])]
        through = re.search(r"\d\s*(?:to|-|–)\s*\d", found[2])
        every = range(numbers[0], numbers[-1] + 1) if through else numbers
        named.setdefault(found[1].lower().replace("ou", "o"), []).extend(every)
    yield from (("liked", n) for n in named.get("liked", []))
    yield from (("chain", n) for n in named.get("chain") or named.get("neighbor", []))


def _hops(case: RankingCase, n: int, step: str) -> str:
    """Which ratings of chain n the step walks over: 1 user-item 1, 2 item 1-neighbour, 3 neighbour-item 2, 4 back."""
    chain = case.chains[n - 1]
    near = _NEIGHBOUR.search(step, step.find(":") + 1)  # after "Neighbour 2:" itself
    before = step[: near.start()] if near else step
    after = step[near.end() :] if near else ""
    second = _SECOND.search(after)
    at = second.start() if second else after.find(clean(chain.item2.title))
    walked = [
        bool(re.search(r"\buser\b", before, re.I)) or clean(chain.item1.title) in before,
        bool(near),
        at >= 0 and bool(near),
        at >= 0 and chain.rating_u2 is not None and bool(re.search(r"\buser\b", after[at:], re.I)),
    ]
    hops = [hop for hop, there in enumerate(walked, 1) if there]
    if not hops:
        return ""
    return f", hop {hops[0]}" if len(hops) == 1 else f", hops {_ranges(hops)}"


def _liked(numbers: Sequence[int]) -> list[Ground]:
    return [(f"liked {_ranges(numbers)}", "h")] if numbers else []


def _candidates(numbers: Sequence[int]) -> list[Ground]:
    if len(numbers) > MANY:
        return [(f"{len(numbers)} candidates", "k")]
    return [(LABELS[n], f"k{LABELS[n]}") for n in numbers]


def _ranges(numbers: Sequence[int]) -> str:
    """ "1–3, 5" """
    parts: list[list[int]] = []
    for n in numbers:
        if parts and n == parts[-1][-1] + 1:
            parts[-1].append(n)
        else:
            parts.append([n])
    return ", ".join(str(p[0]) if len(p) == 1 else f"{p[0]}–{p[-1]}" for p in parts)
