"""Short exercises in one part of a task: reading lines off a prompt, and concluding from counts."""

import re
from random import Random

import numpy as np

from r2rec.pretrain.conclusions import WITHOUT_OTHER_SHARE, conclude, numbered
from r2rec.pretrain.levels import Example, Level, varied
from r2rec.pretrain.naming import random_word
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.thoughts import taste, template

REPEATED_SHARE = 0.3  # of conclusion drills: the thought has already named a label twice
MAX_LOOKUPS = 4  # of one prompt
LABEL = re.compile(r"([A-T]) \d")  # "A 5" and "C 3" in "Best supported: A 5, C 3."


def lookup_drills(
    prompt: str, case: RankingCase, max_lines: int, rng: np.random.Generator
) -> list[Example]:
    """Random lines of a prompt, and what a thought would read off each.

    In a whole task too little of what is right depends on copying, so copying is not learned there.

    Args:
        prompt: The rendered `case`.
        max_lines: Lines of one drill, at most.
    """
    lines = [line for line in prompt.split("\n") if line.startswith("- ")]
    facts = _facts(case)
    order = rng.permutation(len(lines))
    size = int(rng.integers(1, max_lines + 1))
    drills = []
    for start in range(0, len(order), size)[:MAX_LOOKUPS]:
        chosen = sorted(order[start : start + size])
        prompt_lines = ["Read these lines."]
        read = []
        for index in chosen:
            prompt_lines.append(lines[index])
            read.append(facts[index])
        steps = numbered(read, first=1)
        drills.append(Example("\n".join(prompt_lines), "\n".join(steps)))
    return drills


def _facts(case: RankingCase) -> list[str]:
    """What a thought reads off each line of the prompt, in the prompt's order."""
    facts = []
    for number, item in enumerate(case.history, 1):
        facts.append(f"Liked {number}: {_traits(item)}.")
    for number, chain in enumerate(case.chains, 1):
        facts.append(f"Chain {number}: {_chain_fact(chain)}.")
    for label, item in zip(LABELS, case.candidates, strict=False):
        facts.append(f"{label} {_traits(item)}.")
    return facts


def _chain_fact(chain: Chain) -> str:
    hops = [
        f"user {chain.rating_u1:g}: {_traits(chain.item1)}",
        f"neighbour gave {chain.rating_v1:g}",
        f"then {chain.rating_v2:g}",
    ]
    if chain.rating_u2 is not None:
        hops.append(f"user {chain.rating_u2:g}")
    return f"{'; '.join(hops)}: {_traits(chain.item2)}"


def _traits(item: Item) -> str:
    return ", ".join(taste.traits(item))


def conclusion_drill(level: Level, rng: np.random.Generator) -> Example:
    """Candidates with random counts, and what follows from them: short, so many fit into a step."""
    draw = Random(int(rng.integers(2**63)))
    support = _random_support(level, draw, rng)
    scores = taste.trait_scores(support)
    change = rng.random() < level.change
    statements, answer = conclude(support, change, rng)
    first_step = draw.randint(1, 8)
    n_given = 1
    labels = LABEL.findall(statements[1])
    if len(labels) > 1 and rng.random() < REPEATED_SHARE:
        labels = _with_repetition(labels, rng)
        first = labels[rng.integers(len(labels))]
        kind = statements[1].partition(":")[0]
        named = f"{kind}: {template.listed(scores, labels)}."
        statements = [statements[0], named, f"First: {first}."]
        answer = template.ranked(scores, list(dict.fromkeys(labels)), first)
        n_given = 2
    steps = numbered(statements, first_step)
    next_step = f"Step {first_step + n_given}:"
    given = "\n".join(["<think>", *steps[:n_given], next_step])
    completion = "\n".join(["<think>", *steps, "</think>", answer])
    if not completion.startswith(given):  # no step follows the given ones
        given = ""
    return Example("Rank the candidates for this user, best first.", completion, given)


def _random_support(
    level: Level, draw: Random, rng: np.random.Generator
) -> dict[str, taste.Counted]:
    """Label -> up to three made-up traits, each with a random count."""
    counts: dict[str, int] = {}
    for _ in range(int(rng.integers(8, 16))):
        name = random_word(draw)
        counts[name] = max(0, int(rng.geometric(0.3)) - 3)
    names = sorted(counts)
    n_candidates = max(2, varied(level.candidates, rng))
    support: dict[str, taste.Counted] = {}
    for label in LABELS[:n_candidates]:
        chosen = draw.sample(names, draw.randint(1, 3))
        support[label] = [(name, counts[name]) for name in chosen]
    if rng.random() > WITHOUT_OTHER_SHARE:
        return taste.filled(support)
    return support


def _with_repetition(labels: list[str], rng: np.random.Generator) -> list[str]:
    """The labels, one of them replaced by an earlier one: the answer names that one once."""
    repeated = labels.copy()
    position = int(rng.integers(1, len(labels)))
    repeated[position] = labels[rng.integers(position)]
    return repeated
