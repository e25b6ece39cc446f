"""Queries with a moment: what others rate from then on changes nothing, and is as if absent."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from r2rec.base.errors import R2RecError
from r2rec.baselines.ease import ease_scores
from r2rec.baselines.item_knn import item_knn_scores
from r2rec.baselines.popularity import popularity_scores
from r2rec.chains import graph as graphs
from r2rec.chains import links, retrieval, samplers
from r2rec.chains.before import had_rated
from r2rec.chains.chain import sample
from r2rec.chains.evidence import evidence
from r2rec.config import ChainSampler
from r2rec.data import moments
from r2rec.tasks.assemble import RankingQuestions, candidate_facts
from tests.chains.test_samplers import found_by, ways

N_USERS, N_ITEMS = 9, 10
LIKE_ABOVE = 3.0
LATEST = 20
SCHEMA = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}


def table_of(rows) -> pl.DataFrame:
    """A train table of rows (user, item, rating, time)."""
    return pl.DataFrame(rows, SCHEMA, orient="row").sort("user", "timestamp", maintain_order=True)


@st.composite
def worlds(draw):
    """Train ratings, the same with other ratings from a moment on, and a question at that moment.

    User 0 asks. Their first `length` ratings are given by then, in the second of the moment too.
    """
    moment = draw(st.integers(1, LATEST - 1))
    pair = st.tuples(st.integers(1, 5), st.integers(0, LATEST))
    first, second = [], []
    length = 0
    for user in range(N_USERS):
        mine = draw(st.dictionaries(st.integers(0, N_ITEMS - 1), pair, max_size=N_ITEMS))
        known = {}
        for item, (rating, time) in mine.items():
            if time < moment or (user == 0 and time == moment):
                known[item] = (rating, time)
        later = draw(
            st.dictionaries(
                st.integers(0, N_ITEMS - 1),
                st.tuples(st.integers(1, 5), st.integers(moment + (user == 0), LATEST)),
                max_size=N_ITEMS,
            )
        )
        changed = {item: given for item, given in later.items() if item not in known} | known
        first += [(user, item, *given) for item, given in mine.items()]
        # In the order of the other table, so that ratings of one second stand in one order.
        second += [(user, item, *changed[item]) for item in mine if item in changed]
        second += [(user, item, *given) for item, given in changed.items() if item not in mine]
        if user == 0:
            length = len(known)
    shown = draw(st.permutations(range(N_ITEMS)))[:4]
    return table_of(first), table_of(second), length, np.array([shown], np.uint32), moment


def asked(train, length, shown, moment):
    graph = graphs.build_graph(train, N_USERS, N_ITEMS)
    time = None if moment is None else np.array([moment])
    return graph, graphs.queries(graph, np.array([0]), np.array([length]), shown, time)


def rng():
    return np.random.default_rng(0)


COUNTED = {"recent": 4, "window": 3, "decay": 0.8, "popularity": 0.2, "above": LIKE_ABOVE}


def evidence_rows(train, length, shown, moment, **more):
    return evidence(*asked(train, length, shown, moment), 1, rng(), **COUNTED, **more).to_dicts()


def chain_rows(sampler, per_query=3):
    def rows(train, length, shown, moment):
        graph, queries = asked(train, length, shown, moment)
        return samplers.table(sampler(graph, queries, per_query, rng()), graph, queries).to_dicts()

    return rows


def facts(train, length, shown, moment):
    graph, queries = asked(train, length, shown, moment)
    question = RankingQuestions(queries.user, queries.length, shown, queries.time)
    return candidate_facts(question, graph, LIKE_ABOVE)


def scores(scorer):
    """Scores by the first `length` ratings of the user, as a scorer is told them."""

    def rows(train, length, shown, moment):
        place = pl.int_range(pl.len()).over("user")
        told = train.filter((pl.col("user") > 0) | (place < length))
        # The matrix is of one size, whoever rated what.
        told = pl.concat([told, table_of([(N_USERS, N_ITEMS, 3, LATEST + 1)])])
        times = None if moment is None else np.array([moment])
        return scorer(told, np.array([0]), shown.astype(np.int64), rng(), times=times).tolist()

    return rows


METHODS = {
    "evidence": lambda *world: evidence_rows(*world, before=False),
    "evidence, before as well": lambda *world: evidence_rows(*world, before=True),
    "evidence, with taste": lambda *world: evidence_rows(*world, before=True, taste=2.0),
    "retrieval": chain_rows(retrieval.retrieved),
    "closed": chain_rows(samplers.closed),
    "open": chain_rows(samplers.open_ended),
    "facts": facts,
    "popularity": scores(popularity_scores),
    "item_knn": scores(item_knn_scores),
    "ease": scores(ease_scores),
}
methods = pytest.mark.parametrize("name", METHODS)


@methods
@settings(max_examples=50)
@given(worlds())
def test_what_is_rated_later_changes_nothing(name, world):
    first, second, *question = world
    assert METHODS[name](first, *question) == METHODS[name](second, *question)


@methods
def test_without_a_moment_it_changes_something(name):
    draw = np.random.default_rng(1)
    rows = [
        (user, item, int(draw.integers(1, 6)), int(draw.integers(0, LATEST)))
        for user in range(N_USERS)
        for item in draw.permutation(N_ITEMS)[:6].tolist()
    ]
    moment = LATEST // 2
    shown = np.array([[0, 1, 2, 3]], np.uint32)
    all_of_them = table_of(rows)
    early = table_of([row for row in rows if row[3] < moment])
    length = early.filter(user=0).height
    found = [METHODS[name](train, length, shown, None) for train in (all_of_them, early)]
    assert found[0] != found[1]


@settings(max_examples=40)
@given(worlds(), st.booleans(), st.sampled_from([links.MOST_CELLS, 0]))
def test_evidence_and_facts_are_those_of_a_table_without_later_ratings(world, before, most_cells):
    train, _, length, shown, moment = world
    place = pl.int_range(pl.len()).over("user")
    of_others = (pl.col("user") > 0) & (pl.col("timestamp") < moment)
    early = train.filter(of_others | ((pl.col("user") == 0) & (place < length)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(links, "MOST_CELLS", most_cells)
        told = evidence_rows(train, length, shown, moment, before=before)
    assert told == evidence_rows(early, length, shown, None, before=before)
    assert facts(train, length, shown, moment) == facts(early, length, shown, None)
    nearest = METHODS["retrieval"]
    pairs = [
        [(row["item1"], row["item2"]) for row in nearest(table, length, shown, time)]
        for table, time in ((train, moment), (early, None))
    ]
    assert pairs[0] == pairs[1]


@ways
@settings(max_examples=25)
@given(worlds())
def test_all_chains_there_are_lead_through_early_ratings(way, world):
    """As many chains are asked for as there can be: they are those of the early table."""
    train, _, length, shown, moment = world
    place = pl.int_range(pl.len()).over("user")
    of_others = (pl.col("user") > 0) & (pl.col("timestamp") < moment)
    early = train.filter(of_others | ((pl.col("user") == 0) & (place < length)))
    found = []
    with found_by(way):
        for table, time in ((train, moment), (early, None)):
            rows = chain_rows(samplers.closed, 1000)(table, length, shown, time)
            found.append(
                sorted((row["neighbour"], *sorted((row["item1"], row["item2"]))) for row in rows)
            )
    assert found[0] == found[1]


@ways
def test_neighbours_are_uniform_over_those_of_the_moment(way):
    """Users 1 to 4 share two to five items with user 0 by then; user 5 shares all, but later."""
    rows = [(0, item, 4, item) for item in range(6)]
    for user in range(1, 5):
        rows += [(user, item, 4, 5) for item in range(user + 1)]
        rows += [(user, item, 4, 12) for item in range(user + 1, N_ITEMS)]
    rows += [(5, item, 4, 10) for item in range(6)]
    graph = graphs.build_graph(table_of(rows), N_USERS, N_ITEMS)
    n = 2000
    queries = graphs.queries(graph, np.zeros(n, int), time=np.full(n, 10))
    with found_by(way):
        chains = samplers.closed(graph, queries, 1, rng())
    counts = np.bincount(chains.neighbour, minlength=N_USERS)
    assert counts[[0, *range(5, N_USERS)]].sum() == 0
    assert chisquare(counts[1:5]).pvalue > 1e-4


def too_late(graph, queries, per_query, rng):
    return samplers.closed(graph, queries._replace(time=None), per_query, rng)


def test_a_sampler_that_looks_ahead_is_refused():
    rows = [(user, item, 4, 10 * user + item) for user in range(2) for item in range(4)]
    graph = graphs.build_graph(table_of(rows), N_USERS, N_ITEMS)
    spec = ChainSampler(name="own", _target_=f"{__name__}.too_late", per_user=1)
    sample(spec, graph, graphs.queries(graph, np.array([0]), time=np.array([99])), rng())
    with pytest.raises(R2RecError, match="the chain sampler drew"):
        sample(spec, graph, graphs.queries(graph, np.array([0]), time=np.array([5])), rng())


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 10), max_size=6))
def test_snapshots_hold_early_ratings_and_half_of_them(time, moment):
    times, asked_at = np.array(time, np.int64), np.array(moment, np.int64)
    served = []
    for rows, is_in in moments.snapshots(times, asked_at):
        served += rows.tolist()
        for one in asked_at[rows]:
            assert (times[is_in] < one).all()
            assert is_in.sum() * moments.GROWTH >= (times < one).sum()
    assert sorted(served) == list(range(len(moment)))


@given(worlds())
def test_who_had_rated_what(world):
    train, _, _, _, moment = world
    graph = graphs.build_graph(train, N_USERS, N_ITEMS)
    early = {(u, i) for u, i, _, time in train.iter_rows() if time < moment}
    pairs = [(user, item) for user in range(N_USERS) for item in range(N_ITEMS)]
    user, item = np.array(pairs).T
    found = had_rated(graph, user, item, np.full(len(pairs), moment))
    assert found.tolist() == [pair in early for pair in pairs]


@settings(max_examples=20)
@given(worlds())
def test_no_query_no_chain(world):
    train, *_ = world
    graph = graphs.build_graph(train, N_USERS, N_ITEMS)
    nobody = np.empty(0, int)
    queries = graphs.queries(graph, nobody, nobody, np.empty((0, 4), np.uint32), nobody)
    for sampler in (samplers.closed, samplers.open_ended, retrieval.retrieved):
        assert not len(sampler(graph, queries, 2, rng()).query)
    assert evidence(graph, queries, 1, rng(), **COUNTED, before=True, taste=1.0).is_empty()
