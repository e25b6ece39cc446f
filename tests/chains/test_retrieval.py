"""Chains to candidates: the rule against a slow version of it, and what it must not know."""

from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.chains import graph as graphs
from r2rec.chains import retrieval
from tests.chains.test_samplers import build, rows_of, uniform

SHRINK = 1.5


def sampler(graph, wanted, per_query, rng, **recency):
    return retrieval.retrieved(graph, wanted, per_query, rng, shrink=SHRINK, **recency)


@st.composite
def worlds(draw):
    """Histories, queries (user, length of the past), and candidates beyond the past of each."""
    n_items = draw(st.integers(4, 9))
    one = st.lists(
        st.tuples(st.integers(0, n_items - 1), st.integers(1, 5)),
        unique_by=lambda p: p[0],
        max_size=6,
    )
    histories = draw(st.lists(one, min_size=1, max_size=8))
    queries, shown = [], []
    for _ in range(draw(st.integers(1, 4))):
        user = draw(st.integers(0, len(histories) - 1))
        length = draw(st.integers(0, len(histories[user])))
        past = {item for item, _ in histories[user][:length]}
        free = [i for i in range(n_items) if i not in past]
        if len(free) >= 3:
            queries.append((user, length))
            shown.append(draw(st.permutations(free))[:3])
    assume(queries)
    return histories, n_items, queries, shown


def queries_of(graph, queries, shown):
    user, length = np.array(queries, int).T
    return graphs.queries(graph, user, length, np.array(shown, np.uint32))


def by_hand(histories, user, length, shown, recent, decay):
    """Candidates by strength, each with the past item that leads to it, and who rated both."""
    raters = {}
    for v, history in enumerate(histories):
        for item, _ in history:
            raters.setdefault(item, set()).add(v)
    near, found = {}, []
    past = [item for item, _ in reversed(histories[user][:length])][:recent]
    for c in shown:
        theirs = raters.get(c, set()) - {user}
        for age, i in enumerate(past):
            others = raters[i] - {user}
            cosine = len(others & theirs) / ((len(others) * len(theirs)) ** 0.5 + SHRINK)
            near[i, c] = cosine * decay**age
        strength = sum(near[i, c] for i in past)
        if strength > 0:
            best = max(past, key=lambda i: near[i, c])
            found.append((-round(strength, 9), c, best, (raters[best] - {user}) & theirs))
    return sorted(found)


recencies = st.fixed_dictionaries(
    {"recent": st.sampled_from([None, 1, 2, 4, 9]), "decay": st.sampled_from([1.0, 0.5])}
)


@given(worlds(), recencies, st.integers(0, 4), st.sampled_from([1, 256]))
def test_retrieved_matches_slow_version(world, recency, per_query, block):
    histories, n_items, queries, shown = world
    graph = build(histories, n_items)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "BLOCK_QUERIES", block)
        draw = partial(sampler, **recency)
        chains = rows_of(draw, graph, queries_of(graph, queries, shown), per_query)
    for (user, length), own, mine in zip(queries, shown, chains, strict=True):
        expected = by_hand(histories, user, length, own, **recency)[:per_query]
        assert [c["item2"] for c in mine] == [item for _, item, _, _ in expected]
        past = dict(histories[user][:length])
        for c, (_, item, through, both) in zip(mine, expected, strict=True):
            theirs = dict(histories[c["neighbour"]])
            assert (c["item1"], c["neighbour"] in both) == (through, True)
            assert (c["rating_u1"], c["rating_u2"]) == (past[through], None)
            assert (c["rating_v1"], c["rating_v2"]) == (theirs[through], theirs[item])


@given(worlds(), st.randoms(use_true_random=False))
def test_retrieved_ignores_order_of_candidates(world, random):
    histories, n_items, queries, shown = world
    graph = build(histories, n_items)
    other = [random.sample(row, len(row)) for row in shown]
    assert rows_of(sampler, graph, queries_of(graph, queries, shown), 2) == rows_of(
        sampler, graph, queries_of(graph, queries, other), 2
    )


@given(worlds(), st.data())
def test_retrieved_ignores_later_ratings_of_the_user(world, data):
    """In training the graph has the user's rating of the positive: it must not enter a chain."""
    histories, n_items, queries, shown = world
    user, length = queries[0]
    later = data.draw(st.sampled_from(shown[0]))
    unaware = [h[:length] if v == user else h for v, h in enumerate(histories)]
    aware = [[*h, (later, 5)] if v == user else h for v, h in enumerate(unaware)]
    found = [
        rows_of(sampler, graph, queries_of(graph, queries[:1], shown[:1]), 3)
        for graph in (build(unaware, n_items), build(aware, n_items))
    ]
    assert found[0] == found[1]


def test_retrieved_sees_latest_items_alone():
    """Item 0 leads to 2 by more raters than item 1, rated later, to 3."""
    histories = [[(0, 4), (1, 4)], *(3 * [[(0, 4), (2, 4)]]), [(1, 4), (3, 4)]]
    graph = build(histories, 4)
    wanted = queries_of(graph, [(0, 2)], [[2, 3]])
    led_to = []
    for recency in ({}, {"recent": 1}, {"recent": 2}, {"decay": 0.1}):
        [chains] = rows_of(partial(sampler, **recency), graph, wanted, 5)
        led_to.append([(chain["item1"], chain["item2"]) for chain in chains])
    assert led_to == [[(0, 2), (1, 3)], [(1, 3)], [(0, 2), (1, 3)], [(1, 3), (0, 2)]]


def test_retrieved_draws_neighbours_uniformly():
    histories = [[(0, 4)], *([(0, 3), (1, 2 + v)] for v in range(3)), [(1, 5)]]
    graph = build(histories, 5)
    wanted = graphs.queries(
        graph, np.zeros(4000, int), np.ones(4000, int), np.tile(np.uint32([1, 2]), (4000, 1))
    )
    chains = sampler(graph, wanted, 5, np.random.default_rng(0))
    assert len(chains.query) == 4000  # nobody links item 2
    assert uniform(chains.neighbour.tolist(), [1, 2, 3])


def test_retrieved_needs_candidates():
    graph = build([[(0, 4)], [(0, 3), (1, 2)]], 2)
    with pytest.raises(R2RecError, match=r"set chain_sampler\.forward=true"):
        sampler(graph, graphs.queries(graph, np.array([0])), 5, np.random.default_rng(0))


def test_retrieved_gives_no_chains_for_no_queries():
    graph = build([[(0, 4)], [(0, 3), (1, 2)]], 2)
    nobody = graphs.queries(graph, np.empty(0, int), candidates=np.empty((0, 3), np.uint32))
    chains = sampler(graph, nobody, 5, np.random.default_rng(0))
    assert [len(column) for column in chains] == [0] * 4
