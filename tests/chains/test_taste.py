"""What the whole past says: EASE learnt from everybody else, computed one user at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.chains import graph as graphs
from r2rec.chains import taste
from r2rec.chains.evidence import TASTES, best_weights, evidence
from tests.chains.test_evidence import LIKE_ABOVE, asked, random_world, worlds
from tests.chains.test_samplers import build

CHOSEN = {"recent": 2, "window": 2, "before": False, "decay": 0.8, "popularity": 0.1}


def by_hand(histories, n_items, query, regularisation):
    """Scores of a query's candidates by weights that are learnt without its user."""
    user, length, shown = query
    others = np.zeros((len(histories), n_items))
    for other, history in enumerate(histories):
        if other != user:
            others[other, [item for item, _ in history]] = 1
    inverse = np.linalg.inv(others.T @ others + regularisation * np.eye(n_items))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    past = [item for item, _ in histories[user][:length]]
    return weights[past].sum(axis=0)[shown]


@given(worlds(), st.sampled_from([0.5, 3.0, 200.0]), st.sampled_from([1, 512]))
def test_taste_matches_weights_learnt_without_the_user(world, regularisation, at_once):
    histories, n_items, queries = world
    graph = build(histories, n_items)
    wanted = asked(graph, queries)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taste, "QUERIES_AT_ONCE", at_once)
        found = taste.tastes(graph, wanted, wanted.candidates.astype(np.int64), regularisation)
    assert found.shape == (len(queries), 3)
    for query, scores in zip(queries, found, strict=True):
        assert np.allclose(scores, by_hand(histories, n_items, query, regularisation), atol=1e-9)


@given(worlds())
def test_a_large_taste_decides_the_order(world):
    """Also of candidates that no chain leads to: they stay behind those that one leads to."""
    histories, n_items, queries = world
    graph = build(histories, n_items)
    rng = np.random.default_rng(0)
    rows = evidence(graph, asked(graph, queries), 3, rng, **CHOSEN, taste=1e9, regularisation=3.0)
    for number, query in enumerate(queries):
        of_query = rows.filter(query=number)
        fit = dict(zip(query[2], by_hand(histories, n_items, query, 3.0), strict=True))
        for linked in (of_query.filter(links=0), of_query.filter(of_query["links"] > 0)):
            in_order = [fit[item] for item in linked["item2"]]
            assert in_order == pytest.approx(sorted(in_order, reverse=True), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_taste_is_chosen_after_the_others(seed):
    histories, n_items, queries = random_world(seed)
    graph = build(histories, n_items)
    wanted = asked(graph, queries)
    index = np.random.default_rng(seed).integers(3, size=len(queries))
    free = {"window": None, "before": None, "decay": None, "popularity": None}
    given_params = {"recent": 3, "regularisation": 1.0, "above": LIKE_ABOVE}
    without = best_weights(graph, wanted, index, given_params | free | {"taste": 0.0})
    found = best_weights(graph, wanted, index, given_params | free | {"taste": None})
    assert found == without | {"taste": found["taste"]}

    def ndcg(weight):
        rng = np.random.default_rng(0)
        rows = evidence(graph, wanted, 3, rng, **(found | {"taste": weight}))
        order = rows["item2"].to_numpy().reshape(-1, 3)
        positive = wanted.candidates[np.arange(len(order)), index]
        place = (order == positive[:, None]).argmax(axis=1)
        return float((1 / np.log2(place + 2)).mean())

    assert ndcg(found["taste"]) == pytest.approx(max(map(ndcg, TASTES)), abs=1e-9)


def test_too_many_items_are_refused_and_no_taste_is_chosen(monkeypatch):
    graph = build([[(0, 4), (1, 4)], [(0, 3), (1, 2)], [(1, 5), (2, 5)]], 3)
    wanted = graphs.queries(graph, np.array([0]), candidates=np.array([[1, 2]], np.uint32))
    for module in ("taste", "evidence"):
        monkeypatch.setattr(f"r2rec.chains.{module}.MOST_ITEMS", 2)
    with pytest.raises(R2RecError, match=r"and 3 are more than 2: set it to 0"):
        evidence(graph, wanted, 3, np.random.default_rng(0), **CHOSEN, taste=1.0)
    params = CHOSEN | {"taste": None, "regularisation": 200.0}
    assert best_weights(graph, wanted, np.array([0]), params)["taste"] == 0
