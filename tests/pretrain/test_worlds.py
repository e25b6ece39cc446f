"""Prompts to pretrain on: the project's own form, under names that no two prompts share."""

import re
from random import Random

import numpy as np
import pytest

from r2rec.pretrain import naming
from r2rec.pretrain.worlds import LEVELS, Level, world_examples
from r2rec.prompts.answer import parse_ranking, parse_rating, split_thought, thought_steps
from r2rec.prompts.cases import Chain, Item, RankingCase
from r2rec.thoughts import evidence

WHOLE = [level for level in LEVELS if not level.lines and not level.counted]


def drawn(level, n=20, seed=0):
    return list(world_examples(np.random.default_rng(seed), level, n))


@pytest.mark.parametrize("level", WHOLE, ids=str)
def test_whole_tasks_are_answered_in_form(level):
    shown = set()
    for prompt, completion, _ in drawn(level):
        reasoned = "First reason" in prompt
        if "Rank the candidates" in prompt:
            labels = re.findall(r"^- ([A-Z]): ", prompt, re.M)
            answer = parse_ranking(completion, len(labels), reasoned)
            assert sorted(answer.labels) == labels
            shown.add(len(labels))
        else:
            assert parse_rating(completion, reasoned) in (2, 3, 4)
        if reasoned:
            assert thought_steps(split_thought(completion, True)[0])
    assert max(shown) <= level.candidates


@pytest.mark.parametrize(
    ("change", "named"), [(0.0, ("Best supported", "Strongest")), (1.0, ("Newest",))]
)
def test_conclusions_follow_what_was_read(change, named):
    """Three with most, or with least, for them, each with its own sum; one of those close to the first comes first."""
    favourites = []
    for prompt, completion, _ in drawn(Level(20, 3, 3, change=change)):
        if "Rank the candidates" not in prompt or "First reason" not in prompt:
            continue
        told = thought_steps(split_thought(completion, True)[0])
        counted = next(n for n, step in enumerate(told) if step.startswith("Candidates:"))
        sums = {
            label: int(n) for label, n in re.findall(r"\b([A-T]) [^;]*?= (\d+)[;.]", told[counted])
        }
        chosen = {label: int(n) for label, n in re.findall(r"([A-T]) (\d+)", told[counted + 1])}
        assert told[counted + 1].split(":")[0].endswith(named)
        assert all(sums[label] == n for label, n in chosen.items())
        order = sorted(sums.values(), reverse=not change)
        assert list(chosen.values()) == [n for n in order if n or change][: evidence.BEST]
        ranking = parse_ranking(completion, len(sums), True).labels
        if chosen:
            assert told[counted + 2] == f"First: {ranking[0]}."
            assert abs(chosen[ranking[0]] - order[0]) <= evidence.CLOSE
            assert list(ranking[1 : len(chosen)]) == [
                label for label in chosen if label != ranking[0]
            ]
            favourites.append(ranking[0] != next(iter(chosen)))
        assert len(told) == counted + 2 + bool(chosen)
    assert 0.05 < np.mean(favourites) < 0.5


def test_drills_of_conclusions_give_the_counts_and_ask_for_what_follows():
    twice = 0
    for prompt, completion, given in drawn(Level(20, 0, 0, counted=True), 60):
        assert completion.startswith(given)
        sums = {label: int(n) for label, n in re.findall(r"\b([A-T]) [^;]*? = (\d+)[;.]", given)}
        answer = parse_ranking(completion, len(sums), True)
        assert sorted(answer.labels) == sorted(sums)
        best, named = max(sums.values()), re.findall(r"([A-T]) \d", given.split("\n")[-2])
        if "supported" in given or "Strongest" in given:
            assert len(set(named)) < len(named)
            assert set(answer.labels[: len(set(named))]) == set(named)
            twice += 1
        else:
            assert best - sums[answer.labels[0]] <= evidence.CLOSE
            assert ("none" in completion[len(given) :]) == (best == 0)
        assert prompt.count("\n") == 0
    assert 5 < twice < 30


def test_some_worlds_count_what_is_missing_and_most_do_not():
    rng = np.random.default_rng(0)
    counts = [
        "other " in "".join(e.completion for e in world_examples(rng, Level(20, 2, 3), 2))
        for _ in range(60)
    ]
    assert 2 <= sum(counts) <= 20


@pytest.mark.parametrize("level", [level for level in LEVELS if level.lines], ids=str)
def test_lookups_say_what_their_lines_say(level):
    """Attributes and ratings of a fact stand in the line of its name, in that order."""
    for prompt, completion, _ in drawn(level, 5):
        lines = prompt.split("\n")[1:]
        assert 1 <= len(lines) <= level.lines
        for n, (line, fact) in enumerate(zip(lines, completion.split("\n"), strict=True), 1):
            assert fact.startswith(f"Step {n}: ")
            name = re.match(r"- (Liked \d|Chain \d|[A-T]): ", line)[1]
            assert fact.startswith(f"Step {n}: {name}")
            lists = re.findall(r"\[([^]]*)\]", line)
            assert [", ".join(traits.split(", ")[:3]) in fact for traits in lists] == [True] * len(
                lists
            )
            if name.startswith("Chain"):
                assert re.findall(r"gave(?: it)? (\d)", line) == re.findall(
                    r"(?:user|gave|then) (\d)", fact
                )


def test_a_seed_fixes_every_prompt_and_another_changes_it():
    assert drawn(Level(5, 2, 2)) == drawn(Level(5, 2, 2))
    assert drawn(Level(5, 2, 2)) != drawn(Level(5, 2, 2), seed=1)


def test_prompts_of_one_world_share_no_names():
    titles = [set(re.findall(r'\] "([^"\n]{9,})"', prompt)) for prompt, *_ in drawn(LEVELS[-1], 10)]
    assert sum(len(a & b) for a in titles for b in titles if a is not b) < 0.02 * sum(
        map(len, titles)
    )


def test_naming_keeps_who_has_what():
    one, other = Item("1", ("g1", "g2", "d3")), Item("2", ("g2", "d3"))
    case = RankingCase(None, (one,), (Chain(one, 5, 4, 3, other, 2),), (other, one))
    for seed in range(50):
        got = naming.renamed(case, Random(seed))
        assert got.history[0] == got.chains[0].item1 == got.candidates[1]
        assert got.chains[0].item2 == got.candidates[0]
        assert set(got.candidates[0].attributes) < set(got.candidates[1].attributes)
        assert got.chains[0][1:4] == (5, 4, 3)
        assert len(got.history[0].attributes) in (2, 3)
