"""Graph models: the sparse product and its gradient are those of the dense matrix, and LightGCN is its equations."""

import numpy as np
import pytest
import torch

from r2rec.baselines.graph import Product, adjacency, degrees
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


def test_the_gradient_is_the_dense_one():
    matrix, plain = adjacency(data()), dense(data())
    x, weights = torch.randn(USERS + ITEMS, 5, requires_grad=True), torch.randn(USERS + ITEMS, 5)
    (ours,) = torch.autograd.grad((Product.apply(matrix, x) * weights).sum(), x)
    (theirs,) = torch.autograd.grad(((plain @ x) * weights).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_lightgcn_is_its_equations():
    model, plain = LightGCN(data(), dim=6, layers=2), dense(data())
    scale = torch.diag(plain.sum(1).clamp(min=1) ** -0.5)
    normal = scale @ plain @ scale
    expected = (model.nodes + normal @ model.nodes + normal @ normal @ model.nodes) / 3
    torch.testing.assert_close(model.vectors(), expected)


@every
def test_scores_are_products_of_vectors(kind):
    model = kind(data(), dim=6).eval()
    users, shown = np.arange(USERS), np.random.default_rng(0).integers(0, ITEMS, (USERS, 4))
    vectors = model.vectors().detach().numpy()
    expected = [
        [vectors[u] @ vectors[USERS + i] for i in row] for u, row in zip(users, shown, strict=True)
    ]
    np.testing.assert_allclose(model.scores(users, shown), expected, rtol=1e-4, atol=1e-6)


@every
def test_an_epoch_is_every_edge_once(kind):
    model, loaded = kind(data(), dim=6), data()
    batches = list(model.batches(7, np.random.default_rng(0)))
    pairs = sorted(
        (int(u), int(i)) for users, items in batches for u, i in zip(users, items, strict=True)
    )
    assert pairs == sorted(zip(loaded.user.tolist(), loaded.item.tolist(), strict=True))


@every
@pytest.mark.parametrize(
    ("loss", "negatives"), [("softmax", 0), ("softmax", 16), ("bpr", 4), ("bce", 4)]
)
def test_each_loss_falls(kind, loss, negatives):
    torch.manual_seed(0)
    model = kind(data(), dim=8)
    batch = next(model.batches(1_000, np.random.default_rng(0)))
    optimizer, seen = torch.optim.Adam(model.parameters(), lr=0.02), []
    for _ in range(40):
        value = model(batch, loss, negatives, torch.Generator().manual_seed(0))
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        seen.append(value.item())
    assert seen[-1] < 0.9 * seen[0]
