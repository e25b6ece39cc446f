"""Graph models: sparse products and gradients against dense ones, LightGCN by its equations."""

import numpy as np
import pytest
import torch

from r2rec.baselines.graph import adjacency, degrees, multiply_symmetric
from r2rec.baselines.lightgcn import LightGCN
from r2rec.baselines.ratings import train_ratings
from tests.baselines.small import GRAPH, ITEMS, USERS, data, table

every = pytest.mark.parametrize("kind", GRAPH)


def dense(loaded):
    """By loops over ratings."""
    matrix = np.zeros((USERS + ITEMS, USERS + ITEMS), np.float32)
    for user, item in zip(loaded.user, loaded.item, strict=True):
        matrix[user, USERS + item] = matrix[USERS + item, user] = 1
    return torch.from_numpy(matrix)


def test_repeated_ratings_are_one_edge():
    twice = train_ratings(table().vstack(table()), USERS, ITEMS)
    torch.testing.assert_close(adjacency(twice).to_dense(), dense(data()))
    np.testing.assert_array_equal(degrees(twice), dense(data()).sum(1))


def test_gradient_is_the_dense_one():
    x = torch.randn(USERS + ITEMS, 5, requires_grad=True)
    weights = torch.randn(USERS + ITEMS, 5)
    sparse = multiply_symmetric(adjacency(data()), x)
    plain = dense(data()) @ x
    (ours,) = torch.autograd.grad((sparse * weights).sum(), x)
    (theirs,) = torch.autograd.grad((plain * weights).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_lightgcn_is_its_equations():
    model = LightGCN(data(), dim=6, layers=2)
    plain = dense(data())
    scale = torch.diag(plain.sum(1).clamp(min=1) ** -0.5)
    normal = scale @ plain @ scale
    expected = (model.nodes + normal @ model.nodes + normal @ normal @ model.nodes) / 3
    torch.testing.assert_close(model.vectors(), expected)


@every
def test_scores_are_products_of_vectors(kind):
    model = kind(data(), dim=6).eval()
    candidates = np.random.default_rng(0).integers(0, ITEMS, (USERS, 4))
    vectors = model.vectors().detach().numpy()
    expected = []
    for user, row in enumerate(candidates):
        expected.append([vectors[user] @ vectors[USERS + item] for item in row])
    scores = model.scores(np.arange(USERS), candidates)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-6)


@every
def test_an_epoch_is_every_edge_once(kind):
    ratings = data()
    pairs = []
    for users, items in kind(ratings, dim=6).batches(7, np.random.default_rng(0)):
        pairs += zip(users.tolist(), items.tolist(), strict=True)
    edges = zip(ratings.user.tolist(), ratings.item.tolist(), strict=True)
    assert sorted(pairs) == sorted(edges)


@every
@pytest.mark.parametrize(
    ("loss", "negatives"), [("softmax", 0), ("softmax", 16), ("bpr", 4), ("bce", 4)]
)
def test_each_loss_falls(kind, loss, negatives):
    torch.manual_seed(0)
    model = kind(data(), dim=8)
    batch = next(model.batches(1_000, np.random.default_rng(0)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        value = model(batch, loss, negatives, torch.Generator().manual_seed(0))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    assert losses[-1] < 0.9 * losses[0]
