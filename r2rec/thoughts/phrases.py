"""What a thought says, piece by piece: clauses, ratings, chains, candidates and verdicts.

Nothing here judges. Offsets are into the text that is read: of the whole trace, where one is given.
"""

import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.thoughts import lexicon
from r2rec.thoughts.marks import marked_titles
from r2rec.thoughts.reading import Trace

PEOPLE = frozenset(["user", "neighbour"])
SIGNS = {"like": 1, "neutral": 0, "dislike": -1}
DENIAL_REACH = 60  # characters before a verdict in which a denial of it may stand


class Mention(NamedTuple):
    """Something that a text mentions by number."""

    word: str  # "step", "chain" or "neighbour"
    offset: int
    number: int


class Stretch(NamedTuple):
    """The part of a trace that reads one chain."""

    chain: int
    start: int
    end: int


def clauses(text: str) -> Iterator[tuple[int, str]]:
    """(offset, clause) of all clauses, empty ones included."""
    start = 0
    for end in lexicon.CLAUSE_END.finditer(text):
        yield start, text[start : end.start()]
        start = end.end()
    yield start, text[start:]


def first_of(text: str, pattern: str) -> int:
    """The offset of a pattern's first match, or the length of the text."""
    match = re.search(pattern, text)
    if match is None:
        return len(text)
    return match.start()


def named_or_all(clause: str, patterns: Set[str]) -> Set[str]:
    """The patterns that a clause has, or all of them if it has none."""
    named = {pattern for pattern in patterns if re.search(pattern, clause)}
    return named or patterns


def cited_ratings(clause: str) -> list[str]:
    """The ratings in a clause, as prompts write them: "4" for "4.0", "3.5"."""
    without_counts = lexicon.NOT_RATING.sub(" ", clause)
    numbers = lexicon.RATING.findall(without_counts)
    return [f"{float(number):g}" for number in numbers]


def mentions(text: str) -> Iterator[Mention]:
    """What is mentioned by number: "chain 2", "steps 1, 3 and 4", "steps 1-5"."""
    for match in lexicon.MENTION.finditer(text):
        word = match["word"].lower()
        digits = re.findall(r"\d+", match["one"] or match["many"])
        numbers = list(map(int, digits))
        if lexicon.NUMBER_RANGE.search(match[0]):
            numbers = list(range(numbers[0], numbers[-1] + 1))
        for number in numbers:
            yield Mention(word, match.start(), number)


def first_mentions(trace: Trace) -> dict[int, int]:
    """Number of a chain -> the offset at which the chain, or its neighbour, is first mentioned."""
    first: dict[int, int] = {}
    backwards = reversed(list(mentions(trace.text)))
    for mention in backwards:  # so the earliest mention of a chain is the one that stays
        if mention.word != "step":
            first[mention.number] = mention.offset
    return first


def stretches(trace: Trace, n_chains: int) -> Iterator[Stretch]:
    """Where each chain is read. Chains that are only mentioned together have no stretch."""
    first = first_mentions(trace)
    offsets = list(first.values())
    starts = {number: _stretch_start(trace.text, offset) for number, offset in first.items()}
    for number, start in starts.items():
        offset = first[number]
        is_alone = offsets.count(offset) == 1
        if not is_alone or not 1 <= number <= n_chains:
            continue
        end = trace.step_end(offset)
        for other_start in starts.values():
            if start < other_start < end:
                end = other_start
        yield Stretch(number, start, end)


def chains_at(chain_stretches: Sequence[Stretch], offset: int) -> set[int]:
    """Numbers of the chains that are read at an offset."""
    numbers = set()
    for number, start, end in chain_stretches:
        if start <= offset < end:
            numbers.add(number)
    return numbers


def _stretch_start(text: str, offset: int) -> int:
    """A chain is read from its first mention on, or from the sentence that names its neighbour."""
    if text.startswith("chain", offset):
        return offset
    sentence_end = text.rfind(". ", 0, offset)
    line_end = text.rfind("\n", 0, offset)
    return max(sentence_end, line_end) + 1


def named_candidates(text: str, case: RankingCase) -> list[tuple[int, str]]:
    """(offset, label) of the candidates that a text names by label or title, in its order."""
    known = LABELS[: len(case.candidates)]
    first_position = 2 * len(case.chains) + 1
    named = []
    for match in lexicon.LABEL.finditer(_without_list_points(text)):
        label = match[match.lastindex or 0].upper()
        if label in known:
            named.append((match.start(), label))
    for offset, position in marked_titles(text):
        if position >= first_position:
            named.append((offset, known[position - first_position]))
    named.sort()
    return named


def _without_list_points(text: str) -> str:
    """The text without the brackets of lines that count their own points: "(a) ..., (b) ..."."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        letters = "".join(lexicon.LIST_POINT.findall(line))
        if len(letters) > 1 and LABELS.lower().startswith(letters):
            lines[index] = lexicon.LIST_POINT.sub("   ", line)  # as long, so offsets stay
    return "\n".join(lines)


def stated_verdicts(text: str) -> list[tuple[int, int]]:
    """(offset, sign) of the verdicts in a text: 1 a like, 0 neutral, -1 a dislike.

    "Not liked" is a dislike. Other denials say what is not the case, which is no verdict.
    """
    verdicts = []
    for match in lexicon.VERDICT_WORD.finditer(text):
        start = match.start()
        sign = SIGNS[str(match.lastgroup)]
        before = text[max(0, start - DENIAL_REACH) : start]
        if not lexicon.DENIES_NEXT.search(before):
            verdicts.append((start, sign))
        elif sign == 1:
            verdicts.append((start, -1))
    return verdicts
