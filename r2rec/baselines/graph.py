"""Graph models: what they share is a vector of every user and item, mixed along the edges of the rating graph.

A layer is one product with the graph's matrix. That matrix is symmetric, so the gradient is the same product: the
library's own backward transposes a sparse matrix each time, which costs ten times as much.
"""

import warnings
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from torch import Tensor, nn

from r2rec.baselines.losses import LOSSES
from r2rec.baselines.ratings import Ratings


class GraphModel(nn.Module):
    """Base of the graph models. A model says what vectors come of the graph (`vectors`)."""

    edges: Tensor
    degree: Tensor

    def __init__(self, data: Ratings, dim: int, std: float) -> None:
        super().__init__()
        self.n_users, self.n_items = data.n_users, data.n_items
        self.pairs = np.stack([data.user, data.item])
        matrix = adjacency(data)
        self.register_buffer("edges", matrix, persistent=False)
        self.register_buffer("degree", torch.from_numpy(degrees(data)), persistent=False)
        self.nodes = nn.Parameter(torch.randn(data.n_users + data.n_items, dim) * std)

    def vectors(self) -> Tensor:
        """[users + items, d]."""
        raise NotImplementedError

    def neighbours(self, x: Tensor) -> Tensor:
        """Sum over neighbours, each edge weighed by 1 / sqrt(degree x degree): the normalised Laplacian of NGCF."""
        scale = self.degree.clamp(min=1).rsqrt()[:, None]
        return scale * Product.apply(self.edges, scale * x)

    def mean(self, x: Tensor) -> Tensor:
        """Mean over neighbours; 0 without any."""
        return Product.apply(self.edges, x) / self.degree.clamp(min=1)[:, None]

    @property
    def examples(self) -> int:
        """Edges to learn from."""
        return self.pairs.shape[1]

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: every edge once, (users [n], items [n])."""
        order = rng.permutation(self.pairs.shape[1])
        for at in range(0, len(order), size):
            users, items = self.pairs[:, order[at : at + size]]
            yield torch.from_numpy(users), torch.from_numpy(items)

    def forward(
        self, batch: tuple[Tensor, Tensor], name: str, negatives: int, generator: torch.Generator
    ) -> Tensor:
        """Loss over a batch of edges, with negatives drawn from all items; 0: all, for `softmax`."""
        users, items = batch
        vectors = self.vectors()
        user, shelf = vectors[users], vectors[self.n_users :]
        if not negatives:
            return nn.functional.cross_entropy(user @ shelf.T, items)
        drawn = torch.randint(self.n_items, (negatives,), generator=generator).to(items.device)
        negative = (user @ shelf[drawn].T).masked_fill(items[:, None] == drawn, -1e4)
        return LOSSES[name]((user * shelf[items]).sum(-1), negative, self.n_items)

    @torch.inference_mode()
    def scores(
        self, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[n, k] scores of candidates [n, k]."""
        vectors = self.vectors()
        user, shown = (
            vectors[torch.from_numpy(users)],
            vectors[torch.from_numpy(candidates) + self.n_users],
        )
        return torch.einsum("nd,nkd->nk", user, shown).float().cpu().numpy()


class Product(torch.autograd.Function):
    """A symmetric sparse matrix times a dense one, with the same product as its gradient."""

    @staticmethod
    def forward(ctx, matrix: Tensor, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[None, Tensor]:  # type: ignore[no-untyped-def]
        return None, ctx.matrix @ gradient.contiguous()


def adjacency(data: Ratings) -> Tensor:
    """The rating graph [users + items, users + items] as CSR of ones, users first; repeated ratings count once."""
    n, item = data.n_users + data.n_items, data.item + data.n_users
    ends = np.concatenate([data.user, item]), np.concatenate([item, data.user])
    matrix = coo_array((np.ones(len(ends[0]), np.float32), ends), shape=(n, n)).tocsr()
    matrix.data[:] = 1
    start, end = (
        torch.from_numpy(part.astype(np.int64)) for part in (matrix.indptr, matrix.indices)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Sparse CSR tensor support is in beta", category=UserWarning
        )
        return torch.sparse_csr_tensor(
            start, end, torch.from_numpy(matrix.data), size=(n, n), check_invariants=False
        )


def degrees(data: Ratings) -> NDArray[np.float32]:
    """Neighbours of each user and item, [users + items]."""
    edges = np.unique(data.user * data.n_items + data.item)
    of_users = np.bincount(edges // data.n_items, minlength=data.n_users)
    of_items = np.bincount(edges % data.n_items, minlength=data.n_items)
    return np.concatenate([of_users, of_items]).astype(np.float32)
