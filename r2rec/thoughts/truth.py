"""What a thought says of its case, and whether it is true.

A step in the template teacher's wording is true or false as a whole. Of a step in other words only
what it cites can be checked: items and numbers.
"""

from typing import NamedTuple

from r2rec.prompts.answer import thought_steps
from r2rec.prompts.cases import RankingCase
from r2rec.thoughts.claims import checked
from r2rec.thoughts.statements import stated
from r2rec.thoughts.weighed import said


class Claims(NamedTuple):
    """What a thought says of its case."""

    true: list[bool | None]  # of each step, None: it is in its own words
    items: list[bool]  # cited in such steps: whether the prompt has each
    numbers: list[bool]  # the same of ratings, or where chains are evidence of all numbers

    def share_true(self) -> float:
        """The share of all claims that is true; 0 where nothing is claimed."""
        known = [is_true for is_true in self.true if is_true is not None]
        held = [*known, *self.items, *self.numbers]
        return sum(held) / max(1, len(held))


def claims_of(case: RankingCase, thought: str) -> Claims:
    """The claims of a thought."""
    if case.evidence:
        return _of_evidence(case, thought)
    true: list[bool | None] = []
    for statement in stated(thought_steps(thought), case):
        if statement is None:
            true.append(None)
        else:
            true.append(statement.plain is not None)
    cited = checked(case, thought)
    return Claims(true, cited.items, cited.ratings)


def _of_evidence(case: RankingCase, thought: str) -> Claims:
    """The claims of a thought about evidence chains."""
    true: list[bool | None] = []
    numbers: list[bool] = []
    own_words = ""
    for number, step in enumerate(said(case, thought), start=1):
        true.append(step.true)
        numbers += step.numbers.values()
        if step.true is None:
            own_words += f"Step {number}: {step.text}\n"
    items = checked(case, own_words).items if own_words else []
    return Claims(true, items, numbers)
