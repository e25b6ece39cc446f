"""ItemKNN and EASE against slow versions of their definitions."""

import numpy as np
import pytest

from r2rec.baselines import ease, item_knn
from tests.baselines.small import ITEMS, USERS, table


def dense():
    matrix = np.zeros((USERS, ITEMS))
    for user, item in table().select("user", "item").iter_rows():
        matrix[user, item] = 1
    return matrix


EVERYTHING = np.tile(np.arange(ITEMS), (USERS, 1))


def test_ease_is_ridge_regression():
    """Each item by least squares from all others; equation 8 says the same in one inverse."""
    x = dense()
    penalty = 3.0
    expected = np.zeros((USERS, ITEMS))
    for item in range(ITEMS):
        others = np.delete(x, item, axis=1)
        gram = others.T @ others + penalty * np.eye(ITEMS - 1)
        weights = np.linalg.solve(gram, others.T @ x[:, item])
        expected[:, item] = others @ weights
    scores = ease.ease_scores(
        table(), np.arange(USERS), EVERYTHING, np.random.default_rng(0), regularisation=penalty
    )
    np.testing.assert_allclose(scores, expected, atol=1e-9)


@pytest.mark.parametrize("neighbours", [2, ITEMS])
def test_item_knn_sums_nearest_cosines(neighbours):
    x = dense()
    shrink = 1.5
    expected = np.zeros((USERS, ITEMS))
    for item in range(ITEMS):
        near = []
        for other in range(ITEMS):
            common = x[:, item] @ x[:, other]
            norm = np.sqrt(x[:, item].sum() * x[:, other].sum())
            near.append(0.0 if other == item else common / (norm + shrink))
        least = sorted(near)[-min(neighbours, ITEMS)]
        for user in range(USERS):
            expected[user, item] = sum(
                s for other, s in enumerate(near) if s >= least and x[user, other]
            )
    rng = np.random.default_rng(0)
    scores = item_knn.item_knn_scores(
        table(), np.arange(USERS), EVERYTHING, rng, neighbours=neighbours, shrink=shrink
    )
    np.testing.assert_allclose(scores, expected, atol=1e-12)


@pytest.mark.parametrize("score", [ease.ease_scores, item_knn.item_knn_scores])
def test_new_users_and_items_score_zero(score):
    users = np.array([3, USERS + 4])
    candidates = np.array([[0, 1, ITEMS + 5]] * 2)
    assert (score(table(), users, candidates, np.random.default_rng(0)) == 0).all()
