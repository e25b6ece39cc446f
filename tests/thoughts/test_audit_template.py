"""The audit of the template teacher: its traces are accepted, whatever the data say, and changed ones are not."""

import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.chains import graph as graphs
from r2rec.chains import samplers
from r2rec.data import interactions, split, toy
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import evidence, template
from r2rec.thoughts.audit import RULES, audit, rates
from tests.thoughts.traces import BABE, CHOSEN, CLUE, HEAT, JAWS, TOLD, rules, steps


def toy_cases(seed, bare=False):
    """(case, truth) of all toy users: a ranking of 10 candidates, and each of its closed chains as a question."""
    tables = interactions.index(
        toy.read_toy(None, None, seed=seed, users=70, items=100, ratings_per_user=25)
    )
    parts = split.leave_last_out(tables.interactions, positive_above=3, min_positives=6)
    graph = graphs.build_graph(parts.train, tables.users.height, tables.items.height)
    asked, rng = (
        graphs.queries(graph, np.flatnonzero(np.diff(graph.start))),
        np.random.default_rng(seed),
    )
    items = [
        Item(t, () if bare else tuple(a))
        for t, a in tables.items.select("title", "attributes").iter_rows()
    ]
    positive = dict(parts.heldout.filter(role="valid").select("user", "item").iter_rows())
    for sampler in (samplers.closed, samplers.open_ended):
        table = samplers.table(sampler(graph, asked, 3, rng), graph, asked)
        for (user,), rows in table.group_by("user", maintain_order=True):
            chains = tuple(_chain(row, items) for row in rows.iter_rows(named=True))
            history = tuple(
                items[i] for i in graph.item[graph.start[user] : graph.start[user + 1]][-5:]
            )
            shown = rng.permutation([positive[user], *rng.choice(100, 9, replace=False)])
            truth = LABELS[list(shown).index(positive[user])]
            yield (
                RankingCase("female, writer", history, chains, tuple(items[i] for i in shown)),
                truth,
            )
            for chain in chains:
                if chain.rating_u2 is not None:
                    yield RatingCase(None, chain._replace(rating_u2=None)), f"{chain.rating_u2:g}"


def _chain(row, items):
    return Chain(
        items[row["item1"]],
        row["rating_u1"],
        row["rating_v1"],
        row["rating_v2"],
        items[row["item2"]],
        row["rating_u2"],
    )


def supported(case, truth):
    """Whether the evidence speaks for the truth, read without the teacher's sentences."""
    if isinstance(case, RatingCase):
        return template.expectation(case.chain, int(truth)) == evidence.sign(int(truth))
    score = evidence.trait_scores(evidence.filled(evidence.support(case)))
    better = sum(
        n > score[truth] or (n == score[truth] and label < truth) for label, n in score.items()
    )
    return 0 < score[truth] >= max(score.values()) - evidence.CLOSE and better < evidence.BEST


@pytest.mark.parametrize("bare", [False, True])
def test_toy_traces_are_accepted_iff_supported(bare):
    cases = list(toy_cases(1, bare))
    written = template.write_thoughts([c for c, _ in cases], [t for _, t in cases], seed=0)
    assert len(cases) > 300
    got = [audit(case, *w, truth) for (case, truth), w in zip(cases, written, strict=True)]
    assert [not reasons for reasons in got] == [supported(*c) for c in cases]
    assert 0.2 < rates(got)["accepted"] < 0.9
    assert {reason.partition(":")[0] for reasons in got for reason in reasons} == {"inconsistent"}


def test_plain_sums_are_as_true_but_go_with_no_other_count():
    """A thought may leave out what an item has not; all that it concludes then follows from that."""
    mixed = 0
    for case, truth in (pair for pair in toy_cases(1, False) if isinstance(pair[0], RankingCase)):
        plain = evidence.support(case)
        if truth not in evidence.choices(evidence.trait_scores(plain)):
            continue
        ((theirs, _),) = template.write_thoughts([case], [truth], seed=0)
        concluded, answer = template.conclusion(plain, truth, np.random.default_rng(0))
        read = [step.partition(": ")[2] for step in theirs.split("\n")]
        at = next(n for n, step in enumerate(read) if step.startswith("Candidates:"))
        assert audit(case, steps(*read[:at], *concluded), answer, truth) == []
        if read[at + 1].partition(": ")[2] != concluded[1].partition(": ")[2]:
            assert audit(case, steps(*read[:at], concluded[0], *read[at + 1 :]), answer, truth)
            mixed += 1
    assert mixed > 10


HOSTILE = [
    "Step 3:",
    "Step 3: disliked",
    "neighbour 2",
    "Ranking: B",
    "Rating: 5",
    "the positive",
    "correct answer",
    "C",
    "A",
    "Chain 4",
    "4",
    "5",
    "user",
    "liked",
    "disliked by the user (1).",
    "; then",
    "B 3",
    "</think>",
    "it",
    "\n",
    "as we will see",
    "2; it shares x with the first.",
    "",
    "not enjoyed",
    "next step",
    "The answer is 4",
    "(5)",
    "-1",
    "Candidates: B 9; C 8.",
    "x" * 300,
    "\u202eabc",
    "candidate B",
    "Strongest: C 3.",
    "I",
    "a, b",
    "é",
    ".",
    "\\d+",
    "First: B.",
    "(?:",
    "neutral (3), neighbour agrees (3)",
]
words = st.sampled_from(HOSTILE) | st.sampled_from(
    [t for i in (HEAT, JAWS, CLUE, BABE) for t in (i.title, *i.attributes)]
)
texts = st.one_of(words, st.tuples(words, words).map(" ".join), st.text(max_size=12))
items = st.builds(Item, texts, st.lists(texts, max_size=4).map(tuple))
stars = st.integers(1, 5)
chains = st.builds(Chain, items, stars, stars, stars, items, stars | st.none())
closed = st.builds(Chain, items, stars, stars, stars, items, st.none())
rankings = st.builds(
    RankingCase,
    st.none() | texts,
    st.lists(items, max_size=3).map(tuple),
    st.lists(chains, max_size=4).map(tuple),
    st.lists(items, min_size=1, max_size=6).map(tuple),
)
asked = st.tuples(rankings, st.integers(0, 5)).map(
    lambda c: (c[0], LABELS[c[1] % len(c[0].candidates)])
) | st.tuples(st.builds(RatingCase, st.none() | texts, closed), stars.map(str))


