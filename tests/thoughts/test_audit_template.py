"""The audit accepts the template teacher's traces, whatever the data say, but no changed ones."""

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
from r2rec.thoughts import taste, template
from r2rec.thoughts.audit import RULES, audit, broken_rules, rates
from r2rec.thoughts.statements import Statement, stated
from tests.thoughts.traces import BABE, CHOSEN, CLUE, HEAT, JAWS, TOLD, rules, steps


def toy_cases(seed, bare=False):
    """(case, truth) of all toy users: a ranking of 10 candidates, and each closed chain of it."""
    tables = interactions.index(
        toy.read_toy(None, None, seed=seed, users=70, items=100, ratings_per_user=25)
    )
    parts = split.leave_last_out(tables.interactions, positive_above=3, min_positives=6)
    graph = graphs.build_graph(parts.train, tables.users.height, tables.items.height)
    queries = graphs.queries(graph, np.flatnonzero(np.diff(graph.start)))
    rng = np.random.default_rng(seed)
    items = []
    for title, attributes in tables.items.select("title", "attributes").iter_rows():
        items.append(Item(title, () if bare else tuple(attributes)))
    positive = dict(parts.heldout.filter(role="valid").select("user", "item").iter_rows())
    for sampler in (samplers.closed, samplers.open_ended):
        table = samplers.table(sampler(graph, queries, 3, rng), graph, queries)
        for (user,), rows in table.group_by("user", maintain_order=True):
            chains = tuple(_chain(row, items) for row in rows.iter_rows(named=True))
            recent = graph.item[graph.start[user] : graph.start[user + 1]][-5:]
            history = tuple(items[i] for i in recent)
            shown = rng.permutation([positive[user], *rng.choice(100, 9, replace=False)])
            candidates = tuple(items[i] for i in shown)
            truth = LABELS[list(shown).index(positive[user])]
            yield RankingCase("female, writer", history, chains, candidates), truth
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
        return template.expectation(case.chain, int(truth)) == taste.sign(int(truth))
    score = taste.trait_scores(taste.filled(taste.support(case)))
    better = sum(
        n > score[truth] or (n == score[truth] and label < truth) for label, n in score.items()
    )
    return 0 < score[truth] >= max(score.values()) - taste.CLOSE and better < taste.BEST


@pytest.mark.parametrize("bare", [False, True])
def test_toy_traces_are_accepted_if_supported(bare):
    cases = list(toy_cases(1, bare))
    written = template.write_thoughts([c for c, _ in cases], [t for _, t in cases], seed=0)
    assert len(cases) > 300
    got = [audit(case, *w, truth) for (case, truth), w in zip(cases, written, strict=True)]
    assert [not reasons for reasons in got] == [supported(*c) for c in cases]
    assert 0.2 < rates(got)["accepted"] < 0.9
    assert {rule for reasons in got for rule in broken_rules(reasons)} == {"inconsistent"}


def test_plain_sums_must_be_used_throughout():
    """A thought may leave out the traits that an item lacks, if it concludes from that count."""
    mixed = 0
    for case, truth in (pair for pair in toy_cases(1, False) if isinstance(pair[0], RankingCase)):
        plain = taste.support(case)
        if truth not in taste.choices(taste.trait_scores(plain)):
            continue
        ((theirs, _),) = template.write_thoughts([case], [truth], seed=0)
        concluded, answer = template.conclusion(plain, truth, np.random.default_rng(0))
        read = [step.partition(": ")[2] for step in theirs.split("\n")]
        count = next(n for n, step in enumerate(read) if step.startswith("Candidates:"))
        assert audit(case, steps(*read[:count], *concluded), answer, truth) == []
        if read[count + 1].partition(": ")[2] != concluded[1].partition(": ")[2]:
            mixture = steps(*read[:count], concluded[0], *read[count + 1 :])
            assert audit(case, mixture, answer, truth)
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
    evidence=st.just(()),
    facts=st.just(()),
)
ranking_questions = st.tuples(rankings, st.integers(0, 5)).map(
    lambda drawn: (drawn[0], LABELS[drawn[1] % len(drawn[0].candidates)])
)
rating_questions = st.tuples(st.builds(RatingCase, st.none() | texts, closed), stars.map(str))
questions = ranking_questions | rating_questions  # (case, truth)
hostile_steps = st.lists(texts | st.sampled_from(CHOSEN + TOLD), max_size=8)


@given(questions, st.integers(0, 99))
def test_hostile_texts_raise_no_alarm(question, seed):
    case, truth = question
    ((thought, answer),) = template.write_thoughts([case], [truth], seed)
    expected = set() if supported(case, truth) else {"inconsistent"}
    assert rules(case, thought, answer, truth) == expected, thought


