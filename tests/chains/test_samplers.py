"""Chain samplers: every chain is valid, and every draw is uniform, in whatever way it is made."""

import itertools
from collections import Counter
from contextlib import contextmanager
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from r2rec.chains import graph as graphs
from r2rec.chains import neighbours, samplers
from r2rec.data import interactions, movielens, split

# How neighbours are found. PAYS = 2: no round of proposed users. MANY_PATHS = 0: every query has
# many paths.
WAYS = {
    "as configured": {},
    "rejection": {"PAYS": 0.0},
    "enumeration": {"PAYS": 2.0},
    "enumeration in blocks": {"PAYS": 2.0, "MAX_PATHS_AT_ONCE": 7},
    "paths": {"PAYS": 2.0, "MANY_PATHS": 0, "PATHS_PER_NEIGHBOUR": 4},
    "few paths in blocks, then enumeration": {
        "PAYS": 2.0,
        "MANY_PATHS": 0,
        "PATHS_PER_NEIGHBOUR": 1,
        "PATH_ROUNDS": 1,
        "MAX_PATHS_AT_ONCE": 50_000,
    },
    "users, then paths": {"PAYS": 0.9, "MANY_PATHS": 0, "PATHS_PER_NEIGHBOUR": 4},
}
ways = pytest.mark.parametrize("way", WAYS)


@contextmanager
def found_by(way):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in WAYS[way].items():
            patch.setattr(neighbours, name, value)
        yield


def build(histories, n_items):
    rows = [(u, i, r) for u, mine in enumerate(histories) for i, r in mine]
    train = pl.DataFrame(
        rows, {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32}, orient="row"
    )
    return graphs.build_graph(train, len(histories), n_items)


def rows_of(sampler, graph, wanted, per_query, seed=0):
    """Per query, its chains as dicts, in the order drawn."""
    table = samplers.table(
        sampler(graph, wanted, per_query, np.random.default_rng(seed)), graph, wanted
    )
    assert table["query"].is_sorted()
    rows = [[] for _ in wanted.user]
    for row in table.iter_rows(named=True):
        rows[row["query"]].append(row)
    return rows


@st.composite
def worlds(draw):
    """Small histories (item, rating) in time order, and queries (user, length of the past)."""
    n_items = draw(st.integers(1, 7))
    one = st.lists(
        st.tuples(st.integers(0, n_items - 1), st.integers(1, 5)),
        unique_by=lambda pair: pair[0],
        max_size=5,
    )
    histories = draw(st.lists(one, min_size=1, max_size=7))
    users = draw(st.lists(st.integers(0, len(histories) - 1), max_size=8))
    return histories, n_items, [(u, draw(st.integers(0, len(histories[u])))) for u in users]


def queries_of(graph, queries):
    user, length = np.array(queries, int).reshape(-1, 2).T
    return graphs.queries(graph, user, length)


@ways
@given(worlds(), st.integers(0, 4), st.integers(0, 99))
def test_closed_chains_are_distinct_loops_through_all_neighbours(way, world, per_query, seed):
    histories, n_items, queries = world
    graph = build(histories, n_items)
    with found_by(way):
        chains = rows_of(samplers.closed, graph, queries_of(graph, queries), per_query, seed)
    for (u, length), mine in zip(queries, chains, strict=True):
        past = dict(histories[u][:length])
        near = {
            v for v, h in enumerate(histories) if v != u and len(past.keys() & dict(h).keys()) >= 2
        }
        assert len({c["neighbour"] for c in mine}) == min(per_query, len(near))
        loops = {(c["neighbour"], frozenset((c["item1"], c["item2"]))) for c in mine}
        every = sum(comb(len(past.keys() & dict(histories[v]).keys()), 2) for v in near)
        assert len(mine) == len(loops) == min(per_query, every)
        for c in mine:
            theirs = dict(histories[c["neighbour"]])
            assert c["user"] == u
            assert c["neighbour"] in near
            assert c["item1"] != c["item2"]
            assert (c["rating_u1"], c["rating_u2"]) == (past[c["item1"]], past[c["item2"]])
            assert (c["rating_v1"], c["rating_v2"]) == (theirs[c["item1"]], theirs[c["item2"]])


