"""The template teacher: the same for a seed, varied over seeds, and silent about the answer."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.answer import parse_ranking, parse_rating, thought_steps
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import evidence
from r2rec.thoughts.template import expectation, write_thoughts

words = st.text(
    "abcdefgh -", min_size=1, max_size=8
)  # no digits and no verdicts: what is found was written by the teacher
items = st.builds(Item, words, st.lists(words, max_size=4).map(tuple))
stars = st.integers(1, 5)
chains = st.builds(Chain, items, stars, stars, stars, items, stars | st.none())
rankings = st.builds(
    RankingCase,
    st.none() | words,
    st.lists(items, max_size=5).map(tuple),
    st.lists(chains, max_size=5).map(tuple),
    st.lists(items, min_size=1, max_size=20).map(tuple),
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
def test_a_seed_fixes_every_word(cases, seed):
    answers = ["A" if isinstance(c, RankingCase) else "4" for c in cases]
    assert write_thoughts(cases, answers, seed) == write_thoughts(cases, answers, seed)


@pytest.mark.parametrize(("case", "answer"), [(RANKING, "B"), (RATING, "4")])
def test_wording_varies_and_numbers_do_not(case, answer):
    thoughts = {write_thoughts([case], [answer], seed)[0][0] for seed in range(40)}
    assert len(thoughts) >= 5
    assert len({tuple(re.findall(r"\d+", thought)) for thought in thoughts}) == 1


def test_neighbouring_cases_are_worded_apart():
    assert len({thought for thought, _ in write_thoughts([RATING] * 40, ["4"] * 40, 0)}) >= 5


@given(ratings, stars, seeds)
def test_a_rating_shows_in_its_answer_alone(case, truth, seed):
    ((thought, answer),) = write_thoughts([case], [str(truth)], seed)
    cited = [float(n) for n in re.findall(r"\d+", re.sub(r"Step \d:|Neighbour 1", "", thought))]
    chain = case.chain
    assert cited == [chain.rating_u1, chain.rating_v1, chain.rating_v2]
    assert parse_rating(answer, reasoned=False) == truth
    assert parse_rating(thought, reasoned=False) is None


@given(ratings, seeds)
def test_the_answer_only_settles_what_lies_on_a_border(case, seed):
    """Whatever the answer, the verdict lies within half a star of the evidence, which is never talked over."""
    value = case.chain.rating_v2 + (case.chain.rating_u1 - case.chain.rating_v1) / 2
    for truth in range(1, 6):
        verdict = expectation(case.chain, truth)
        assert verdict in (
            evidence.sign(value - 0.5),
            evidence.sign(value),
            evidence.sign(value + 0.5),
        )
        assert verdict in (evidence.sign(value), evidence.sign(truth))
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
    score = evidence.trait_scores(evidence.filled(evidence.support(case)))
    order, most = re.findall(r"\b[A-T]\b", answer), sorted(score.values(), reverse=True)
    told = thought_steps(thought)
    assert (
        len(told)
        == thought.count("\n") + 1
        == bool(case.history) + len(case.chains) + 2 + bool(most[0])
    )
    if not most[0]:
        assert order == list(labels)
        return
    *_, listed, first = told
    best = [(label, int(n)) for label, n in re.findall(r"([A-T]) (\d+)", listed)]
    assert [n for _, n in best] == [n for n in most if n][: evidence.BEST]
    assert all(score[label] == n for label, n in best)
    assert first == f"First: {order[0]}."
    assert (order[0] == positive) or positive not in [
        label for label, n in best if most[0] - n <= evidence.CLOSE
    ]
    assert order[1 : len(best)] == [label for label, _ in best if label != order[0]]
    assert order[len(best) :] == sorted(set(labels) - {label for label, _ in best})


@given(rankings)
def test_support_counts_likes_and_dislikes_in_the_order_read(case):
    """Read with a pen: one up for a like, one down for a dislike, never below nought."""
    for label, counted in evidence.support(case).items():
        assert tuple(trait for trait, _ in counted) == evidence.traits(
            case.candidates[LABELS.index(label)]
        )
        for trait, count in counted:
            expected = 0
            for item, verdict in evidence.verdicts(case):
                if trait in evidence.traits(item):
                    expected = max(0, expected + verdict)
            assert count == expected


@given(rankings)
def test_a_trait_that_an_item_has_not_counts_as_mentioned_once(case):
    support = evidence.filled(evidence.support(case))
    for label, score in evidence.trait_scores(support).items():
        named = evidence.traits(case.candidates[LABELS.index(label)])
        assert support[label][len(named) :] == (
            [("other", 3 - len(named))] if 0 < len(named) < 3 else []
        )
        assert score == sum(count for _, count in support[label])


@given(rankings, seeds)
def test_the_positive_changes_no_reading(case, seed):
    """Up to the last step, which names the first, a ranking thought is the same whoever the positive is."""
    told = {
        write_thoughts([case], [label], seed)[0][0].rpartition("\n")[0]
        for label in LABELS[: len(case.candidates)]
    }
    assert len(told) == 1


def test_traits_are_named_once_and_never_empty():
    assert evidence.traits(Item("Big Noir", ("Crime", "\n", "", ",", "Crime", "Cri,me "))) == (
        "Crime",
    )
    assert evidence.traits(Item("The Big Big Noir, 2", ("", "\0"))) == ("Big", "Noir")
