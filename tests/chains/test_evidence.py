"""Evidence chains against a slow version: loops over users and their ratings, no arrays."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.chains import graph as graphs
from r2rec.chains import links
from r2rec.chains.evidence import SCHEMA, best_weights, evidence
from tests.chains.test_samplers import build

LIKE_ABOVE = 3.0
CHOSEN = ("window", "before", "decay", "popularity")
CLOSE = 1e-9


@st.composite
def worlds(draw):
    """Histories (item, rating) in time order, and queries (user, length of the past, candidates).

    A user may have rated a candidate already, or may rate it later, as in training.
    """
    n_items = draw(st.integers(3, 8))
    one = st.lists(
        st.tuples(st.integers(0, n_items - 1), st.integers(1, 5)),
        unique_by=lambda pair: pair[0],
        max_size=n_items,
    )
    histories = draw(st.lists(one, min_size=1, max_size=8))
    queries = []
    for user in draw(st.lists(st.integers(0, len(histories) - 1), max_size=4)):
        length = draw(st.integers(0, len(histories[user])))
        shown = draw(st.permutations(range(n_items)))[:3]
        queries.append((user, length, shown))
    return histories, n_items, queries


params = st.fixed_dictionaries(
    {
        "recent": st.integers(1, 4),
        "window": st.integers(1, 9),
        "before": st.booleans(),
        "decay": st.sampled_from([0.5, 0.8, 1.0]),
        "popularity": st.sampled_from([0.0, 0.3]),
    }
)


def asked(graph, queries):
    user = np.array([user for user, _, _ in queries], int)
    length = np.array([length for _, length, _ in queries], int)
    shown = np.array([shown for _, _, shown in queries], np.uint32).reshape(len(queries), 3)
    return graphs.queries(graph, user, length, shown)


def rows_of(world, per_query=1, **params):
    """Per query, its rows as dicts, in their order; `per_query` cuts none off."""
    histories, n_items, queries = world
    graph = build(histories, n_items)
    rng = np.random.default_rng(0)
    table = evidence(graph, asked(graph, queries), per_query, rng, above=LIKE_ABOVE, **params)
    assert table.schema == SCHEMA
    assert table["query"].is_sorted()
    rows = [[] for _ in queries]
    for row in table.iter_rows(named=True):
        rows[row.pop("query")].append(row)
    return rows


def counts_by_hand(histories, user, item, candidate, window, before):
    """How many others rated the candidate soon after the item, and how many of them liked it."""
    soon = liked = 0
    for other, history in enumerate(histories):
        place = {rated: number for number, (rated, _) in enumerate(history)}
        if other == user or item == candidate or item not in place or candidate not in place:
            continue
        later = place[candidate] - place[item]
        if later > window or (later < 0 and not before) or later < -window:
            continue
        soon += 1
        liked += history[place[candidate]][1] > LIKE_ABOVE
    return soon, liked


def raters_by_hand(histories, user, item):
    """How many others rated an item."""
    return sum(item in dict(history) for v, history in enumerate(histories) if v != user)


def by_hand(histories, query, recent, window, before, decay, popularity):
    """Candidate -> its strength, its number of links, and (weight, item, soon, liked) of each."""
    user, length, shown = query
    latest = histories[user][:length][::-1][:recent]
    found = {}
    for candidate in shown:
        usual = popularity * math.log(10 + raters_by_hand(histories, user, candidate))
        strength = 0.0
        speaks = []
        for age, (item, _) in enumerate(latest):
            soon, liked = counts_by_hand(histories, user, item, candidate, window, before)
            strength += decay**age * (math.log(1 + soon) - usual)
            if soon:
                speaks.append((decay**age * math.log(1 + soon), item, soon, liked))
        found[candidate] = strength, len(speaks), speaks
    return found


@given(worlds(), params, st.integers(0, 3))
def test_evidence_matches_slow_version(world, params, per_query):
    histories, _, queries = world
    for query, rows in zip(queries, rows_of(world, per_query, **params), strict=True):
        user, _, shown = query
        expected = by_hand(histories, query, **params)
        order = sorted(
            shown,
            key=lambda c: (
                expected[c][1] == 0,  # linked ones first
                -round(expected[c][0], 9) if expected[c][1] else 0,
                -raters_by_hand(histories, user, c),
                c,
            ),
        )
        assert [row["item2"] for row in rows] == (order if per_query else [])
        for row in rows:
            strength, n_links, speaks = expected[row["item2"]]
            assert row["strength"] == pytest.approx(strength, abs=CLOSE)
            assert (row["user"], row["links"]) == (user, n_links)
            if not speaks:
                chain = [row[name] for name in ("item1", "rating_u1", "raters", "soon", "liked")]
                assert chain == [None, None, None, 0, 0]
                continue
            most = max(weight for weight, *_ in speaks)
            through = [tuple(rest) for weight, *rest in speaks if weight > most - CLOSE]
            assert (row["item1"], row["soon"], row["liked"]) in through
            assert row["rating_u1"] == dict(histories[user])[row["item1"]]
            assert row["raters"] == raters_by_hand(histories, user, row["item1"])
            assert row["soon"] <= row["raters"]
            assert row["neighbour"] is row["rating_v1"] is row["rating_v2"] is None
            assert row["rating_u2"] is None


@given(worlds(), st.integers(1, 5), st.integers(1, 9), st.booleans())
def test_links_match_slow_version_in_dense_and_sorted_counting(world, recent, window, before):
    histories, n_items, queries = world
    graph = build(histories, n_items)
    wanted = asked(graph, queries)
    given = (wanted.candidates.astype(np.int64), recent, window, before, LIKE_ABOVE)
    counted = []
    for most_cells in (links.MOST_CELLS, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(links, "MOST_CELLS", most_cells)
            counted.append(links.count_links(graph, wanted, *given))
    for dense, by_sorting in zip(*counted, strict=True):
        assert np.array_equal(dense, by_sorting)
    found = counted[0]
    for row, (user, length, shown) in enumerate(queries):
        latest = histories[user][:length][::-1][:recent]
        in_graph = [entry for entry in found.entry[row].tolist() if entry >= 0]
        assert [(graph.item[entry], graph.rating[entry]) for entry in in_graph] == latest
        for column, candidate in enumerate(shown):
            assert found.raters[row, column] == raters_by_hand(histories, user, candidate)
            pairs = [(0, 0)] * recent
            for age, (item, _) in enumerate(latest):
                pairs[age] = counts_by_hand(histories, user, item, candidate, window, before)
            of_candidate = zip(
                found.soon[row, :, column].tolist(),
                found.liked[row, :, column].tolist(),
                strict=True,
            )
            assert list(of_candidate) == pairs


@given(worlds(), params, st.data())
def test_evidence_ignores_own_ratings_of_candidates(world, params, data):
    """In training the graph has the user's rating of the positive, and what they rated later."""
    histories, n_items, queries = world
    assume(queries)
    user, length, shown = queries[0]
    past = histories[user][:length]
    free = [item for item in range(n_items) if item not in dict(past)]
    later = data.draw(st.lists(st.sampled_from(free), unique=True) if free else st.just([]))
    stars = data.draw(st.lists(st.integers(1, 5), min_size=len(later), max_size=len(later)))
    found = []
    for own in (past, [*past, *zip(later, stars, strict=True)]):
        changed = [own if v == user else history for v, history in enumerate(histories)]
        found.append(rows_of((changed, n_items, [(user, length, shown)]), **params))
    assert found[0] == found[1]


