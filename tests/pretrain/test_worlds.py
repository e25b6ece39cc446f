"""Prompts to pretrain on: the project's own form, under names that no two prompts share."""

import re
from random import Random

import numpy as np
import pytest

from r2rec.pretrain import naming
from r2rec.pretrain.levels import LEVELS, Example, Level
from r2rec.pretrain.worlds import world_examples
from r2rec.prompts.answer import parse_ranking, parse_rating, split_thought, thought_steps
from r2rec.prompts.cases import Chain, Item, RankingCase
from r2rec.thoughts import taste

WHOLE_TASKS = [level for level in LEVELS if not level.lines and not level.counted]
LOOKUPS = [level for level in LEVELS if level.lines]
SUM = re.compile(r"\b([A-T]) [^;]*?= (\d+)[;.]")  # "B" and "4" in "B Drama 3, Crime 1 = 4;"
CHOSEN = re.compile(r"([A-T]) (\d+)")  # "B" and "4" in "Strongest: B 4, A 2."


def drawn(level: Level, n: int = 20, seed: int = 0) -> list[Example]:
    return world_examples(np.random.default_rng(seed), level, n)


def numbers(pattern: re.Pattern[str], text: str) -> dict[str, int]:
    return {label: int(number) for label, number in pattern.findall(text)}


@pytest.mark.parametrize("level", WHOLE_TASKS, ids=str)
def test_whole_tasks_are_answered_in_form(level):
    n_candidates = set()
    for prompt, completion, *_ in drawn(level):
        reasoned = "First reason" in prompt
        if "Rank the candidates" in prompt:
            labels = re.findall(r"^- ([A-Z]): ", prompt, re.M)
            answer = parse_ranking(completion, len(labels), reasoned)
            assert sorted(answer.labels) == labels
            n_candidates.add(len(labels))
        else:
            assert parse_rating(completion, reasoned) in (2, 3, 4)
        if reasoned:
            assert thought_steps(split_thought(completion, True)[0])
    assert max(n_candidates) <= level.candidates


@pytest.mark.parametrize(
    ("change", "heads"), [(0.0, ("Best supported", "Strongest")), (1.0, ("Newest",))]
)
def test_conclusions_follow_what_was_read(change, heads):
    """The thought names the three with most (or least) for them, each with its own sum.

    One of those close to the first comes first.
    """
    is_favourite = []
    for prompt, completion, *_ in drawn(Level(20, 3, 3, change=change)):
        if "Rank the candidates" not in prompt or "First reason" not in prompt:
            continue
        steps = thought_steps(split_thought(completion, True)[0])
        counted = next(n for n, step in enumerate(steps) if step.startswith("Candidates:"))
        sums = numbers(SUM, steps[counted])
        chosen = numbers(CHOSEN, steps[counted + 1])
        assert steps[counted + 1].split(":")[0].endswith(heads)
        assert all(sums[label] == n for label, n in chosen.items())
        order = sorted(sums.values(), reverse=not change)
        candidates = [n for n in order if n or change]
        assert list(chosen.values()) == candidates[: taste.BEST]
        ranking = parse_ranking(completion, len(sums), True).labels
        if chosen:
            first = ranking[0]
            assert steps[counted + 2] == f"First: {first}."
            assert abs(chosen[first] - order[0]) <= taste.CLOSE
            others = [label for label in chosen if label != first]
            assert list(ranking[1 : len(chosen)]) == others
            is_favourite.append(first != next(iter(chosen)))
        assert len(steps) == counted + 2 + bool(chosen)
    assert 0.05 < np.mean(is_favourite) < 0.5


def test_conclusion_drills():
    """They give the counts and ask for what follows; some name a label twice on purpose."""
    n_repeated = 0
    for prompt, completion, given, _ in drawn(Level(20, 0, 0, counted=True), 60):
        assert completion.startswith(given)
        sums = numbers(SUM, given)
        answer = parse_ranking(completion, len(sums), True)
        assert sorted(answer.labels) == sorted(sums)
        best = max(sums.values())
        if "supported" in given or "Strongest" in given:
            named = re.findall(r"([A-T]) \d", given.split("\n")[-2])
            distinct = set(named)
            assert len(distinct) < len(named)
            assert set(answer.labels[: len(distinct)]) == distinct
            n_repeated += 1
        else:
            assert best - sums[answer.labels[0]] <= taste.CLOSE
            assert ("none" in completion[len(given) :]) == (best == 0)
        assert prompt.count("\n") == 0
    assert 5 < n_repeated < 30


def test_some_worlds_count_missing_traits():
    rng = np.random.default_rng(0)
    with_other = 0
    for _ in range(60):
        examples = world_examples(rng, Level(20, 2, 3), 2)
        with_other += any("other " in example.completion for example in examples)
    assert 2 <= with_other <= 20


@pytest.mark.parametrize("level", LOOKUPS, ids=str)
def test_lookups_read_their_lines(level):
    """Attributes and ratings of a fact stand in the line of its name, in that order."""
    for prompt, completion, *_ in drawn(level, 5):
        lines = prompt.split("\n")[1:]
        assert 1 <= len(lines) <= level.lines
        for n, (line, fact) in enumerate(zip(lines, completion.split("\n"), strict=True), 1):
            name = re.match(r"- (Liked \d|Chain \d|[A-T]): ", line)[1]
            assert fact.startswith(f"Step {n}: {name}")
            for traits in re.findall(r"\[([^]]*)\]", line):
                assert ", ".join(traits.split(", ")[:3]) in fact
            if name.startswith("Chain"):
                ratings = re.findall(r"gave(?: it)? (\d)", line)
                assert re.findall(r"(?:user|gave|then) (\d)", fact) == ratings


def test_seed_fixes_every_prompt():
    assert drawn(Level(5, 2, 2)) == drawn(Level(5, 2, 2))
    assert drawn(Level(5, 2, 2)) != drawn(Level(5, 2, 2), seed=1)


def test_prompts_of_one_world_share_no_names():
    titles = []
    for prompt, *_ in drawn(LEVELS[-1], 10):
        titles.append(set(re.findall(r'\] "([^"\n]{9,})"', prompt)))
    shared = sum(len(one & other) for one in titles for other in titles if one is not other)
    assert shared < 0.02 * sum(map(len, titles))


def test_renaming_keeps_identity_and_attributes():
    one = Item("1", ("g1", "g2", "d3"))
    other = Item("2", ("g2", "d3"))
    case = RankingCase(None, (one,), (Chain(one, 5, 4, 3, other, 2),), (other, one))
    for seed in range(50):
        renamed = naming.renamed(case, Random(seed))
        first, second = renamed.candidates
        chain = renamed.chains[0]
        assert renamed.history[0] == chain.item1 == second
        assert chain.item2 == first
        assert set(first.attributes) < set(second.attributes)
        assert chain[1:4] == (5, 4, 3)
        assert len(second.attributes) in (2, 3)
