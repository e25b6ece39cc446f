"""What is right in an answer about closed chains, part by part."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np

from r2rec.pretrain.levels import Example, Level
from r2rec.pretrain.worlds import world_examples
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.thoughts import taste
from r2rec.thoughts.statements import _in_one_wording as in_one_wording

LEVEL = Level(candidates=20, chains=5, history=5)
PROMPTS_PER_WORLD = 4
CONCLUSIONS = ("Best supported:", "Newest:")  # the second: the user looks for a change

# "A Drama 1, 1990s 2 = 3" -> ("A", "3")
SUM = re.compile(r"\b([A-T]) [^;]*?= (\d+)")
# "Best supported: B 5, A 3." -> ("B", "5"), ("A", "3")
NAMED = re.compile(r"([A-T]) (\d+)")
# "First: B." -> "B"
FIRST = re.compile(r"First: ([A-T])\.")
# "Drama 1, 1990s 2 = 3" -> 1, 2, 3
NUMBER = re.compile(r" (\d+)(?=[,.;]| =|$)")
# The parts of "A Drama 1, other 1 = 2." that are optional or follow from the rest
OPTIONAL = re.compile(r", other \d| = \d+\.?|\.$")


def whole_tasks(count: int, seed: int) -> Iterator[Example]:
    """Ranking tasks with a thought, in worlds whose users look for more of the same."""
    rng = np.random.default_rng(seed)
    found = 0
    while True:
        for example in world_examples(rng, LEVEL, PROMPTS_PER_WORLD):
            ranks = "Rank the candidates" in example.prompt
            if ranks and "First reason" in example.prompt:
                if found == count:
                    return
                yield example
                found += 1


class Score:
    """Correct and all, for each part of an answer."""

    def __init__(self) -> None:
        self.correct: Counter[str] = Counter()
        self.total: Counter[str] = Counter()

    def add(self, part: str, is_correct: bool) -> None:
        self.correct[part] += is_correct
        self.total[part] += 1

    def shares(self) -> dict[str, float]:
        return {part: self.correct[part] / n for part, n in self.total.items()}


def shares_right(examples: Sequence[Example], written: Sequence[str]) -> dict[str, float]:
    """The share of each part that is correct.

    Conclusions are compared with what the model itself has read, so a reading error counts once.

    Args:
        examples: Their completions are those of the template teacher.
        written: The completions of the model.
    """
    score = Score()
    for example, completion in zip(examples, written, strict=True):
        target_steps = steps_of(example.completion)
        steps = steps_of(completion)
        index = candidates_step(target_steps)
        for step in target_steps[:index]:
            part = "history read" if "Liked 1:" in step else "chain read"
            score.add(part, step in steps)
        n_candidates = target_steps[index].count("; ") + 1
        counted = next((step for step in steps if "Candidates:" in step), "")
        score_candidates(score, target_steps[index], counted, n_candidates)
        score_conclusion(score, completion, steps, counted, n_candidates)
    return score.shares()


def steps_of(completion: str) -> list[str]:
    """The steps of a completion's thought, in the first of the teacher's wordings."""
    thought, _ = split_thought(completion, True)
    return [in_one_wording(step) for step in thought_steps(thought or "")]


def candidates_step(steps: Sequence[str]) -> int:
    """The index of the step that counts the candidates."""
    return next(index for index, step in enumerate(steps) if "Candidates:" in step)


def score_candidates(score: Score, target: str, counted: str, n_candidates: int) -> None:
    """Score the step that counts the candidates, entry by entry."""
    target_entries = map(read_entry, target.split("; "))
    entries = map(read_entry, counted.split("; ")[:n_candidates])
    for target_entry, entry in zip_longest(target_entries, entries):
        is_correct = target_entry is not None and target_entry == entry
        score.add("candidate read and summed", is_correct)


def score_conclusion(
    score: Score, completion: str, steps: Sequence[str], counted: str, n_candidates: int
) -> None:
    """Score the conclusion and the answer."""
    sums = {label: int(number) for label, number in SUM.findall(counted)}
    answer = parse_ranking(completion, n_candidates, True)
    conclusion = next((step for step in steps if step.startswith(CONCLUSIONS)), "")
    wants_change = "Newest" in conclusion
    named = [(label, int(number)) for label, number in NAMED.findall(conclusion)]
    labels = [label for label, _ in named]
    values = [value for _, value in named]

    ordered = sorted(sums.values(), reverse=not wants_change)
    best = [value for value in ordered if value or wants_change][: taste.BEST]
    named_once = len(set(labels)) == len(labels)
    agrees = all(sums.get(label) == value for label, value in named)
    is_own = bool(conclusion) and named_once and agrees
    score.add("best (or least), in order", is_own and values == best)
    score.add("none named twice", named_once)

    first = FIRST.fullmatch(steps[-1] if steps else "")
    label = first[1] if first else None
    score.add("first is one of them", label in labels)
    score.add("answer begins with it", label is not None and answer.labels[:1] == (label,))
    score.add("concludes with more of the same", not wants_change)
    score.add("answer valid", answer.valid)
    score.add("answer complete", answer.valid and len(answer.labels) == n_candidates)


def read_entry(entry: str) -> tuple[str, bool]:
    """What a candidate's entry counts, without "other 1", and whether its sum is correct.

    For example "A Drama 1, other 1 = 2" -> ("A Drama 1", True).
    """
    numbers = [int(number) for number in NUMBER.findall(entry)]
    is_sum = True
    if numbers:
        is_sum = sum(numbers[:-1]) == numbers[-1]
    return OPTIONAL.sub("", entry), is_sum
