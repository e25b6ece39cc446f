"""Rules on thoughts about evidence chains: each yields the reasons that it finds.

A step in the template teacher's form (`weighing`) is compared as a whole. In other steps each
number must be one that the prompt tells of what the step names.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.thoughts import weighing
from r2rec.thoughts.phrases import mentions, named_candidates
from r2rec.thoughts.reading import Trace, read_thought, written_steps
from r2rec.thoughts.statements import MARKUP

SHOWN_CHARACTERS = 60  # of a step in a reason, at most

_READS = re.compile(
    r"Chain (?P<n>\d+): the user gave .*; \d+ recent ratings lead to .*\.", re.DOTALL
)
_UNLINKED = re.compile(r"No chain leads to (?P<label>[A-Z]): .*\.", re.DOTALL)
_NAMES = "|".join(weighing.CRITERIA)
_COMPARES = re.compile(rf".*; best by (?P<name>{_NAMES}): [A-Z]\.", re.DOTALL)
_CONCLUDES = re.compile(
    rf"By (?P<by>{weighing.ALL}|{_NAMES}): [A-Z] comes first(?:, then [A-Z])*\."
)
# A number that may be a count or a share; "chain 2" and "step 3" are names. Not "4th", "1990s".
_NUMBER = re.compile(r"(?<![\w.,#-])\d+(?:\.\d+)?(?![\w-]|\.\d)")
_NAMED_BY_NUMBER = re.compile(r"\b(?:chains?|steps?)(?: #?\d+(?:,| and| to)?)+", re.IGNORECASE)


class Said(NamedTuple):
    """A step of a thought."""

    text: str
    true: bool | None  # of a step in the template's form; None: it is in its own words
    should: str  # what the case says in this form; "": nothing
    numbers: dict[str, bool]  # that it cites in its own words: whether the prompt tells each


def check_weighing(trace: Trace, case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """Chains are read in order, before their candidates are compared; all that is said is told.

    Args:
        order: The labels of the answer, best first.
    """
    read = 0
    named: set[str] = set()
    for number, step in enumerate(trace.steps):
        text = step.strip(MARKUP)
        plain = _plain(trace, number)
        labels = [label for _, label in named_candidates(plain, case)]
        reading = _READS.fullmatch(text)
        if reading and int(reading["n"]) > read + 1:
            yield f"masked: step {number} has chain {reading['n']} before chain {read + 1}"
        if _COMPARES.fullmatch(text):
            unread = [label for label in labels if label not in named]
            if unread:
                yield f"progressive: step {number} compares {unread[0]} before it is read"
        read = max([read, *_chains_in(plain)])
        named.update(labels)
        true = _true_statement(case, text)
        if true is None:
            yield from _check_numbers(case, number, plain, labels)
        elif true != text:
            shown = text[:SHOWN_CHARACTERS]
            yield f'inconsistent: step {number}, "{shown}", is not what the case says'
    yield from _check_first(case, order)


def check_lead(trace: Trace, case: RankingCase, truth: str) -> Iterator[str]:
    """The positive is not named before what the evidence ranks above it."""
    strongest = LABELS[case.strongest()[0]]
    labels = [label for _, label in named_candidates(trace.text, case)]
    if truth == strongest or truth not in labels:
        return
    if strongest not in labels or labels.index(truth) < labels.index(strongest):
        yield f"leak: the positive, {truth}, is named before the strongest candidate, {strongest}"


def said(case: RankingCase, thought: str) -> list[Said]:
    """What each step of a thought says of the evidence, whatever the order of the steps."""
    trace = None  # most thoughts have no step in words of their own
    steps = []
    for number, step in enumerate(written_steps(thought)):
        text = step.strip(MARKUP)
        if number == 0 or not text:
            continue
        stated = _true_statement(case, text)
        numbers = {}
        if stated is None:
            trace = trace or read_thought(case, thought)
            plain = _plain(trace, number)
            labels = [label for _, label in named_candidates(plain, case)]
            numbers = _cited_numbers(case, plain, labels)
        true = None if stated is None else stated == text
        steps.append(Said(text, true, stated or "", numbers))
    return steps


def _plain(trace: Trace, number: int) -> str:
    """A step in the words that the rules know: titles are marks."""
    start = trace.starts[number]
    return trace.text[start : trace.step_end(start)]


def _check_numbers(case: RankingCase, number: int, plain: str, labels: list[str]) -> Iterator[str]:
    """The numbers of a step in free text are those of what it names."""
    for value, is_told in _cited_numbers(case, plain, labels).items():
        if not is_told:
            yield f"inconsistent: step {number} cites {value}, which the evidence does not have"
            return


def _cited_numbers(case: RankingCase, plain: str, labels: list[str]) -> dict[str, bool]:
    """Each number in a step in free text, and whether it is told of what the step names."""
    known = _numbers_of(case, labels, _chains_in(plain))
    cited = {}
    for value in _NUMBER.findall(_NAMED_BY_NUMBER.sub(" ", plain)):
        cited[value] = f"{float(value):g}" in known
    return cited


def _true_statement(case: RankingCase, text: str) -> str | None:
    """What a step of the same form should say; None: the step has none of the forms."""
    n_candidates = len(case.candidates)
    known = LABELS[:n_candidates]
    reading = _READS.fullmatch(text)
    if reading:
        n = int(reading["n"])
        return weighing.read_step(case, n - 1) if 1 <= n <= n_candidates else ""
    unlinked = _UNLINKED.fullmatch(text)
    if unlinked:
        if unlinked["label"] not in known:
            return ""
        return weighing.read_step(case, case.strongest().index(known.index(unlinked["label"])))
    compared = _COMPARES.fullmatch(text)
    if compared:
        told = {criterion.name: criterion for criterion in weighing.criteria(case)}
        name = compared["name"]
        return weighing.criterion_step(told[name]) if name in told else ""
    concluded = _CONCLUDES.fullmatch(text)
    if concluded:
        first, *others = re.findall(r"\b[A-Z]\b", text.partition(":")[2])
        is_known = set(others) < set(known)
        best = _best_by(case, concluded["by"])
        if is_known and first == best:
            return text
        return f"By {concluded['by']}: {best} comes first." if best else ""
    return None


def _best_by(case: RankingCase, by: str) -> str | None:
    """The label that comes first by a criterion, or by all evidence; None: it is not told."""
    best = {criterion.name: criterion.best for criterion in weighing.criteria(case)}
    best[weighing.ALL] = LABELS[case.strongest()[0]]
    return best.get(by)


def _check_first(case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """The candidate that comes first is the strongest, or the best by something."""
    strongest = LABELS[case.strongest()[0]]
    if not order or order[0] not in LABELS[: len(case.candidates)] or order[0] == strongest:
        return
    if order[0] not in {criterion.best for criterion in weighing.criteria(case)}:
        yield f"inconsistent: {order[0]} is best by nothing, and {strongest} by all evidence"


def _chains_in(text: str) -> list[int]:
    """The numbers of the chains that a text names."""
    return [mention.number for mention in mentions(text) if mention.word == "chain"]


def _numbers_of(case: RankingCase, labels: list[str], chains: list[int]) -> set[str]:
    """The numbers told of these candidates and chains; of all candidates, if none is named."""
    strongest = case.strongest()
    indices = [LABELS.index(label) for label in labels]
    indices += [strongest[n - 1] for n in chains if 1 <= n <= len(strongest)]
    numbers: set[float] = set()
    for index in indices or strongest:
        told = case.evidence[index]
        numbers |= {told.place, told.rating_u1, told.raters, told.soon, told.liked, told.links}
        numbers.add(told.witness or 0)
        numbers.add(round(100 * told.soon / max(told.raters, 1)))
        numbers.add(round(100 * told.liked / max(told.soon, 1)))
        if case.facts:
            numbers |= set(case.facts[index])
    return {f"{number:g}" for number in numbers}
