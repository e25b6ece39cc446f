"""Negatives are untouched and distinct, and every draw is equally likely."""

from math import perm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from r2rec.data import negatives


class Watched(np.random.Generator):
    """Counts the blocks of the shuffle, the only way that draws floats."""

    blocks = 0

    def random(self, *args, **kwargs):
        self.blocks += 1
        return super().random(*args, **kwargs)


def keys(touched, n_items):
    return np.sort(
        np.array([u * n_items + i for u, items in enumerate(touched) for i in items], np.int64)
    )


@given(st.data())
def test_draw_negatives_are_distinct_and_untouched(data):
    n_items = data.draw(st.integers(1, 40))
    touched = data.draw(st.lists(st.sets(st.integers(0, n_items - 1)), min_size=1, max_size=4))
    users = np.array(
        data.draw(st.lists(st.sampled_from(range(len(touched))), max_size=8)), np.uint32
    )
    k = data.draw(st.integers(0, min((n_items - len(touched[u]) for u in users), default=3)))
    cells = data.draw(st.sampled_from([1, 50, 4_000_000]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negatives, "MAX_CELLS", cells)
        drawn = negatives.draw_negatives(
            users, keys(touched, n_items), n_items, k, np.random.default_rng(0)
        )
    assert drawn.shape == (len(users), k)
    for user, row in zip(users, drawn.tolist(), strict=True):
        assert len(set(row)) == k
        assert set(row) <= set(range(n_items)) - touched[user]


@pytest.mark.parametrize(
    ("n_items", "cells", "blocks"),
    [(8, 4_000_000, False), (400, 4_000_000, True), (400, 100_000, True)],
    ids=["by rejection", "by shuffle", "by shuffle in blocks"],
)
def test_draw_negatives_is_uniform_over_ordered_draws(monkeypatch, n_items, cells, blocks):
    monkeypatch.setattr(negatives, "MAX_CELLS", cells)
    free = np.array([1, 3, 4, 6, 7])  # the second user checks that keys tell users apart
    touched = [set(range(n_items)) - set(free.tolist()), {2, 5}]
    users, rng = np.zeros(12_000, int), Watched(np.random.PCG64(0))
    drawn = negatives.draw_negatives(users, keys(touched, n_items), n_items, 3, rng)
    assert np.isin(drawn, free).all()
    if blocks:
        assert rng.blocks >= 12_000 * 0.9 * n_items / cells  # nearly all were served by the shuffle
    place = np.searchsorted(free, drawn)
    counts = np.bincount(place @ [25, 5, 1], minlength=125)
    assert (counts > 0).sum() == perm(5, 3)
    assert chisquare(counts[counts > 0]).pvalue > 0.001


def test_draw_negatives_is_uniform_in_mixed_call():
    touched = [set(range(4, 300)), set()]  # four items left to one, all to the other
    users = np.tile([0, 1], 5000)
    drawn = negatives.draw_negatives(users, keys(touched, 300), 300, 2, np.random.default_rng(1))
    assert chisquare(np.bincount(drawn[::2].ravel(), minlength=4)).pvalue > 0.001
    assert chisquare(np.bincount(drawn[1::2].ravel(), minlength=300)).pvalue > 0.001


def test_draw_negatives_ignores_block_size(monkeypatch):
    touched = [set(range(n)) for n in (0, 5, 30, 95)]
    users = np.tile(np.arange(4), 50)
    drawn = []
    for cells in (100, 4_000_000):
        monkeypatch.setattr(negatives, "MAX_CELLS", cells)
        drawn.append(
            negatives.draw_negatives(
                users, keys(touched, 100), 100, 5, np.random.default_rng(2)
            ).tolist()
        )
    assert drawn[0] == drawn[1]


def test_untouched_counts():
    touched = keys([{1, 4}, set(), {0}], 5)
    assert negatives.untouched_counts(touched, 4, 5).tolist() == [3, 5, 4, 5]


@given(st.data())
def test_matched_negatives_are_near_and_untouched(data):
    n_items = data.draw(st.integers(2, 300))
    near = data.draw(st.integers(0, n_items - 1))
    touched = data.draw(st.sets(st.integers(0, n_items - 1), max_size=n_items - 1)) | {near}
    free = sorted(set(range(n_items)) - touched, key=lambda i: abs(i - near))
    k = data.draw(st.integers(0, min(len(free), 5)))
    (row,) = negatives.draw_negatives(
        np.array([0]),
        keys([touched], n_items),
        n_items,
        k,
        np.random.default_rng(0),
        np.array([near]),
    ).tolist()
    assert len(set(row)) == k
    assert set(row) <= set(free)
    far = max((abs(i - near) for i in row), default=0)
    nearest = max((abs(i - near) for i in free[:k]), default=0)
    assert far <= nearest + 2 * k + 2


@pytest.mark.parametrize("near", [500, 20, 990])
def test_matched_positive_is_as_popular_as_negatives(near):
    """Its rank by popularity among the candidates is uniform, save at the ends of the order."""
    n, touched = 4000, {near, near + 3}
    drawn = negatives.draw_negatives(
        np.zeros(n, int),
        keys([touched], 1000),
        1000,
        19,
        np.random.default_rng(0),
        np.full(n, near),
    )
    rank = np.bincount((drawn > near).sum(1), minlength=20)
    if near == 500:
        assert chisquare(rank).pvalue > 0.001
    assert (rank > 0).sum() > 5


def test_by_popularity_is_sorted_and_invertible():
    rated = np.array([3, 3, 3, 1, 1, 0])
    order, place = negatives.by_popularity(rated, 5, np.random.default_rng(0))
    assert order[2:].tolist() == [0, 1, 3]
    assert set(order[:2].tolist()) == {2, 4}
    assert place[order].tolist() == list(range(5))