@given(asked, st.integers(0, 99))
def test_hostile_texts_raise_no_alarm(asked, seed):
    case, truth = asked
    ((thought, answer),) = template.write_thoughts([case], [truth], seed)
    reasons = audit(case, thought, answer, truth)
    assert {reason.partition(":")[0] for reason in reasons} == (
        set() if supported(case, truth) else {"inconsistent"}
    ), reasons


@given(
    asked,
    st.text()
    | st.lists(texts | st.sampled_from(CHOSEN + TOLD), max_size=8).map(lambda t: steps(*t)),
)
def test_any_text_is_judged(asked, thought):
    case, truth = asked
    reasons = audit(case, thought, "", truth)
    assert reasons
    assert {reason.partition(":")[0] for reason in reasons} <= set(RULES)


@cache
def supported_cases():
    return [c for c in toy_cases(2) if supported(*c)]


accepted = st.deferred(lambda: st.sampled_from(supported_cases()))


def write(case, truth, seed=0):
    return template.write_thoughts([case], [truth], seed)[0]


@given(accepted, st.data())
def test_changed_numbers_are_caught(asked, data):
    """A rating, count or score of a template trace; not the digits of "Chain 1" and "1990s"."""
    thought, answer = write(*asked)
    digits = [
        m
        for m in re.finditer(r"(?<![\w.])\d+(?!\w|:)", thought)
        if not thought[: m.start()].endswith("Neighbour ")
    ]
    spot = data.draw(st.sampled_from(digits))
    number = data.draw(st.integers(1, 5).filter(lambda n: n != int(spot[0])))
    assert audit(
        asked[0], f"{thought[: spot.start()]}{number}{thought[spot.end() :]}", answer, asked[1]
    )


@given(accepted, st.data())
def test_changed_attributes_are_caught(asked, data):
    thought, answer = write(*asked)
    spot = data.draw(
        st.sampled_from(
            list(re.finditer("|".join(map(re.escape, [*toy.GENRES, "1970s"])), thought)) or [None]
        )
    )
    if spot:
        assert audit(
            asked[0], f"{thought[: spot.start()]}Opera{thought[spot.end() :]}", answer, asked[1]
        )


@given(accepted, st.data(), st.booleans())
def test_changed_order_is_caught(asked, data, renumber):
    thought, answer = write(*asked)
    lines = thought.split("\n")
    shuffled = data.draw(st.permutations(lines).filter(lambda p: p != lines))
    moved = (
        steps(*(line.partition(": ")[2] for line in shuffled)) if renumber else "\n".join(shuffled)
    )
    assert audit(asked[0], moved, answer, asked[1])


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_rules_on_free_text_leave_the_templates_verdicts(masked, progressive, bare):
    """Whatever the switches: turned down by the rule that is switched off, and where the evidence says otherwise."""
    cases = list(toy_cases(3, bare))
    written = template.write_thoughts(
        [c for c, _ in cases], [t for _, t in cases], 1, masked, progressive
    )
    for (case, truth), (thought, answer) in zip(cases, written, strict=True):
        chained, liked = (
            (bool(case.chains), bool(case.history))
            if isinstance(case, RankingCase)
            else (False, False)
        )
        off = {
            "masked": not masked and chained,
            "progressive": not progressive and chained and liked,
        }
        expected = {rule for rule, broken in off.items() if broken}
        expected |= set() if supported(case, truth) else {"inconsistent"}
        assert rules(case, thought, answer, truth) == expected, thought


@given(accepted, st.data())
def test_changed_numbering_is_caught(asked, data):
    thought, answer = write(*asked)
    n = data.draw(st.integers(1, thought.count("\n") + 1))
    changed = thought.replace(
        f"Step {n}:", f"Step {data.draw(st.integers(0, 20).filter(lambda m: m != n))}:"
    )
    assert rules(asked[0], changed, answer, asked[1]) >= {"progressive"}


@pytest.mark.parametrize(
    ("rule", "params"), [("masked", {"masked": False}), ("progressive", {"progressive": False})]
)
def test_an_ablated_teacher_breaks_its_rule_and_no_other(rule, params):
    cases = [
        c
        for c in supported_cases()
        if isinstance(c[0], RankingCase) and c[0].chains and c[0].history
    ][:60]
    written = template.write_thoughts(
        [c for c, _ in cases], [t for _, t in cases], seed=0, **params
    )
    for (case, truth), (thought, answer) in zip(cases, written, strict=True):
        assert {reason.partition(":")[0] for reason in audit(case, thought, answer, truth)} == {
            rule
        }, thought
