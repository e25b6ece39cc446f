"""Users and items with few or no ratings: every model trains beside them and scores them."""

import numpy as np
import polars as pl
import pytest
import torch

from r2rec.baselines import ease, item_knn, popularity
from r2rec.baselines.ratings import train_ratings
from tests.baselines.small import GRAPH, ITEMS, SEQUENCE, table

NEW = 3  # a user without ratings
SINGLE = 4  # a user with one rating
UNSEEN = ITEMS - 1  # an item that no train row has
SEEN = table().filter(pl.col("item") != UNSEEN)
OTHERS = SEEN.filter(pl.col("user") != SINGLE)
TRAIN = pl.concat([OTHERS, SEEN.filter(pl.col("user") == SINGLE).head(1)])
USERS = np.array([NEW, SINGLE, 0])
CANDIDATES = np.array([[0, 1, UNSEEN]] * 3)
CLOSED_FORMS = [popularity.popularity_scores, item_knn.item_knn_scores, ease.ease_scores]


@pytest.mark.parametrize("kind", [*SEQUENCE, *GRAPH])
def test_trained_models_score_everyone(kind):
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
    scores = model.eval().scores(USERS, CANDIDATES)
    assert scores.shape == CANDIDATES.shape
    assert np.isfinite(scores).all()
    assert len(np.unique(scores[1])) == 3  # one item is enough to tell candidates apart


@pytest.mark.parametrize("score", CLOSED_FORMS)
def test_closed_forms_score_everyone(score):
    scores = score(TRAIN, USERS, CANDIDATES, np.random.default_rng(0))
    assert np.isfinite(scores).all()
    assert (scores[:, 2] == 0).all()


@pytest.mark.parametrize("score", CLOSED_FORMS)
def test_no_ratings_mean_equal_scores(score):
    scores = score(TRAIN.clear(), USERS, CANDIDATES, np.random.default_rng(0))
    assert (scores == 0).all()
