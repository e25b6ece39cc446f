"""Thoughts about evidence chains: what the template teacher writes, and how the audit judges it."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.evaluate.interventions import shuffled
from r2rec.pretrain.weighed import random_case
from r2rec.prompts.answer import parse_ranking, thought_steps
from r2rec.prompts.cases import LABELS, Evidence, Facts, Item, RankingCase
from r2rec.thoughts import weighing
from r2rec.thoughts.audit import audit, broken_rules
from r2rec.thoughts.reading import distinctive_words
from r2rec.thoughts.template import write_thoughts

seeds = st.integers(0, 2**32 - 1)

HEAT, ALIEN = Item("Heat (1995)", ("Crime",)), Item("Alien (1979)", ("Horror",))
FARGO, SPEED, JAWS = Item("Fargo (1996)", ()), Item("Speed (1994)", ()), Item("Jaws (1975)", ())
CASE = RankingCase(
    profile=None,
    history=(HEAT,),
    chains=(),
    candidates=(SPEED, FARGO, JAWS),
    evidence=(
        Evidence(2, ALIEN, 3.0, 90, 12, 9, 11),
        Evidence(1, HEAT, 4.0, 212, 34, 28, 9),
        Evidence(3, None, 0.0, 0, 0, 0, 0),
    ),
    facts=(Facts(300, 71), Facts(512, 64), Facts(40, 50)),
)
THOUGHT = """\
Step 1: Chain 1: the user gave 4 to "Heat (1995)"; 212 others rated it; 34 of them soon rated B, \
28 liked it; 9 recent ratings lead to B: "Fargo (1996)", 512 ratings, 64% liked.
Step 2: Chain 2: the user gave 3 to "Alien (1979)"; 90 others rated it; 12 of them soon rated A, \
9 liked it; 11 recent ratings lead to A: "Speed (1994)", 300 ratings, 71% liked.
Step 3: No chain leads to C: "Jaws (1975)", 40 ratings, 50% liked.
Step 4: People: B 34 to A 12, better; B 34 to C 0, better; best by people: B.
Step 5: Recent ratings: B 9 to A 11, worse; A 11 to C 0, better; best by recent ratings: A.
Step 6: Liked: B 64% to A 71%, worse; A 71% to C 50%, better; best by liked: A.
Step 7: """


def written(case, label):
    ((thought, answer),) = write_thoughts([case], [label], 0)
    return thought, answer


def some_case(seed):
    return random_case(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("positive", "conclusion", "ranking"),
    [
        ("B", "By all evidence: B comes first, then A, then C.", "B > A > C"),
        # Its lead in recent ratings is larger than that in likes.
        ("A", "By recent ratings: A comes first, then B, then C.", "A > B > C"),
        ("C", "By all evidence: B comes first, then A, then C.", "B > A > C"),  # best by nothing
        ("", "By all evidence: B comes first, then A, then C.", "B > A > C"),
    ],
)
def test_the_answer_guides_only_where_evidence_speaks_for_it(positive, conclusion, ranking):
    assert written(CASE, positive) == (THOUGHT + conclusion, f"Ranking: {ranking}")


def test_no_word_of_a_thought_is_taken_for_a_title():
    """Unless it is quoted: an item may be called "Others"."""
    case = random_case(np.random.default_rng(44465))
    for label in LABELS[: len(case.candidates)]:
        in_own_words = re.sub(r'"[^"]*"', "", written(case, label)[0])
        assert distinctive_words(in_own_words) == []


@given(seeds)
def test_a_trace_is_accepted_exactly_if_it_reaches_the_positive(seed):
    case = some_case(seed)
    for place, index in enumerate(case.strongest()):
        truth = LABELS[index]
        thought, answer = written(case, truth)
        reached = parse_ranking(answer, len(case.candidates), reasoned=False).labels[0] == truth
        assert (audit(case, thought, answer, truth) == []) == reached
        assert not reached or place < weighing.COMPARED


@given(seeds)
def test_the_answer_is_the_order_of_the_evidence_but_for_the_first(seed):
    case = some_case(seed)
    order = [LABELS[index] for index in case.strongest()]
    for truth in order[:3]:
        _, answer = written(case, truth)
        labels = list(parse_ranking(answer, len(order), reasoned=False).labels)
        assert sorted(labels) == sorted(order)
        assert [label for label in order if label != labels[0]] == labels[1:]


@given(seeds, st.integers(0, 1000))
def test_a_number_that_is_not_told_is_found(seed, which):
    case = some_case(seed)
    truth = LABELS[case.strongest()[0]]
    thought, answer = written(case, truth)
    unquoted = re.sub(r'"[^"]*"', lambda match: "x" * len(match[0]), thought)
    numbers = list(re.finditer(r"(?<!Step )(?<!Chain )\b\d+\b(?!\.5)", unquoted))
    if numbers:
        place = numbers[which % len(numbers)]
        wrong = thought[: place.start()] + str(int(place[0]) + 1) + thought[place.end() :]
        assert broken_rules(audit(case, wrong, answer, truth)) == ["inconsistent"]


@given(seeds)
def test_another_order_on_the_page_changes_labels_and_no_evidence(seed):
    case = some_case(seed)
    moved = shuffled([case], np.random.default_rng(seed)).cases[0]
    named = [case.candidates[index] for index in case.strongest()]
    assert [moved.candidates[index] for index in moved.strongest()] == named
    steps = thought_steps(written(case, "")[0])
    moved_steps = thought_steps(written(moved, "")[0])
    numbers = [re.findall(r"\d+", step) for step in steps]
    assert [re.findall(r"\d+", step) for step in moved_steps] == numbers


def reasons(thought, answer="Ranking: B > A > C", truth="B"):
    return audit(CASE, thought, answer, truth)


FREE = """\
Step 1: Chain 1 begins at "Heat (1995)", which the user gave 4. Of 212 others who rated it, \
34 soon rated "Fargo (1996)", and 28 of these liked it.
Step 2: Chain 2 begins at "Alien (1979)" with a 3; only 12 of 90 went on to "Speed (1994)", \
though 11 recent ratings lead there.
Step 3: B has more people behind it, 34 against 12; A is liked a little more, 71% against 64%.
Step 4: B comes out ahead of A, and nothing leads to C."""


def test_free_text_that_tells_what_the_prompt_tells_is_accepted():
    assert reasons(FREE) == []


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("34 soon", "35 soon", "inconsistent"),
        ("gave 4", "gave 5", "inconsistent"),
        ("71% against", "81% against", "inconsistent"),
        ('"Fargo (1996)"', '"Seven (1995)"', "inconsistent"),
        ("Step 4: B", "Step 4: A", "inconsistent"),
        ("Step 3:", "Step 5:", "progressive"),
        ("B has more", "As we will see, B has more", "progressive"),
        ("B has more", "B is the correct answer: it has more", "leak"),
    ],
)
def test_free_text_that_breaks_a_rule_is_rejected(old, new, rule):
    assert old in FREE
    assert rule in broken_rules(reasons(FREE.replace(old, new)))


def test_the_positive_is_not_named_before_what_the_evidence_ranks_above_it():
    steps = THOUGHT.splitlines()
    swapped = [steps[1].replace("Step 2", "Step 1"), steps[0].replace("Step 1", "Step 2")]
    thought = "\n".join([*swapped, *steps[2:]]) + "By liked: A comes first, then B, then C."
    found = broken_rules(reasons(thought, "Ranking: A > B > C", "A"))
    assert found == ["masked", "leak"]


def test_a_candidate_is_compared_after_it_is_read():
    steps = [line.partition(": ")[2] for line in THOUGHT.splitlines()]
    concluded = "By people: B comes first, then A, then C."
    order = [steps[0], steps[3], steps[1], steps[2], steps[4], steps[5], concluded]
    thought = "\n".join(f"Step {n}: {text}" for n, text in enumerate(order, 1))
    assert broken_rules(reasons(thought)) == ["progressive"]


@pytest.mark.parametrize(
    ("concluded", "answer", "found"),
    [
        ("By liked: A comes first, then B.", "A > B > C", []),
        ("By people: A comes first, then B.", "A > B > C", ["is not what the case says"]),
        ("By all evidence: A comes first.", "A > B > C", ["is not what the case says"]),
        ("By rank: A comes first.", "A > B > C", ["is not what the case says"]),  # none is told
        (
            "By liked: C comes first.",
            "C > B > A",
            ["is not what the case says", "C is best by nothing, and B by all evidence"],
        ),
        ("So C comes first.", "C > B > A", ["C is best by nothing, and B by all evidence"]),
        ("I take A.", "A > B > C", []),  # in its own words
    ],
)
def test_what_comes_first_is_best_by_something(concluded, answer, found):
    reasons_found = reasons(THOUGHT + concluded, f"Ranking: {answer}", answer[0])
    assert len(reasons_found) == len(found)
    for reason, part in zip(reasons_found, found, strict=True):
        assert reason.startswith("inconsistent: ")
        assert reason.endswith(part)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=3), st.sampled_from(weighing.CRITERIA))
def test_the_best_by_a_criterion_has_the_best_number(numbers, name):
    values = list(zip(LABELS, numbers, strict=False))
    found = weighing.criterion(name, values)
    wanted = min(numbers) if name == "rank" else max(numbers)
    assert found.best == LABELS[numbers.index(wanted)]
    assert 0 <= found.lead() <= 1
    assert (found.lead() == 0) == (numbers.count(wanted) > 1)


def test_another_model_counts_by_its_rank():
    told = tuple(
        part._replace(witness=rank) for part, rank in zip(CASE.evidence, (1, 3, 2), strict=True)
    )
    case = CASE._replace(evidence=told)
    thought, _ = written(case, "B")
    assert "28 liked it; another model ranks B 3; 9 recent ratings lead to B: " in thought
    # No chain leads to C, so the prompt does not say where the model ranks it.
    assert "\nStep 7: Rank: B 3 to A 1, worse; best by rank: A.\n" in thought
