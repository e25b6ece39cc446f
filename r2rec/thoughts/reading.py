"""Reading a thought: its steps, with one private character for each data text and one word for each thing."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from r2rec.prompts.cases import LABELS, Item, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts import evidence
from r2rec.thoughts.statements import MARKUP, Statement, mark, stated

COMMON = frozenset(re.findall(r"\w+", """
    the this that its her his our you who what and but for with not are was one two three four five first second
    third last next final step chain hop user users target neighbour neighbor rating ratings rated rate rank ranking
    answer candidate candidates item items liked like enjoyed loved disliked neutral lukewarm agrees differs then gave
    best supported strongest taken together expect correct true positive shares nothing guide
"""))  # fmt: skip
"""Words a thought may use for itself: data texts made of nothing else are taken out in quotation marks alone."""

_DATA = re.compile("[\U000f0000-\U0010fffd]")
_STEP = re.compile(
    r"^[ \t>#*_+•-]*+(?:step[ \t]++(\d{1,3})[*_]*+[ \t]*+[:.)–—-]|(\d{1,3})[.)](?![^\s*_]))",
    re.I | re.M,
)
_ORDER = {
    w: str(n % 5 + 1)
    for n, w in enumerate("one two three four five first second third fourth fifth".split())
}
_NTH = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
_TIDY = (  # free wording -> the words that the rules know
    (re.compile(r"\b(first|second|third|fourth|fifth) (chain|neighbou?r)\b", re.I),
     lambda m: f"{m[2]} {_ORDER[m[1].lower()]}"),
    (re.compile(rf"\bthe (?:({'|'.join(_NTH)})|(\d\d?)(?:st|nd|rd|th)) candidate\b"
                r"(?! (?:to|that|which)\b|,? (?-i:(?:is )?\(?[A-Z]\b))|"  # "the first candidate is C": no place
                r"\bcandidate (?:number |no\. ?|#)?(\d\d?)\b", re.I),
     lambda m: f"candidate {_lettered(_NTH.index(m[1].lower()) + 1 if m[1] else int(m[2] or m[3]))}"),
    (re.compile(r"\bchain", re.I), "chain"),
    (re.compile(r"\bneighbou?r|\b(?:other|another|second|similar) (?:user|viewer|reader)", re.I), "neighbour"),
    (re.compile(r"\b(?:target )?(?:users?|viewer|reader|customer|buyer)\b", re.I), "user"),
    (re.compile(r"\b(?:(?:second|the other) (?:item|movie|film|book|product|title)|item ?2|with the first)\b", re.I),
     "item 2"),
    (re.compile(r"(?: ?/ ?| out of )(?:5|five)\b|\b(?:1|one) ?(?:-|–|to) ?(?:5|five)\b|\b5-point", re.I), ""),
    (re.compile(r"(?:(?<=\ba )|(?<=\bof )|(?<=\bit ))(one|two|three|four|five)(?=[.,;)]|$)|"
                r"\b(one|two|three|four|five)(?=[ -]stars?\b)", re.I), lambda m: _ORDER[m[0].lower()]),
)  # fmt: skip


class Trace(NamedTuple):
    """A thought, read against its case."""

    numbers: list[int]  # of the steps
    steps: list[str]  # as written; what comes before step 1 stands first, perhaps empty
    statements: list[Statement | None]  # of each of `steps`
    text: str  # `steps` as the rules read them, one after the other
    starts: list[int]  # where each begins in `text`

    def at(self, place: int) -> int:
        """The step (0: before the first) at a place in `text`."""
        return bisect_right(self.starts, place) - 1

    def end(self, place: int) -> int:
        """Where the step at a place in `text` ends."""
        return [*self.starts, len(self.text)][self.at(place) + 1]


def read_thought(case: RankingCase | RatingCase, thought: str) -> Trace:
    """The steps of a thought. Where some lines begin "Step 1:", a line "1." is a list item and no step."""
    thought = _DATA.sub("", thought)
    heads = list(_STEP.finditer(thought))
    heads = [h for h in heads if h[1]] or heads
    ends = [h.start() for h in heads] + [len(thought)]
    steps = [
        thought[a:b].strip(MARKUP)
        for a, b in zip([0] + [h.end() for h in heads], ends, strict=True)
    ]
    statements = stated(steps, case)
    low = thought.lower()
    marks = {text: m for text, m in _marks(case).items() if text in thought or text.lower() in low}
    folded = {text.lower(): m for text, m in marks.items() if _in_any_case(text)}
    forms = [_form(text) for text in sorted(marks, key=len, reverse=True)]
    data = re.compile(rf"(?<!\w)(?:{'|'.join(forms) or '(?!)'})(?!\w)")
    plains = [
        _plain(
            (s and s.plain)
            or data.sub(lambda m: marks.get(m[0]) or folded.get(m[0].lower(), m[0]), step)
        )
        for step, s in zip(steps, statements, strict=True)
    ]
    starts = list(accumulate((len(p) + 1 for p in plains[:-1]), initial=0))
    return Trace([int(h[1] or h[2]) for h in heads], steps, statements, "\n".join(plains), starts)


def titles(text: str) -> Iterator[tuple[int, int]]:
    """Where a text has titles of items, and the place where each is first read in the case."""
    return (
        (m.start(), (ord(m[0]) - ord(mark(0))) // 2) for m in _DATA.finditer(text) if ord(m[0]) % 2
    )


def places(case: RankingCase | RatingCase) -> list[tuple[int, Item]]:
    """Items by where they are read: history 0, chain n 2n - 1 and 2n, then the candidates."""
    if isinstance(case, RatingCase):
        return [(1, case.chain.item1), (2, case.chain.item2)]
    in_chains = [item for chain in case.chains for item in (chain.item1, chain.item2)]
    return [*((0, item) for item in case.history), *enumerate([*in_chains, *case.candidates], 1)]


def _marks(case: RankingCase | RatingCase) -> dict[str, str]:
    """Data text -> the character of the place where it is first read."""
    marks: dict[str, str] = {}
    for place, item in places(case):
        traits, title = evidence.traits(item), clean(item.title).removesuffix("...")
        names = dict.fromkeys((title, re.sub(r" \([^()]*\)$", "", title)), mark(place, is_title=1))
        lower = [t.lower() for t in traits] if item.attributes else []
        for text, character in (
            names | dict.fromkeys((", ".join(traits), *traits, *lower), mark(place))
        ).items():
            marks.setdefault(text if telling(text) else f'"{text}"', character)
        marks |= {f'"{text}"': marks[text] for text in names if text in marks}
    return marks


def telling(text: str) -> list[str]:
    """The words of a text that a thought would not use for itself, in lower case."""
    words = re.findall(r"\w+", text.casefold())
    return [w for w in words if len(w) > 2 and not w.isdigit() and w not in COMMON]


def _in_any_case(text: str) -> bool:
    """Whether a text is known however it is capitalised: in quotation marks, or by words enough to be no accident."""
    return text.startswith('"') or len(telling(text)) > 1


def _form(text: str) -> str:
    return f"(?i:{re.escape(text)})" if _in_any_case(text) else re.escape(text)


def _lettered(n: int) -> str:
    return LABELS[n - 1] if 1 <= n <= len(LABELS) else str(n)


def _plain(step: str) -> str:
    """A step in the words that the rules know."""
    for pattern, word in _TIDY:
        step = pattern.sub(word, step)
    return step