@given(questions, st.text() | hostile_steps.map(lambda texts: steps(*texts)))
def test_audit_judges_any_text(question, thought):
    case, truth = question
    broken = rules(case, thought, "", truth)
    assert broken
    assert broken <= set(RULES)


@cache
def supported_cases():
    return [c for c in toy_cases(2) if supported(*c)]


accepted = st.deferred(lambda: st.sampled_from(supported_cases()))


def write(case, truth, seed=0):
    return template.write_thoughts([case], [truth], seed)[0]


def put(text, match, new):
    """The text with `new` in place of a match."""
    return f"{text[: match.start()]}{new}{text[match.end() :]}"


@given(accepted, st.data())
def test_changed_number_is_rejected(question, data):
    """A rating, count or score of a template trace; not the digits of "Chain 1" and "1990s"."""
    case, truth = question
    thought, answer = write(case, truth)
    digits = [
        match
        for match in re.finditer(r"(?<![\w.])\d+(?!\w|:)", thought)
        if not thought[: match.start()].endswith("Neighbour ")
    ]
    digit = data.draw(st.sampled_from(digits))
    number = data.draw(st.integers(1, 5).filter(lambda n: n != int(digit[0])))
    assert audit(case, put(thought, digit, number), answer, truth)


@given(accepted, st.data())
def test_changed_attribute_is_rejected(question, data):
    case, truth = question
    thought, answer = write(case, truth)
    attribute = "|".join(map(re.escape, [*toy.GENRES, "1970s"]))
    matches = list(re.finditer(attribute, thought))
    if matches:
        match = data.draw(st.sampled_from(matches))
        assert audit(case, put(thought, match, "Opera"), answer, truth)


@given(accepted, st.data(), st.booleans())
def test_changed_order_is_rejected(question, data, renumber):
    case, truth = question
    thought, answer = write(case, truth)
    lines = thought.split("\n")
    shuffled = data.draw(st.permutations(lines).filter(lambda drawn: drawn != lines))
    moved = "\n".join(shuffled)
    if renumber:
        moved = steps(*(line.partition(": ")[2] for line in shuffled))
    assert audit(case, moved, answer, truth)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("progressive", [True, False])
@pytest.mark.parametrize("bare", [True, False])
def test_free_text_rules_spare_template_traces(masked, progressive, bare):
    """Whatever the switches: only the rule switched off rejects, and evidence against the truth."""
    cases = list(toy_cases(3, bare))
    written = template.write_thoughts(
        [c for c, _ in cases], [t for _, t in cases], 1, masked, progressive
    )
    for (case, truth), (thought, answer) in zip(cases, written, strict=True):
        expected = set()
        if isinstance(case, RankingCase) and case.chains:
            if not masked:
                expected.add("masked")
            if not progressive and case.history:
                expected.add("progressive")
        if not supported(case, truth):
            expected.add("inconsistent")
        assert rules(case, thought, answer, truth) == expected, thought


@given(accepted, st.data())
def test_changed_numbering_is_rejected(question, data):
    case, truth = question
    thought, answer = write(case, truth)
    n = data.draw(st.integers(1, thought.count("\n") + 1))
    other = data.draw(st.integers(0, 20).filter(lambda m: m != n))
    changed = thought.replace(f"Step {n}:", f"Step {other}:")
    assert rules(case, changed, answer, truth) >= {"progressive"}


@pytest.mark.parametrize(
    ("rule", "params"), [("masked", {"masked": False}), ("progressive", {"progressive": False})]
)
def test_ablated_teacher_breaks_only_its_rule(rule, params):
    tried = 0
    for case, truth in supported_cases():
        if isinstance(case, RankingCase) and case.chains and case.history:
            ((thought, answer),) = template.write_thoughts([case], [truth], seed=0, **params)
            assert rules(case, thought, answer, truth) == {rule}, thought
            tried += 1
        if tried == 60:
            break
    assert tried > 10


@pytest.mark.parametrize(
    "segment", ["A Comedy 3 = 5", "A Crime 2, Drama 1 = 3", "A - = 1", "A 1 2 3"]
)
def test_long_lists_that_end_wrong_are_read_at_once(segment):
    """With two readings of a candidate this would take 2^60 steps."""
    case, _ = next(toy_cases(0))
    step = f"Candidates: {'; '.join([segment] * 60)}"
    assert stated([f"{step}."], case) == [Statement(2, None)]
    assert stated([f"{step}; and so on"], case) == [None]
