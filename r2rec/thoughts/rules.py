"""Rules on steps, chains, candidates and the conclusion: each yields the reasons that it finds."""

import re
from collections.abc import Iterator
from itertools import pairwise

from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.thoughts import lexicon, taste
from r2rec.thoughts.hops import check_hops
from r2rec.thoughts.marks import item_pattern, marked_titles
from r2rec.thoughts.phrases import (
    cited_ratings,
    clauses,
    first_mentions,
    first_of,
    mentions,
    named_candidates,
    stated_verdicts,
    stretches,
)
from r2rec.thoughts.reading import Trace
from r2rec.thoughts.template import VERDICT

SHOWN_NUMBERS = 30  # step numbers that a reason lists, at most
SHOWN_CHARACTERS = 60  # of a quotation in a reason, at most


def malformed(trace: Trace, thought: str) -> Iterator[str]:
    """No numbered steps, an empty step, or a thought tag."""
    if not trace.numbers:
        yield "malformed: no numbered steps"
    if re.search(r"</?think>", thought):
        yield "malformed: a thought tag inside the thought"
    for number, step in zip(trace.numbers, trace.steps[1:], strict=True):
        if not any(map(str.isalnum, step)):
            yield f"malformed: step {number} says nothing"


def check_steps(trace: Trace) -> Iterator[str]:
    """Steps count up and point back only; no phrase gives away what is still to come."""
    count = len(trace.numbers)
    if trace.numbers != list(range(1, count + 1)):
        shown = trace.numbers[:SHOWN_NUMBERS]
        numbers = ", ".join(map(str, shown))
        yield f"progressive: steps are numbered {numbers}"
    for mention in mentions(trace.text):
        step = trace.step_at(mention.offset)
        if mention.word == "step" and mention.number > step:
            yield f"progressive: step {step} points ahead to step {mention.number}"
    phrases = {"progressive": lexicon.POINTS_AHEAD, "leak": lexicon.WAS_TOLD}
    for rule, pattern in phrases.items():
        match = pattern.search(trace.text)
        if match:
            step = trace.step_at(match.start())
            words = match[0].strip(".;*: \n")
            yield f'{rule}: step {step} says "{words}"'


def check_statements(trace: Trace) -> Iterator[str]:
    """Statements in the template's form are true, and come after those that they rest on."""
    made = []
    for step, statement in enumerate(trace.statements):
        if statement:
            made.append((step, statement))
    for step, statement in made:
        if statement.plain is None:
            text = trace.steps[step][:SHOWN_CHARACTERS]
            yield f'inconsistent: step {step}, "{text}", is not what the case says'
    for (step, statement), (next_step, next_statement) in pairwise(made):
        if next_statement.stage < statement.stage:
            yield f"progressive: step {step} rests on step {next_step}"


def check_chains(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Chains come by number, and no title of one before its turn.

    Each chain is read hop by hop where it first comes up.
    """
    count = len(case.chains)
    never = len(trace.text)
    first = first_mentions(trace)
    for n, offset in first.items():
        step = trace.step_at(offset)
        if not 1 <= n <= count:
            yield f"inconsistent: step {step} cites chain {n} of {count}"
        elif n > 1 and first.get(n - 1, never) > offset:
            yield f"masked: step {step} has chain {n} before chain {n - 1}"
    for offset, position in marked_titles(trace.text):
        n = (position + 1) // 2
        in_chain = 1 <= n <= count
        if in_chain and first.get(n, never) >= trace.step_end(offset):
            step = trace.step_at(offset)
            yield f"masked: step {step} has a title of chain {n} before its turn"
    for n, start, end in stretches(trace, count):
        yield from check_hops(trace, start, end, case, n)


def check_candidates(trace: Trace, case: RankingCase, truth: str) -> Iterator[str]:
    """Candidates come after the chains; the positive is not singled out before the last step."""
    named = named_candidates(trace.text, case)
    if not named:
        return
    chains_read = 0
    if case.chains:
        chains_read = first_mentions(trace).get(len(case.chains), len(trace.text))
    step = trace.step_at(named[0][0])
    early = []
    in_this_step = set()
    for offset, label in named:
        if offset < chains_read:
            early.append(label)
        if trace.step_at(offset) == step:
            in_this_step.add(label)
    if early:
        yield f"masked: step {step} names candidate {early[0]} before the chains are read"
    if truth in early:
        yield f"leak: the positive, {truth}, is named before the chains are read"
    is_choice = truth != LABELS[0] and len(case.candidates) > 1  # A comes first in any order
    if in_this_step == {truth} and step < len(trace.numbers) and is_choice:
        yield (
            f"leak: step {step} singles out the positive, {truth}, "
            "before other candidates are weighed"
        )


def check_choice(trace: Trace, case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """The last step names the candidate first that the answer puts first."""
    last_step = trace.text[trace.starts[-1] :]
    named = named_candidates(last_step, case)
    first = named[0][1] if named else "no candidate"
    if not order or first != order[0]:
        yield f"inconsistent: the last step names {first} first, unlike the answer"


def check_verdict(trace: Trace, truth: str) -> Iterator[str]:
    """The last step comes to the verdict of the answer."""
    last_step = trace.text[trace.starts[-1] :]
    sign = _concluded_sign(last_step)
    if sign is None:
        yield "inconsistent: the last step comes to no verdict"
    elif sign != taste.sign(int(truth)):
        verdict = VERDICT[sign][0]
        yield f"inconsistent: the last step expects {verdict}, and the answer is {truth}"


def _concluded_sign(step: str) -> int | None:
    """The first verdict after the last "expect" or the like; without one, the last verdict."""
    cue = len(step)
    for match in lexicon.PREDICTS.finditer(step):
        cue = match.start()
    verdicts = stated_verdicts(step)
    for offset, sign in verdicts:
        if offset >= cue:
            return sign
    if verdicts:
        return verdicts[-1][1]
    return None


def foretold(trace: Trace, case: RatingCase) -> Iterator[str]:
    """What the user made of item 2 is not told before it is concluded.

    Nor is any taste of theirs before item 1 is read. While item 2 is still to be read, an opinion
    to come must be on item 1 or its traits by name: "it" would be item 2.
    """
    text = trace.text
    last_step = len(trace.numbers)
    for match in lexicon.FORETELLS.finditer(text):
        step = trace.step_at(match.start())
        if step < last_step:
            yield f'leak: step {step} says "{match[0]}"'
    item1 = f"{item_pattern(1)}|{lexicon.FIRST_ITEM}"
    item2_at = first_of(text, f"{item_pattern(2)}|item 2")
    item1_read = False
    for offset, clause in clauses(text):
        clause_end = offset + len(clause)
        step = trace.step_at(clause_end)
        if clause_end > item2_at or step == last_step:
            return
        on_item1 = bool(re.search(item1, clause) or cited_ratings(clause))
        item1_read = item1_read or on_item1
        too_early = not item1_read or (not on_item1 and _looks_ahead(clause))
        if too_early and _is_opinion(clause):
            yield f"leak: step {step} has the user's opinion before what it would rest on"


def _is_opinion(clause: str) -> bool:
    """Whether a clause has a verdict of the user's: "they loved it"."""
    if not lexicon.PERSON.search(clause) or lexicon.NOT_THE_USERS.search(clause):
        return False
    return bool(stated_verdicts(clause))


def _looks_ahead(clause: str) -> bool:
    """Whether a clause expects something of an item without a name: "would like it"."""
    if not lexicon.PREDICTS.search(clause):
        return False
    return bool(lexicon.UNNAMED_ITEM.search(clause))
