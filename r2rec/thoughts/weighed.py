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
from r2rec.thoughts.reading import Trace, read_thought
from r2rec.thoughts.statements import MARKUP

SHOWN_CHARACTERS = 60  # of a step in a reason, at most

_READS = re.compile(
    r"Chain (?P<n>\d+): the user gave .*; \d+ recent ratings lead to .*\.", re.DOTALL
)
_UNLINKED = re.compile(r"No chain leads to (?P<label>[A-Z]): .*\.", re.DOTALL)
_COMPARES = re.compile(r"(?P<one>[A-Z]) against (?P<other>[A-Z]): .*\.", re.DOTALL)
_CONCLUDES = re.compile(r"[A-Z] comes first(?:, then [A-Z])*\.")
# A number that may be a count or a share; "chain 2" and "step 3" are names. Not "4th", "1990s".
_NUMBER = re.compile(r"(?<![\w.,#-])\d+(?:\.\d+)?(?![\w-]|\.\d)")
_NAMED_BY_NUMBER = re.compile(r"\b(?:chains?|steps?)(?: #?\d+(?:,| and| to)?)+", re.IGNORECASE)


class Said(NamedTuple):
    """A step of a thought."""

    text: str
    true: bool | None  # of a step in the template's form; None: it is in its own words
    numbers: list[bool]  # that it cites in its own words: whether the prompt tells each


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
        compared = _COMPARES.fullmatch(text)
        if reading and int(reading["n"]) > read + 1:
            yield f"masked: step {number} has chain {reading['n']} before chain {read + 1}"
        if compared:
            unread = [label for label in compared.groups() if label not in named]
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
    """What each step of a thought says of the evidence. Order does not matter here."""
    trace = read_thought(case, thought)
    steps = []
    for number, step in enumerate(trace.steps):
        text = step.strip(MARKUP)
        if number == 0 or not text:
            continue
        true = _is_true(case, text)
        numbers = []
        if true is None:
            plain = _plain(trace, number)
            labels = [label for _, label in named_candidates(plain, case)]
            numbers = list(_cited_numbers(case, plain, labels).values())
        steps.append(Said(text, true, numbers))
    return steps


def _is_true(case: RankingCase, text: str) -> bool | None:
    """Whether a step in the template's form is true of the case; None: it has no such form."""
    if _CONCLUDES.fullmatch(text):
        labels = re.findall(r"\b[A-Z]\b", text)
        known = LABELS[: len(case.candidates)]
        return set(labels) <= set(known) and not list(_check_first(case, tuple(labels)))
    true = _true_statement(case, text)
    if true is None:
        return None
    return true == text


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
        if not set(compared.groups()) <= set(known):
            return ""
        one, other = map(known.index, compared.groups())
        return weighing.comparison_step(case, one, other)
    if _CONCLUDES.fullmatch(text):
        return text  # `check_choice` holds it against the answer
    return None


def _check_first(case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """The candidate that comes first is the strongest, or something speaks for it."""
    strongest = case.strongest()[0]
    known = LABELS[: len(case.candidates)]
    if not order or order[0] not in known or order[0] == known[strongest]:
        return
    criteria = weighing.criteria(case, strongest, known.index(order[0]))
    if order[0] not in {criterion.winner for criterion in criteria}:
        yield f"inconsistent: nothing speaks for {order[0]} against {known[strongest]}"


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
