"""Rewards: bounded, higher for better answers, and the paper's shapes computed a second way."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.answer import parse_ranking, render_completion, render_ranking
from r2rec.prompts.cases import LABELS
from r2rec.train import rewards

TWENTY = LABELS[:20]
SHAPES = [rewards.linear_reward, rewards.reciprocal_reward, rewards.ndcg_reward]
orders = st.permutations(TWENTY)


def completion(n_steps=3, labels="BA"):
    thought = "\n".join(f"Step {n}: the user liked it." for n in range(1, n_steps + 1))
    return render_completion(thought, render_ranking(labels))


def test_step_shape():
    """Low 4, high 6: up from 0 to 4 steps, flat to 6, down to 12."""
    got = rewards.step_reward([completion(n) for n in range(14)], low=4, high=6)
    assert got == pytest.approx(
        [0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0]
    )


@given(st.integers(0, 30), st.integers(0, 10), st.integers(1, 10))
def test_step_is_the_lower_of_its_two_lines(n, low, high):
    low, high = sorted((low, high))
    rising = n / low if low else 1
    falling = 2 - n / high
    expected = max(0, min(1, rising, falling))
    assert rewards.step_reward([completion(n)], low=low, high=high) == [pytest.approx(expected)]


def test_steps_count_in_a_finished_thought_only():
    texts = [
        "Step 1: a\nStep 2: b\n</think>\nRanking: A",  # the chat template wrote the opening tag
        "<think>\nStep 1: a\nStep 2: b",
        "Step 1: a\nStep 2: b\nRanking: A",
        "<think>\n</think>\nStep 1: a\nStep 2: b\nRanking: A",
        "<think>\n1.\n2.\n</think>\nRanking: A",
        "",
    ]
    assert rewards.step_reward(texts, low=2, high=2) == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(("low", "high"), [(3, 2), (-1, 2), (0, 0)])
def test_step_rejects_an_impossible_range(low, high):
    with pytest.raises(ValueError, match=f"low={low}, high={high}"):
        rewards.step_reward([], low=low, high=high)


@given(orders, st.sampled_from(TWENTY))
def test_ranking_shapes_recomputed(order, positive):
    above, below = order.index(positive), order[::-1].index(positive)
    args = {"positive": [positive], "n_candidates": [20]}
    text = [completion(labels=order)]
    assert rewards.linear_reward(text, **args) == [
        pytest.approx(below / 19)
    ]  # the share of negatives it beats
    assert rewards.reciprocal_reward(text, **args) == [pytest.approx((above + 1) ** -1)]
    assert rewards.ndcg_reward(text, **args) == [pytest.approx(math.log(2) / math.log(above + 2))]


@pytest.mark.parametrize("shape", SHAPES)
@given(order=orders)
def test_ranking_shapes_fall_with_rank(shape, order):
    text = completion(labels=order)
    got = shape([text] * 20, positive=list(order), n_candidates=[20] * 20)
    assert all(high > low for high, low in pairwise(got))
    assert got[0] == 1
    assert got[-1] >= 0


@pytest.mark.parametrize("shape", SHAPES)
@given(
    texts=st.lists(
        st.text() | st.just("</think>\nRanking: C > A > B") | st.just("Ranking: C > A"), max_size=4
    ),
    k=st.integers(1, 26),
    reasoned=st.booleans(),
)
def test_rewards_are_bounded_and_follow_the_parser(shape, texts, k, reasoned):
    n = len(texts)
    got = shape(texts, positive=["A"] * n, n_candidates=[k] * n, reasoned=reasoned)
    assert all(0 <= reward <= 1 for reward in got)
    for text, reward in zip(texts, got, strict=True):
        if "A" not in parse_ranking(text, k, reasoned).labels:
            assert reward == 0
    assert all(0 <= reward <= 1 for reward in rewards.step_reward(texts, low=2, high=4))


@pytest.mark.parametrize("shape", SHAPES)
def test_no_reward_without_the_positive_or_an_answer(shape):
    tails = ["Ranking: B > C", "Ranking: A > Z", "Ranking: A > A", "Ranking: a", "A is best", ""]
    texts = [f"so\n</think>\n{tail}" for tail in tails] + ["<think>\nRanking: A"]
    assert shape(texts, positive=["A"] * 7, n_candidates=[20] * 7) == [0] * 7


@pytest.mark.parametrize("shape", SHAPES)
def test_one_candidate(shape):
    texts = ["Ranking: A", "Ranking: B", "none"]
    got = shape(texts, positive=["A"] * 3, n_candidates=[1] * 3, reasoned=False)
    assert got == [1, 0, 0]


@given(order=orders, cut=st.integers(1, 19), reasoned=st.booleans())
def test_a_complete_answer_names_everyone_once(order, cut, reasoned):
    lists = [order, order[:cut], [*order[:cut], order[0]], order[:cut] + order]
    texts = [completion(labels=labels) if reasoned else render_ranking(labels) for labels in lists]
    assert rewards.complete(texts, n_candidates=[20] * 4, reasoned=reasoned) == [1, 0, 0, 0]
    first = set(order[:cut]) == set(LABELS[:cut])
    assert rewards.complete(texts[1:2], n_candidates=[cut], reasoned=reasoned) == [first]


def test_ranks_by_column():
    texts = ["Ranking: B > A", "Ranking: B > A", "Ranking: C > A", "Ranking: A"]
    got = rewards.ranks(texts, ["A", "B", "A", "B"], [20, 2, 2, 2], reasoned=False)
    assert got == [2, 1, None, None]  # C is unknown among two candidates
    with pytest.raises(ValueError, match="shorter"):
        rewards.ranks(texts, ["A"], [20] * 4)
