"""What is right in an answer about evidence chains, part by part."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from r2rec.pretrain.levels import Example
from r2rec.pretrain.weighed import weighed_example
from r2rec.pretrain.worlds import DOMAINS
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps

CANDIDATES = 20
QUOTED = re.compile(r'"[^"]*"')
NUMBER = re.compile(r"\d+")
ORDER = re.compile(r"By evidence, strongest first: (.*)\.")
VERDICT = re.compile(r"\b(?:better|worse|even)\b")
BEST = re.compile(r"best by [a-z ]+: ([A-T])")
FIRST = re.compile(r"By ([a-z ]+): ([A-T]) comes first")

Shares = dict[str, float]


def whole_tasks(count: int, seed: int) -> Iterator[Example]:
    """Ranking tasks of 20 candidates with a thought."""
    rng = np.random.default_rng(seed)
    found = 0
    while found < count:
        example = weighed_example(DOMAINS[rng.integers(len(DOMAINS))], rng)
        if "\n- T: " in example.prompt and "First reason" in example.prompt:
            found += 1
            yield example


def shares_right(examples: Sequence[Example], written: Sequence[str]) -> Shares:
    """The share of each part that is right.

    Args:
        examples: Their completions are those of the template teacher.
        written: The completions of the model.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    for example, completion in zip(examples, written, strict=True):
        wanted = steps_of(example.completion)
        got = steps_of(completion)
        got += [""] * (len(wanted) - len(got))
        for want, have in zip(wanted[:-1], got, strict=False):
            if BEST.search(want):
                right["criterion compared"].append(have == want)
                verdicts = zip(VERDICT.findall(want), VERDICT.findall(have), strict=False)
                right["verdict"] += [first == second for first, second in verdicts]
                right["best by it"].append(BEST.findall(have) == BEST.findall(want))
                continue
            right["chain read"].append(have == want)
            right["titles"].append(QUOTED.findall(have) == QUOTED.findall(want))
            right["numbers"].append(numbers_of(have) == numbers_of(want))
        order = ORDER.findall(example.prompt)[0].split(", ")
        answer = parse_ranking(completion, CANDIDATES, True)
        right["answer valid and complete"].append(answer.valid and len(answer.labels) == CANDIDATES)
        ((by, concluded),) = FIRST.findall(got[len(wanted) - 1]) or [("", "")]
        best = {"all evidence": order[0]}
        for step in got:
            best |= dict(re.findall(r"best by ([a-z ]+): ([A-T])", step))
        right["concluded as it had compared"].append(best.get(by) == concluded)
        right["answer begins as concluded"].append(answer.labels[:1] == (concluded,))
        rest = [label for label in order if label not in answer.labels[:1]]
        right["rest in the order of the evidence"].append(list(answer.labels[1:]) == rest)
        shown = set(QUOTED.findall(example.prompt))
        right["no garbled title"].append(set(QUOTED.findall(completion)) <= shown)
    return {part: float(np.mean(values)) for part, values in right.items()}


def steps_of(completion: str) -> list[str]:
    """The steps of a completion's thought."""
    thought, _ = split_thought(completion, True)
    return thought_steps(thought or "")


def numbers_of(step: str) -> list[str]:
    """The numbers of a step, without those in titles."""
    return NUMBER.findall(QUOTED.sub("", step))