@given(worlds(), params)
def test_evidence_of_user_who_alone_rated_is_none(world, params):
    """Also where the user has rated a candidate already, before or after a recent item."""
    histories, n_items, queries = world
    for user, length, shown in queries:
        alone = [history if v == user else [] for v, history in enumerate(histories)]
        [rows] = rows_of((alone, n_items, [(user, length, shown)]), **params)
        for row in rows:
            assert (row["item1"], row["soon"], row["liked"], row["links"]) == (None, 0, 0, 0)
            assert row["strength"] <= 0


@given(worlds(), params, st.randoms(use_true_random=False))
def test_evidence_ignores_order_of_candidates(world, params, random):
    histories, n_items, queries = world
    others = [(u, length, random.sample(shown, len(shown))) for u, length, shown in queries]
    assert rows_of(world, **params) == rows_of((histories, n_items, others), **params)


@given(worlds(), params)
def test_evidence_of_a_query_does_not_depend_on_other_queries(world, params):
    histories, n_items, queries = world
    together = rows_of(world, **params)
    apart = [rows_of((histories, n_items, [query]), **params) for query in queries]
    assert together == [rows for [rows] in apart]


def test_ties_go_by_raters_then_id_and_to_the_latest_item():
    """Items 0 and 1 lead to 2, 3 and 4 alike; 5 and 6 are not led to."""
    people = [[(0, 4), (1, 4), (c, 4)] for c in (2, 3, 4)]
    histories = [[(0, 5), (1, 2)], *people, [(6, 1)], [(4, 3)]]
    world = histories, 8, [(0, 2, [4, 3, 2]), (0, 2, [5, 6, 3])]
    chosen = {"recent": 2, "window": 2, "before": False, "decay": 1.0, "popularity": 0.0}
    tied, unlinked = rows_of(world, **chosen)
    assert [row["item2"] for row in tied] == [4, 2, 3]
    assert [row["item2"] for row in unlinked] == [3, 6, 5]
    assert {(row["item1"], row["rating_u1"], row["raters"]) for row in tied} == {(1, 2.0, 3)}


