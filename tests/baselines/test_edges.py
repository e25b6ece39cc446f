"""Users and items that little or nothing is known of: every model trains beside them and scores them."""

import numpy as np
import polars as pl
import pytest
import torch

from r2rec.baselines import ease, item_knn, popularity
from r2rec.baselines.ratings import train_ratings
from tests.baselines.small import GRAPH, ITEMS, SEQUENCE, table

NEW, SINGLE, UNSEEN = (
    3,
    4,
    ITEMS - 1,
)  # a user without history, a user of one item, an item that no train row has
KNOWN = table().filter(pl.col("item") != UNSEEN)
TRAIN = pl.concat(
    [KNOWN.filter(pl.col("user") != SINGLE), KNOWN.filter(pl.col("user") == SINGLE).head(1)]
)
USERS, SHOWN = np.array([NEW, SINGLE, 0]), np.array([[0, 1, UNSEEN]] * 3)


@pytest.mark.parametrize("kind", [*SEQUENCE, *GRAPH])
def test_a_trained_model_scores_everyone(kind):
    torch.manual_seed(0)
    model = kind(train_ratings(TRAIN, 12, ITEMS), dim=8)
    draw = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in model.batches(4, np.random.default_rng(0)):
        loss = model(batch, "softmax", 5, draw)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        assert loss.isfinite()
    scores = model.eval().scores(USERS, SHOWN)
    assert scores.shape == SHOWN.shape
    assert np.isfinite(scores).all()
    assert len(np.unique(scores[1])) == 3  # one item is enough to tell candidates apart


@pytest.mark.parametrize(
    "score", [popularity.popularity_scores, item_knn.item_knn_scores, ease.ease_scores]
)
def test_a_closed_form_scores_everyone(score):
    scores = score(TRAIN, USERS, SHOWN, np.random.default_rng(0))
    assert np.isfinite(scores).all()
    assert (scores[:, 2] == 0).all()


@pytest.mark.parametrize(
    "score", [popularity.popularity_scores, item_knn.item_knn_scores, ease.ease_scores]
)
def test_without_a_rating_nothing_is_preferred(score):
    scores = score(TRAIN.clear(), USERS, SHOWN, np.random.default_rng(0))
    assert (scores == 0).all()