@ways
@given(worlds(), st.integers(0, 4), st.integers(0, 99))
def test_open_chains_lead_to_new_items(way, world, per_query, seed):
    histories, n_items, queries = world
    graph = build(histories, n_items)
    with found_by(way):
        chains = rows_of(samplers.open_ended, graph, queries_of(graph, queries), per_query, seed)
    for (u, length), mine in zip(queries, chains, strict=True):
        past = dict(histories[u][:length])
        near = {v for v, h in enumerate(histories) if v != u and past.keys() & dict(h).keys()}
        useful = {v for v in near if dict(histories[v]).keys() - past.keys()}
        found = {c["neighbour"] for c in mine}
        assert found <= useful
        assert len(mine) == len(found) <= per_query
        if per_query >= len(near):
            assert found == useful
        for c in mine:
            theirs = dict(histories[c["neighbour"]])
            assert c["item2"] not in past
            assert c["rating_u2"] is None
            assert c["rating_u1"] == past[c["item1"]]
            assert (c["rating_v1"], c["rating_v2"]) == (theirs[c["item1"]], theirs[c["item2"]])


# User 0 shares 5, 2, 3, 2, 4 items with users 1-5, one with user 6, none with user 7. Users 8-39
# share two with each other, so that their queries end after other numbers of rounds than user 0's.
OURS = [(i, 1 + i % 5) for i in range(5)]
HISTORIES = [
    OURS,
    [(i, 5) for i in range(8)],
    [(0, 3), (1, 3)],
    [(0, 2), (2, 2), (4, 2), (9, 2)],
    [(3, 4), (4, 4), (9, 4)],
    [(0, 1), (1, 1), (3, 1), (4, 1)],
    [(4, 5), (9, 5)],
    [],
    *([(10, 3), (11, 3)] for _ in range(32)),
]
NEAR = [1, 2, 3, 4, 5]
DRAWS = 6000


@pytest.fixture(scope="module")
def crowd():
    graph = build(HISTORIES, 12)
    user = np.concatenate([np.zeros(DRAWS, int), np.arange(len(HISTORIES)).repeat(20)])
    return graph, graphs.queries(graph, user)


def uniform(seen, outcomes):
    counts = Counter(seen)
    assert set(counts) == set(outcomes)
    return chisquare(list(counts.values())).pvalue > 0.001


@ways
@pytest.mark.parametrize("per_query", [1, 2, 9])
def test_neighbours_are_uniform(crowd, way, per_query):
    with found_by(way):
        query, neighbour = neighbours.draw_neighbours(
            crowd[1], crowd[0], per_query, 2, np.random.default_rng(1)
        )
    size = min(per_query, len(NEAR))
    ours = neighbour[query < DRAWS].reshape(DRAWS, size)
    assert uniform(ours[:, 0].tolist(), NEAR)
    first_two = min(size, 2)
    assert uniform(
        map(tuple, ours[:, :first_two].tolist()), itertools.permutations(NEAR, first_two)
    )


def test_proposed_paths_alone_find_neighbours(crowd, monkeypatch):
    """The ways above mean something only if enumeration does not serve in their place."""

    def enumerated(search, progress, rng):
        pytest.fail(f"{progress.missing.sum()} neighbours left to enumeration")

    monkeypatch.setattr(neighbours, "_enumerated", enumerated)
    monkeypatch.setattr(neighbours, "PATH_ROUNDS", 50)
    monkeypatch.setattr(neighbours, "MANY_PATHS", 0)
    monkeypatch.setattr(neighbours, "PAYS", 2.0)
    wanted = graphs.queries(crowd[0], np.zeros(DRAWS, int))
    query, _ = neighbours.draw_neighbours(wanted, crowd[0], 3, 2, np.random.default_rng(4))
    assert np.bincount(query).tolist() == [3] * DRAWS


@ways
def test_closed_chains_draw_item_pairs_uniformly(crowd, way):
    with found_by(way):
        chains = samplers.closed(*crowd, 5, np.random.default_rng(2))
    for v in NEAR:
        common = sorted(dict(OURS).keys() & dict(HISTORIES[v]).keys())
        mine = (chains.query < DRAWS) & (chains.neighbour == v)
        pairs = zip(chains.item1[mine].tolist(), chains.item2[mine].tolist(), strict=True)
        assert uniform(pairs, itertools.permutations(common, 2))


def test_closed_chains_beyond_neighbours_use_new_pairs(crowd):
    chains = samplers.closed(*crowd, 6, np.random.default_rng(7))
    sixth = chains.neighbour[chains.query < DRAWS].reshape(DRAWS, 6)[:, 5]
    # A neighbour who shares n items has n (n - 1) / 2 pairs, one of which is used by then.
    chance = {v: 1 - 1 / comb(len(dict(OURS).keys() & dict(HISTORIES[v]).keys()), 2) for v in NEAR}
    able = [v for v in NEAR if chance[v]]
    assert set(sixth) == set(able) == {1, 3, 5}
    expected = np.array([chance[v] for v in able])
    assert (
        chisquare([np.sum(sixth == v) for v in able], DRAWS * expected / expected.sum()).pvalue
        > 0.001
    )