@pytest.mark.parametrize("counts", [*itertools.combinations(range(1, 7), 3)])
def test_sums_of_equal_parts_tie_in_whatever_order(counts):
    """Six candidates with the same counts in all orders; as floats some of their sums differ."""
    people = []
    for candidate, in_order in enumerate(itertools.permutations(counts), start=3):
        for item, count in enumerate(in_order):
            people += count * [[(item, 4), (candidate, 4)]]
    histories = [[(2, 4), (1, 4), (0, 4)], *people]
    world = histories, 9, [(0, 3, [5, 4, 3]), (0, 3, [8, 7, 6]), (0, 3, [8, 6, 4])]
    chosen = {"recent": 3, "window": 1, "before": False, "decay": 1.0, "popularity": 0.0}
    ordered = [[row["item2"] for row in rows] for rows in rows_of(world, **chosen)]
    assert ordered == [[3, 4, 5], [6, 7, 8], [4, 6, 8]]


def test_a_rating_is_soon_up_to_the_window():
    others = [[(0, 4), *((item, 4) for item in range(2, 2 + gap)), (1, 4)] for gap in range(4)]
    histories = [[(0, 4)], *others]
    for window in range(1, 6):
        chosen = {"recent": 1, "window": window, "before": False, "decay": 1.0, "popularity": 0.0}
        [[row, *_]] = rows_of((histories, 9, [(0, 1, [1, 7, 8])]), **chosen)
        assert row["soon"] == min(window, 4)
        assert row["raters"] == 4


def test_evidence_of_no_queries_is_empty():
    graph = build([[(0, 4)], [(0, 3), (1, 2)]], 2)
    nobody = graphs.queries(graph, np.empty(0, int), candidates=np.empty((0, 0), np.uint32))
    chosen = {"recent": 2, "window": 1, "before": True, "decay": 1.0, "popularity": 0.0}
    table = evidence(graph, nobody, 5, np.random.default_rng(0), **chosen)
    assert (table.height, table.schema) == (0, SCHEMA)


def test_evidence_needs_candidates_and_parameters():
    graph = build([[(0, 4)], [(0, 3), (1, 2)]], 2)
    chosen = {"recent": 2, "window": 1, "before": True, "decay": 1.0, "popularity": 0.0}
    nothing_shown = graphs.queries(graph, np.array([0]))
    with pytest.raises(R2RecError, match=r"set chain_sampler\.forward=true"):
        evidence(graph, nothing_shown, 5, np.random.default_rng(0), **chosen)
    wanted = graphs.queries(graph, np.array([0]), candidates=np.array([[1]], np.uint32))
    for name in CHOSEN:
        with pytest.raises(R2RecError, match=r"keep chain_sampler\.weigh"):
            evidence(graph, wanted, 5, np.random.default_rng(0), **(chosen | {name: None}))


def random_world(seed):
    """20 users with 8 of 12 items, popular ones first in time, and a query of half of them each."""
    rng = np.random.default_rng(seed)
    histories = []
    for _ in range(20):
        items = np.argsort(np.arange(12) + rng.normal(0, 4, 12))[:8]
        histories.append(list(zip(items.tolist(), rng.integers(1, 6, 8).tolist(), strict=True)))
    queries = [(user, 4, rng.permutation(12)[:3].tolist()) for user in range(20)]
    return histories, 12, queries


def tried_by_hand(world, positives, given):
    """(NDCG, parameters) of all combinations, later parameters varied first."""
    options = {
        "window": (5, 10, 15, 20),
        "before": (False, True),
        "decay": (0.7, 0.8, 0.9),
        "popularity": (0.0, 0.1, 0.2, 0.3, 0.4),
    }
    combinations = [dict(given)]
    for name, values in options.items():
        tried = values if given[name] is None else [given[name]]
        combinations = [one | {name: value} for one in combinations for value in tried]
    for params in combinations:
        gains = []
        for rows, positive in zip(rows_of(world, **params), positives, strict=True):
            place = [row["item2"] for row in rows].index(positive)
            gains.append(1 / math.log2(2 + place))
        yield sum(gains) / len(gains), params


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"window": 2},
        {"window": 2, "popularity": 0.25},
        {"before": False, "decay": 0.5},
        {"window": 3, "before": True, "decay": 0.5, "popularity": 0.25},
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_best_weights_are_best_of_all(values, seed):
    """Given ones are kept, of any value; among the others, the first of the best is chosen."""
    world = random_world(seed)
    histories, n_items, queries = world
    given = {"recent": 3} | dict.fromkeys(CHOSEN) | values
    index = np.random.default_rng(seed).integers(3, size=len(queries))
    positives = [shown[column] for (*_, shown), column in zip(queries, index, strict=True)]
    graph = build(histories, n_items)
    found = best_weights(graph, asked(graph, queries), index, given | {"above": LIKE_ABOVE})
    tried = list(tried_by_hand(world, positives, given))
    best = max(ndcg for ndcg, _ in tried)
    first = next(params for ndcg, params in tried if ndcg > best - CLOSE)
    assert found == first | {"above": LIKE_ABOVE}
    assert found == found | values
    if not values:
        assert best > min(ndcg for ndcg, _ in tried) + 0.04  # there is something to choose
