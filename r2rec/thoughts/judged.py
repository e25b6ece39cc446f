"""A thought with each of its claims marked right or wrong, and what the prompt has instead.

The readings are the audit's own: a step in the template teacher's form is one claim, compared as a
whole; in other words each item and number that is cited is one. What neither can read is counted.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from r2rec.prompts.answer import thought_steps
from r2rec.prompts.cases import RankingCase
from r2rec.thoughts.claims import Citation, citations
from r2rec.thoughts.reading import read_thought
from r2rec.thoughts.statements import WORDINGS, in_one_wording, stated, true_form
from r2rec.thoughts.weighed import said

MAX_COMPARED = 2000  # characters of a step that are compared part by part; longer ones as a whole
MAX_PIECES = 100  # of a step; further wrong claims are counted and not marked
# What a statement is compared by: a title, a wording that has another, a word or number, a space,
# another character.
_TOKEN = re.compile(rf'"[^"]*"|\b(?:{WORDINGS})\b|\w+|\s+|[^\w\s]')


class CheckedPart(NamedTuple):
    """A part of a step."""

    text: str
    truth: str | None = None  # what the prompt has in its place, "" for nothing; None: it is right


class JudgedStep(NamedTuple):
    """A step of a thought."""

    pieces: Sequence[CheckedPart]  # together they are the step
    right: int  # claims
    wrong: int

    @property
    def text(self) -> str:
        """The step as written."""
        return "".join(piece.text for piece in self.pieces)


class Judgement(NamedTuple):
    """A thought, judged."""

    steps: Sequence[JudgedStep]
    right: int  # claims, those before the first step too
    wrong: int

    @property
    def unread(self) -> int:
        """Steps in which there is no claim that can be read."""
        return sum(not step.right and not step.wrong for step in self.steps)

    @property
    def is_true(self) -> bool | None:
        """Whether all claims are right; None: none can be read."""
        if not self.right and not self.wrong:
            return None
        return not self.wrong


def judged(case: RankingCase, thought: str) -> Judgement:
    """The claims of a thought: as many, and as many of them true, as `truth.claims_of` says."""
    if case.evidence:
        return _of_evidence(case, thought)
    texts = thought_steps(thought)
    steps = []
    for text, statement in zip(texts, stated(texts, case), strict=True):
        if statement is None:
            steps.append(JudgedStep([CheckedPart(text)], 0, 0))
        elif statement.plain is not None:
            steps.append(JudgedStep([CheckedPart(text)], 1, 0))
        else:
            should = "" if len(text) > MAX_COMPARED else true_form(text, texts, case)
            steps.append(JudgedStep(_compared(text, should), 0, 1))
    return _with_citations(case, thought, steps)


def _of_evidence(case: RankingCase, thought: str) -> Judgement:
    """The claims of a thought about evidence chains."""
    steps = []
    own_words = ""
    for number, step in enumerate(said(case, thought), start=1):
        if step.true is None:
            own_words += f"Step {number}: {step.text}\n"
            steps.append(_numbers_marked(step.text, step.numbers))
        elif step.true:
            steps.append(JudgedStep([CheckedPart(step.text)], 1, 0))
        else:
            steps.append(JudgedStep(_compared(step.text, step.should), 0, 1))
    if not own_words:
        return _sum(steps, ())
    return _with_citations(case, own_words, steps, items_alone=True)


def _with_citations(
    case: RankingCase, thought: str, steps: list[JudgedStep], items_alone: bool = False
) -> Judgement:
    """The judgement of steps, with what a thought cites in its own words.

    Args:
        items_alone: Numbers have been judged.
    """
    trace = read_thought(case, thought)
    numbers = [0]  # of `trace.steps` -> of `steps`, from 1; 0: of none
    following = 1
    for number, text in zip(trace.numbers, trace.steps[1:], strict=True):
        if items_alone:
            numbers.append(number)
            continue
        says_something = any(map(str.isalnum, text))
        numbers.append(following if says_something else 0)
        following += says_something
    loose = []
    for cited in citations(trace, case):
        if items_alone and cited.is_rating:
            continue
        place = numbers[cited.step]
        if 1 <= place <= len(steps):
            steps[place - 1] = _citation_marked(steps[place - 1], cited)
        else:
            loose.append(cited)
    return _sum(steps, loose)


def _sum(steps: Sequence[JudgedStep], loose: Iterable[Citation]) -> Judgement:
    elsewhere = [cited.right for cited in loose]
    right = sum(step.right for step in steps) + elsewhere.count(True)
    wrong = sum(step.wrong for step in steps) + elsewhere.count(False)
    return Judgement(steps, right, wrong)


def _compared(text: str, should: str) -> list[CheckedPart]:
    """What a statement says otherwise than it should, part by part."""
    if not should or len(text) > MAX_COMPARED:
        return [CheckedPart(text, should)]
    ours = _TOKEN.findall(text)
    theirs = _TOKEN.findall(should)
    keys = list(map(in_one_wording, ours))
    other_keys = list(map(in_one_wording, theirs))
    pieces = []
    for kind, a, b, c, d in SequenceMatcher(None, keys, other_keys, autojunk=False).get_opcodes():
        truth = None if kind == "equal" else "".join(theirs[c:d])
        pieces.append(CheckedPart("".join(ours[a:b]), truth))
    return pieces


def _numbers_marked(text: str, numbers: dict[str, bool]) -> JudgedStep:
    """A step in its own words, with the numbers that the prompt does not tell of what it names."""
    step = JudgedStep([CheckedPart(text)], 0, 0)
    for value, is_told in numbers.items():
        step = _citation_marked(step, Citation(0, True, value, is_told, ()))
    return step


def _citation_marked(step: JudgedStep, cited: Citation) -> JudgedStep:
    """A step with one more claim; a wrong one is marked where it stands first."""
    if cited.right:
        return step._replace(right=step.right + 1)
    word = re.compile(rf"(?<!\w){re.escape(cited.text)}(?!\w)")
    pieces = list(step.pieces)
    for index, piece in enumerate(pieces):
        found = word.search(piece.text) if piece.truth is None else None
        if found and len(pieces) < MAX_PIECES:
            wrong = CheckedPart(found[0], " or ".join(cited.meant))
            around = [
                CheckedPart(piece.text[: found.start()]),
                wrong,
                CheckedPart(piece.text[found.end() :]),
            ]
            pieces[index : index + 1] = around
            break
    return JudgedStep(pieces, step.right, step.wrong + 1)
