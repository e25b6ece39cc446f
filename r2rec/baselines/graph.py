"""Base of the graph models: a vector for every user and item, mixed along the rating graph's edges.

A layer is one product with the graph's matrix. That matrix is symmetric, so its gradient is the
same product. torch's own backward transposes a sparse matrix each time, which costs ten times as
much.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from torch import Tensor, nn

from r2rec.baselines.losses import LOSSES, MASKED_SCORE
from r2rec.baselines.ratings import IdArray, Ratings
from r2rec.baselines.recommender import Batch, Recommender


class GraphModel(Recommender):
    """A graph model computes the vectors of all nodes (`vectors`); scores are their products."""

    edges: Tensor
    degree: Tensor

    def __init__(self, data: Ratings, dim: int, std: float) -> None:
        super().__init__()
        self.n_users = data.n_users
        self.n_items = data.n_items
        self.pairs = np.stack([data.user, data.item])
        self.register_buffer("edges", adjacency(data), persistent=False)
        self.register_buffer("degree", torch.from_numpy(degrees(data)), persistent=False)
        vectors = torch.randn(data.n_users + data.n_items, dim) * std
        self.nodes = nn.Parameter(vectors)

    def vectors(self) -> Tensor:
        """[users + items, d], users first."""
        raise NotImplementedError

    def neighbours(self, x: Tensor) -> Tensor:
        """Sum over neighbours, edges weighted by 1 / sqrt(degree * degree) (NGCF, equation 8)."""
        scale = self.degree.clamp(min=1).rsqrt()[:, None]
        return scale * multiply_symmetric(self.edges, scale * x)

    def mean(self, x: Tensor) -> Tensor:
        """Mean over neighbours; 0 where there are none."""
        total = multiply_symmetric(self.edges, x)
        return total / self.degree.clamp(min=1)[:, None]

    @property
    def examples(self) -> int:
        """Edges to learn from."""
        return int(self.pairs.shape[1])

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch: every edge once, as (users [n], items [n])."""
        order = rng.permutation(self.pairs.shape[1])
        for start in range(0, len(order), size):
            edges = order[start : start + size]
            users, items = self.pairs[:, edges]
            yield torch.from_numpy(users), torch.from_numpy(items)

    def forward(
        self, batch: Batch, name: str, negatives: int, generator: torch.Generator
    ) -> Tensor:
        """Mean loss over a batch of edges.

        Args:
            name: A key of `LOSSES`.
            negatives: Items drawn from all for the batch; 0: all items, for `softmax`.
        """
        users, items = batch
        vectors = self.vectors()
        user_vectors = vectors[users]
        item_vectors = vectors[self.n_users :]
        if not negatives:
            return nn.functional.cross_entropy(user_vectors @ item_vectors.T, items)
        drawn = torch.randint(self.n_items, (negatives,), generator=generator).to(items.device)
        negative = user_vectors @ item_vectors[drawn].T
        negative = negative.masked_fill(items[:, None] == drawn, MASKED_SCORE)
        positive = (user_vectors * item_vectors[items]).sum(-1)
        return LOSSES[name](positive, negative, self.n_items)

    @torch.inference_mode()
    def scores(self, users: IdArray, candidates: IdArray) -> NDArray[np.float32]:
        """Scores [n, k] of candidates [n, k]."""
        vectors = self.vectors()
        user_vectors = vectors[torch.from_numpy(users)]
        item_vectors = vectors[torch.from_numpy(candidates) + self.n_users]
        scores = torch.einsum("nd,nkd->nk", user_vectors, item_vectors)
        return scores.float().cpu().numpy()


class SymmetricProduct(torch.autograd.Function):
    """A symmetric sparse matrix times a dense one; the gradient is the same product."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
        ctx.matrix = matrix
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.matrix @ gradient.contiguous()


def multiply_symmetric(matrix: Tensor, x: Tensor) -> Tensor:
    """`matrix` @ `x`, with a cheap gradient; `matrix` is symmetric."""
    apply: Callable[[Tensor, Tensor], Tensor] = SymmetricProduct.apply
    return apply(matrix, x)


def adjacency(data: Ratings) -> Tensor:
    """The rating graph [users + items, users + items] as CSR of ones, users first.

    Repeated ratings count once.
    """
    n = data.n_users + data.n_items
    item_nodes = data.item + data.n_users
    rows = np.concatenate([data.user, item_nodes])
    columns = np.concatenate([item_nodes, data.user])
    ones = np.ones(len(rows), np.float32)
    matrix = coo_array((ones, (rows, columns)), shape=(n, n)).tocsr()
    matrix.data[:] = 1
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Sparse CSR tensor support is in beta", category=UserWarning
        )
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=(n, n),
            check_invariants=False,
        )


def degrees(data: Ratings) -> NDArray[np.float32]:
    """Neighbours of each user and item, [users + items]."""
    edges = np.unique(data.user * data.n_items + data.item)
    of_users = np.bincount(edges // data.n_items, minlength=data.n_users)
    of_items = np.bincount(edges % data.n_items, minlength=data.n_items)
    return np.concatenate([of_users, of_items]).astype(np.float32)
