"""Reading a thought: its steps, in words that the rules know.

Each data text becomes one private character (`marks`), and each thing gets one word for it.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import NamedTuple

from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts import lexicon, taste
from r2rec.thoughts.marks import MARK, items_by_position, mark, title_mark
from r2rec.thoughts.statements import MARKUP, Statement, stated

NUMBERS = "one two three four five".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
DIGITS = {word: str(n) for n, word in enumerate(NUMBERS, 1)}
PLACES = {word: n for n, word in enumerate(ORDINALS, 1)}

Replacement = str | Callable[[re.Match[str]], str]


class Trace(NamedTuple):
    """A thought, read against its case."""

    numbers: list[int]  # of the steps
    steps: list[str]  # as written; what comes before step 1 stands first, perhaps empty
    statements: list[Statement | None]  # what each of `steps` states in the template's form
    text: str  # `steps` in the words that the rules know, one after the other
    starts: list[int]  # where each of `steps` begins in `text`

    def step_at(self, offset: int) -> int:
        """The step at an offset into `text`; 0: before the first step."""
        return bisect_right(self.starts, offset) - 1

    def step_end(self, offset: int) -> int:
        """Where the step at an offset into `text` ends."""
        following = self.step_at(offset) + 1
        if following < len(self.starts):
            return self.starts[following]
        return len(self.text)


def read_thought(case: RankingCase | RatingCase, thought: str) -> Trace:
    """The steps of a thought."""
    thought = MARK.sub("", thought)
    headings = _headings(thought)
    numbers = [int(heading["step"] or heading["item"]) for heading in headings]
    steps = _split(thought, headings)
    statements = stated(steps, case)
    with_marks = _marking(case, thought)
    plain_steps = []
    starts = []
    next_start = 0
    for step, statement in zip(steps, statements, strict=True):
        plain = statement.plain if statement else None
        if not plain:
            plain = with_marks(step)
        plain = _in_known_words(plain)
        plain_steps.append(plain)
        starts.append(next_start)
        next_start += len(plain) + len("\n")
    return Trace(numbers, steps, statements, "\n".join(plain_steps), starts)


def written_steps(thought: str) -> list[str]:
    """`Trace.steps` of a thought alone: much faster than to read them against a case."""
    thought = MARK.sub("", thought)
    return _split(thought, _headings(thought))


def _headings(thought: str) -> list[re.Match[str]]:
    """Where steps begin. If some lines begin with "Step 1:", a line "1." is only a list item."""
    headings = list(lexicon.STEP_HEADING.finditer(thought))
    spelled_out = [heading for heading in headings if heading["step"]]
    return spelled_out or headings


def _split(thought: str, headings: list[re.Match[str]]) -> list[str]:
    """The texts before, between and after the headings."""
    steps = []
    start = 0
    for heading in headings:
        steps.append(thought[start : heading.start()].strip(MARKUP))
        start = heading.end()
    steps.append(thought[start:].strip(MARKUP))
    return steps


def _marking(case: RankingCase | RatingCase, thought: str) -> Callable[[str], str]:
    """A function that puts marks for the data texts in a step of this thought."""
    lower_thought = thought.lower()
    marks = {}
    in_lower_case = {}
    for text, character in _marks(case).items():
        if text in thought or text.lower() in lower_thought:
            marks[text] = character
            if _in_any_case(text):
                in_lower_case[text.lower()] = character
    longest_first = sorted(marks, key=len, reverse=True)
    alternatives = "|".join(_form(text) for text in longest_first)
    nothing = "(?!)"
    data_text = re.compile(rf"(?<!\w)(?:{alternatives or nothing})(?!\w)")

    def mark_of(match: re.Match[str]) -> str:
        text = match[0]
        return marks.get(text) or in_lower_case.get(text.lower(), text)

    return lambda step: data_text.sub(mark_of, step)


def _marks(case: RankingCase | RatingCase) -> dict[str, str]:
    """Data text -> the mark of the position where it is first read."""
    marks: dict[str, str] = {}
    for position, item in items_by_position(case):
        title = clean(item.title).removesuffix("...")
        names = [title, _without_year(title)]
        traits = taste.traits(item)
        descriptions = [", ".join(traits), *traits]
        if item.attributes:
            descriptions += [trait.lower() for trait in traits]
        of_item = dict.fromkeys(names, title_mark(position))
        of_item |= dict.fromkeys(descriptions, mark(position))
        for text, character in of_item.items():
            if distinctive_words(text):
                marks.setdefault(text, character)
            else:
                marks.setdefault(f'"{text}"', character)
        for name in names:
            if name in marks:
                marks[f'"{name}"'] = marks[name]
    return marks


def _without_year(title: str) -> str:
    """The title without a bracket at its end: "Heat" of "Heat (1995)"."""
    return re.sub(r" \([^()]*\)$", "", title)


def distinctive_words(text: str) -> list[str]:
    """The words of a text that a thought would not use for itself, in lower case."""
    distinctive = []
    for word in re.findall(r"\w+", text.casefold()):
        if len(word) > 2 and not word.isdigit() and word not in lexicon.COMMON_WORDS:
            distinctive.append(word)
    return distinctive


def _in_any_case(text: str) -> bool:
    """Whether a data text counts in any case: it is quoted, or too long to be an accident."""
    return text.startswith('"') or len(distinctive_words(text)) > 1


def _form(text: str) -> str:
    """A regular expression for a data text."""
    escaped = re.escape(text)
    if _in_any_case(text):
        return f"(?i:{escaped})"
    return escaped


def _in_known_words(step: str) -> str:
    """A step in the words that the rules know."""
    for pattern, replacement in _REWORDINGS:
        step = pattern.sub(replacement, step)
    return step


def _numbered(match: re.Match[str]) -> str:
    """ "second chain" -> "chain 2"."""
    return f"{match['thing']} {PLACES[match['ordinal'].lower()]}"


def _lettered(match: re.Match[str]) -> str:
    """ "the second candidate" -> "candidate B"; a place without a label stays a number."""
    if match["word"]:
        place = PLACES[match["word"].lower()]
    else:
        place = int(match["ordinal"] or match["number"])
    if 1 <= place <= len(LABELS):
        return f"candidate {LABELS[place - 1]}"
    return f"candidate {place}"


def _digit(match: re.Match[str]) -> str:
    """ "four" -> "4"."""
    return DIGITS[match[0].lower()]


def _rewording(replacement: Replacement, *alternatives: str) -> tuple[re.Pattern[str], Replacement]:
    return re.compile("|".join(alternatives), re.IGNORECASE), replacement


_REWORDINGS = (  # free wording -> the words that the rules know, in this order
    _rewording(
        _numbered,  # "the first chain", "second neighbor"
        r"\b(?P<ordinal>first|second|third|fourth|fifth) (?P<thing>chain|neighbou?r)\b",
    ),
    _rewording(
        _lettered,
        rf"\bthe (?:(?P<word>{'|'.join(ORDINALS)})|(?P<ordinal>\d\d?)(?:st|nd|rd|th)) candidate\b"
        r"(?! (?:to|that|which)\b|,? (?-i:(?:is )?\(?[A-Z]\b))",  # not "the first candidate is C"
        r"\bcandidate (?:number |no\. ?|#)?(?P<number>\d\d?)\b",  # "candidate 3", "candidate #3"
    ),
    _rewording("chain", r"\bchain"),  # "Chain"
    _rewording(
        "neighbour",
        r"\bneighbou?r",  # "Neighbor"
        r"\b(?:other|another|second|similar) (?:user|viewer|reader)",  # "a similar user"
    ),
    _rewording(
        "user",  # "the target user", "viewer", "customer"
        r"\b(?:target )?(?:users?|viewer|reader|customer|buyer)\b",
    ),
    _rewording(
        "item 2",  # "the second film", "the other book"; "with the first": item 2 shares it
        r"\b(?:(?:second|the other) (?:item|movie|film|book|product|title)|"
        r"item ?2|with the first)\b",
    ),
    _rewording(
        "",
        r"(?: ?/ ?| out of )(?:5|five)\b",  # "4/5", "4 out of five"
        r"\b(?:1|one) ?(?:-|–|to) ?(?:5|five)\b",  # "on a scale from 1 to 5"
        r"\b5-point",  # "a 5-point scale"
    ),
    _rewording(
        _digit,
        r"(?:(?<=\ba )|(?<=\bof )|(?<=\bit ))(?:one|two|three|four|five)(?=[.,;)]|$)",  # "a four."
        r"\b(?:one|two|three|four|five)(?=[ -]stars?\b)",  # "four stars"
    ),
)