@ways
def test_open_chains_draw_both_items_uniformly(crowd, way):
    with found_by(way):
        chains = samplers.open_ended(*crowd, 9, np.random.default_rng(3))
    mine = (chains.query < DRAWS) & (chains.neighbour == 1)
    pairs = zip(chains.item1[mine].tolist(), chains.item2[mine].tolist(), strict=True)
    assert uniform(pairs, itertools.product(range(5), range(5, 8)))


RATINGS = ("rating_u1", "rating_v1", "rating_v2", "rating_u2")
IN_ORDER = (
    "query",
    "user",
    "item1",
    "rating_u1",
    "neighbour",
    "rating_v1",
    "rating_v2",
    "item2",
    "rating_u2",
)
SAMPLERS = pytest.mark.parametrize("sampler", [samplers.closed, samplers.open_ended])


@SAMPLERS
@ways
@pytest.mark.parametrize(
    "histories",
    [[[], [], []], [[(0, 5)], [(0, 4)], []], [[(0, 5), (1, 4)]]],
    ids=["nobody rated", "one shared item each", "alone"],
)
def test_table_is_empty_without_chains(sampler, way, histories):
    graph = build(histories, 3)
    wanted = graphs.queries(graph, np.arange(len(histories)))
    with found_by(way):
        chains = sampler(graph, wanted, 5, np.random.default_rng(0))
    table = samplers.table(chains, graph, wanted)
    assert table.is_empty()
    assert table.schema == {name: pl.Float32 if name in RATINGS else pl.UInt32 for name in IN_ORDER}


@SAMPLERS
def test_samplers_accept_no_chains_and_no_queries(crowd, sampler):
    graph, wanted = crowd
    assert samplers.table(
        sampler(graph, wanted, 0, np.random.default_rng(0)), graph, wanted
    ).is_empty()
    nobody = graphs.queries(graph, np.empty(0, int))
    assert samplers.table(
        sampler(graph, nobody, 5, np.random.default_rng(0)), graph, nobody
    ).is_empty()


@SAMPLERS
def test_samplers_repeat_under_the_same_generator(crowd, sampler):
    first, again, other = (sampler(*crowd, 3, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.neighbour, other.neighbour)


@pytest.fixture(scope="module")
def movies(shared_data):
    tables = interactions.index(movielens.read_ml_1m(shared_data / "ml-1m-part"))
    parts = split.leave_last_out(tables.interactions, positive_above=3, min_positives=6)
    return parts, graphs.build_graph(parts.train, tables.users.height, tables.items.height)


@ways
def test_closed_chains_on_real_data_use_train_ratings_alone(movies, way):
    parts, graph = movies
    wanted = graphs.queries(graph, np.flatnonzero(np.diff(graph.start)))
    with found_by(way):
        chains = samplers.table(
            samplers.closed(graph, wanted, 5, np.random.default_rng(0)), graph, wanted
        )
    assert chains.height > 0.95 * 5 * len(wanted.user)
    assert not chains.select("query", "neighbour").is_duplicated().any()
    assert (chains["user"] != chains["neighbour"]).all()
    assert (chains["item1"] != chains["item2"]).all()
    edges = (
        ("user", "item1", "rating_u1"),
        ("neighbour", "item1", "rating_v1"),
        ("neighbour", "item2", "rating_v2"),
        ("user", "item2", "rating_u2"),
    )
    for edge in edges:
        rated = chains.select(user=edge[0], item=edge[1], rating=edge[2])
        assert rated.join(parts.train, on=["user", "item", "rating"], how="anti").is_empty()
        assert rated.join(parts.heldout, on=["user", "item"]).is_empty()


def test_open_chains_on_real_data_lead_to_new_items(movies):
    parts, graph = movies
    wanted = graphs.queries(graph, np.flatnonzero(np.diff(graph.start)))
    chains = samplers.table(
        samplers.open_ended(graph, wanted, 5, np.random.default_rng(0)), graph, wanted
    )
    assert chains.select("user", item="item2").join(parts.train, on=["user", "item"]).is_empty()
    for edge in (("user", "item1"), ("neighbour", "item1"), ("neighbour", "item2")):
        rated = chains.select(user=edge[0], item=edge[1])
        assert rated.join(parts.train, on=["user", "item"], how="anti").is_empty()
