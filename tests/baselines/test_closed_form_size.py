"""ItemKNN and EASE on many items: blocks change nothing, and what is too large is refused."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2rec.base import memory
from r2rec.base.errors import R2RecError
from r2rec.base.memory import available_memory, peak_memory_mb, reset_peak_memory
from r2rec.baselines import ease, item_knn
from tests.baselines.small import ITEMS, USERS, table
from tests.small import go

SCORERS = (item_knn.item_knn_scores, ease.ease_scores)
SHAPE = (USERS, 7)


@pytest.mark.parametrize("score", SCORERS)
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_the_same_in_blocks_of_any_size(monkeypatch, score, seed):
    candidates = np.random.default_rng(seed).integers(ITEMS, size=SHAPE)
    users = np.arange(USERS)[::-1]
    whole = score(table(seed), users, candidates, np.random.default_rng(0))
    for most in (1, 40, 200):
        monkeypatch.setattr(item_knn, "MOST_AT_ONCE", most)
        monkeypatch.setattr(ease, "MOST_AT_ONCE", most)
        scores = score(table(seed), users, candidates, np.random.default_rng(0))
        np.testing.assert_array_equal(scores, whole)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9_000_000), min_size=1, max_size=30))
def test_blocks_cover_all_rows_once_and_are_small(entries):
    counts = np.array(entries)
    blocks = list(item_knn._blocks(counts))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks[:-1])]
    assert blocks[-1].stop == len(counts)
    for block in blocks:
        rest = counts[block][1:].sum()  # the first row may be larger than a block
        assert rest <= item_knn.MOST_AT_ONCE
    for left, right in pairwise(blocks):  # none is split without need
        assert counts[left].sum() + counts[right].sum() >= item_knn.MOST_AT_ONCE


def test_item_knn_takes_memory_of_ratings_not_of_items():
    """A matrix of 100,000 x 100,000 items would have 80 GB."""
    rng = np.random.default_rng(0)
    n_items = 100_000
    n = 300_000
    rows = {"user": rng.integers(30_000, size=n), "item": rng.integers(n_items, size=n)}
    train = pl.DataFrame(rows, schema={"user": pl.UInt32, "item": pl.UInt32})
    users = np.arange(300)
    candidates = rng.integers(n_items, size=(300, 20))
    candidates[:, 0] = [train.filter(user=u)["item"][0] for u in users]
    reset_peak_memory()
    before = peak_memory_mb()
    scores = item_knn.item_knn_scores(train, users, candidates, rng, shrink=0.0)
    assert peak_memory_mb() - before < 400
    assert (scores > 0).any()


def test_ease_is_refused_where_it_does_not_fit(monkeypatch):
    needed = ease.COPIES * 8 * ITEMS**2
    rng = np.random.default_rng(0)
    candidates = np.arange(ITEMS)[None]
    monkeypatch.setattr(ease, "available_memory", lambda: needed)
    assert ease.ease_scores(table(), np.array([0]), candidates, rng).shape == (1, ITEMS)
    monkeypatch.setattr(ease, "available_memory", lambda: needed - 1)
    with pytest.raises(R2RecError, match=r"30 x 30 items.* 0\.0 GB .*choose item_knn"):
        ease.ease_scores(table(), np.array([0]), candidates, rng)
    monkeypatch.setattr(ease, "available_memory", lambda: None)  # nobody can tell: it is tried
    ease.ease_scores(table(), np.array([0]), candidates, rng)


def test_fusion_with_too_large_a_matrix_ends_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(ease, "available_memory", lambda: 1000)
    with pytest.raises(R2RecError, match="fusion=ease: EASE inverts a matrix"):
        go(tmp_path, "baseline@fusion=ease", "rl=off", "evaluation.validation_users=8")
    assert {path.parents[1].name for path in tmp_path.glob("*/*/manifest.json")} == {"prepare"}


def test_memory_of_a_container_counts(tmp_path, monkeypatch):
    free = available_memory()
    assert free is not None
    assert free > 2**20
    monkeypatch.setattr(memory, "CONTAINER", tmp_path)
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    assert available_memory() == 4000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory() > 2**20
