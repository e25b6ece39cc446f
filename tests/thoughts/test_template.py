"""The template teacher: the same for a seed, varied over seeds, and silent about the answer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.answer import parse_ranking, parse_rating, thought_steps
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import taste
from r2rec.thoughts.template import expectation, write_thoughts

# No digits and no verdicts: what a test finds was written by the teacher.
words = st.text("abcdefgh -", min_size=1, max_size=8)
items = st.builds(Item, words, st.lists(words, max_size=4).map(tuple))
stars = st.integers(1, 5)
chains = st.builds(Chain, items, stars, stars, stars, items, stars | st.none())
rankings = st.builds(
    RankingCase,
    st.none() | words,
    st.lists(items, max_size=5).map(tuple),
    st.lists(chains, max_size=5).map(tuple),
    st.lists(items, min_size=1, max_size=20).map(tuple),
    evidence=st.just(()),
    facts=st.just(()),
)
ratings = st.builds(RatingCase, st.none() | words, chains.map(lambda c: c._replace(rating_u2=None)))
seeds = st.integers(0, 2**31)

NOIR, SPACE = Item("Noir", ("Crime", "Drama")), Item("Space", ("Sci-Fi", "Drama"))
CHAIN = Chain(NOIR, 5, 4, 4, SPACE, None)
RATING = RatingCase(None, CHAIN)
RANKING = RankingCase(
    None, (NOIR,), (CHAIN._replace(rating_u2=2),), (SPACE, NOIR, Item("Noir 2", ("Crime", "Drama")))
)


@given(st.lists(rankings | ratings, max_size=4), seeds)
def test_seed_fixes_every_word(cases, seed):
    answers = ["A" if isinstance(c, RankingCase) else "4" for c in cases]
    assert write_thoughts(cases, answers, seed) == write_thoughts(cases, answers, seed)


@pytest.mark.parametrize(("case", "answer"), [(RANKING, "B"), (RATING, "4")])
def test_wording_varies_but_numbers_do_not(case, answer):
    thoughts = {write_thoughts([case], [answer], seed)[0][0] for seed in range(40)}
    assert len(thoughts) >= 5
    assert len({tuple(re.findall(r"\d+", thought)) for thought in thoughts}) == 1


def test_wording_varies_between_cases():
    assert len({thought for thought, _ in write_thoughts([RATING] * 40, ["4"] * 40, 0)}) >= 5


@given(ratings, stars, seeds)
def test_rating_thought_hides_its_answer(case, truth, seed):
    ((thought, answer),) = write_thoughts([case], [str(truth)], seed)
    cited = [float(n) for n in re.findall(r"\d+", re.sub(r"Step \d:|Neighbour 1", "", thought))]
    chain = case.chain
    assert cited == [chain.rating_u1, chain.rating_v1, chain.rating_v2]
    assert parse_rating(answer, reasoned=False) == truth
    assert parse_rating(thought, reasoned=False) is None


@given(ratings, seeds)
def test_answer_only_guides_between_two_ratings(case, seed):
    """Whatever the answer, the verdict lies within half a star of the evidence."""
    value = case.chain.rating_v2 + (case.chain.rating_u1 - case.chain.rating_v1) / 2
    for truth in range(1, 6):
        verdict = expectation(case.chain, truth)
        assert verdict in (
            taste.sign(value - 0.5),
            taste.sign(value),
            taste.sign(value + 0.5),
        )
        assert verdict in (taste.sign(value), taste.sign(truth))
    read = {
        write_thoughts([case], [str(truth)], seed)[0][0].rpartition("\n")[0]
        for truth in range(1, 6)
    }
    assert len(read) == 1


@given(rankings, seeds, st.data())
def test_rankings_list_every_label_once(case, seed, data):
    labels = LABELS[: len(case.candidates)]
    positive = data.draw(st.sampled_from(labels))
    ((thought, answer),) = write_thoughts([case], [positive], seed)
    read = parse_ranking(answer, len(labels), reasoned=False)
    if len(labels) > 1:
        assert read.valid
        assert sorted(read.labels) == list(labels)
    score = taste.trait_scores(taste.filled(taste.support(case)))
    order = re.findall(r"\b[A-T]\b", answer)
    most = sorted(score.values(), reverse=True)
    steps = thought_steps(thought)
    assert len(steps) == thought.count("\n") + 1
    assert len(steps) == bool(case.history) + len(case.chains) + 2 + bool(most[0])
    if not most[0]:
        assert order == list(labels)
        return
    *_, listed, first = steps
    best = {label: int(n) for label, n in re.findall(r"([A-T]) (\d+)", listed)}
    assert list(best.values()) == [n for n in most if n][: taste.BEST]
    assert all(score[label] == n for label, n in best.items())
    assert first == f"First: {order[0]}."
    close = [label for label, n in best.items() if most[0] - n <= taste.CLOSE]
    assert order[0] == positive or positive not in close
    assert order[1 : len(best)] == [label for label in best if label != order[0]]
    assert order[len(best) :] == sorted(set(labels) - set(best))


@given(rankings)
def test_support_counts_in_reading_order(case):
    """Counted by hand: one up for a like, one down for a dislike, never below zero."""
    for label, counted in taste.support(case).items():
        candidate = case.candidates[LABELS.index(label)]
        assert tuple(trait for trait, _ in counted) == taste.traits(candidate)
        for trait, count in counted:
            expected = 0
            for item, verdict in taste.verdicts(case):
                if trait in taste.traits(item):
                    expected = max(0, expected + verdict)
            assert count == expected


@given(rankings)
def test_filled_counts_each_missing_trait_once(case):
    support = taste.filled(taste.support(case))
    for label, score in taste.trait_scores(support).items():
        named = taste.traits(case.candidates[LABELS.index(label)])
        expected = [("other", 3 - len(named))] if 0 < len(named) < 3 else []
        assert support[label][len(named) :] == expected
        assert score == sum(count for _, count in support[label])


@given(rankings, seeds)
def test_positive_only_changes_the_last_step(case, seed):
    read = {
        write_thoughts([case], [label], seed)[0][0].rpartition("\n")[0]
        for label in LABELS[: len(case.candidates)]
    }
    assert len(read) == 1


def test_traits_are_distinct_and_not_empty():
    attributes = ("Crime", "\n", "", ",", "Crime", "Cri,me ")
    assert taste.traits(Item("Big Noir", attributes)) == ("Crime",)
    assert taste.traits(Item("The Big Big Noir, 2", ("", "\0"))) == ("Big", "Noir")
