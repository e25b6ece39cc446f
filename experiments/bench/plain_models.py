"""SASRec and LightGCN as their widely used plain PyTorch versions compute them, to time ours against.

Written from their papers and public code; batches are made beforehand, so that only the models are compared.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings


class PlainSASRec(nn.Module):
    """Every row padded in front to `length`; attention through a mask; one negative and BCE at each place."""

    def __init__(
        self, data: Ratings, dim: int, length: int, blocks: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=0)
        self.places = nn.Embedding(length + 1, dim, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    nn.LayerNorm(dim, eps=1e-8),
                    nn.MultiheadAttention(dim, heads, dropout),
                    nn.LayerNorm(dim, eps=1e-8),
                    nn.Sequential(
                        nn.Conv1d(dim, dim, 1),
                        nn.Dropout(dropout),
                        nn.ReLU(),
                        nn.Conv1d(dim, dim, 1),
                        nn.Dropout(dropout),
                    ),
                ]
            )
            for _ in range(blocks)
        )
        self.last = nn.LayerNorm(dim, eps=1e-8)

    def forward(self, seen: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        n, length = seen.shape
        place = torch.arange(1, length + 1).expand(n, length) * (seen != 0)
        x = self.dropout(self.items(seen) * self.items.embedding_dim**0.5 + self.places(place))
        mask = ~torch.tril(torch.ones(length, length, dtype=torch.bool))
        for norm1, attention, norm2, inner in self.blocks:
            x = x.transpose(0, 1)
            query = norm1(x)
            x = (query + attention(query, x, x, attn_mask=mask)[0]).transpose(0, 1)
            x = norm2(x)
            x = x + inner(x.transpose(-1, -2)).transpose(-1, -2)
        states, real = self.last(x), positive != 0
        above, below = ((states * self.items(i)).sum(-1)[real] for i in (positive, negative))
        return F.binary_cross_entropy_with_logits(
            above, torch.ones_like(above)
        ) + F.binary_cross_entropy_with_logits(below, torch.zeros_like(below))


def sasrec_epoch(
    data: Ratings, length: int, size: int, rng: np.random.Generator
) -> list[tuple[Tensor, ...]]:
    """(seen, positive, negative) [size, length] of every user's last items, item ids from 1, 0 in front."""
    users = rng.permutation(np.flatnonzero(np.diff(data.start) > 1))
    seen = np.zeros((len(users), length), np.int64)
    positive = np.zeros_like(seen)
    for row, user in enumerate(users):
        items = data.item[data.start[user] : data.start[user + 1]][-length - 1 :] + 1
        seen[row, -len(items) + 1 :], positive[row, -len(items) + 1 :] = items[:-1], items[1:]
    negative = rng.integers(1, data.n_items + 1, positive.shape) * (positive != 0)
    tensors = [torch.from_numpy(part) for part in (seen, positive, negative)]
    return [tuple(part[at : at + size] for part in tensors) for at in range(0, len(users), size)]


class PlainLightGCN(nn.Module):
    """A COO matrix, the library's own gradient, BPR with one negative and a penalty on the vectors drawn."""

    def __init__(self, data: Ratings, dim: int, layers: int) -> None:
        super().__init__()
        self.n_users, self.layers = data.n_users, layers
        self.users, self.items = nn.Embedding(data.n_users, dim), nn.Embedding(data.n_items, dim)
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)
        n = data.n_users + data.n_items
        ends = np.stack(
            [np.r_[data.user, data.item + data.n_users], np.r_[data.item + data.n_users, data.user]]
        )
        degree = np.maximum(np.bincount(ends[0], minlength=n), 1) ** -0.5
        weights = torch.from_numpy((degree[ends[0]] * degree[ends[1]]).astype(np.float32))
        self.graph = torch.sparse_coo_tensor(
            torch.from_numpy(ends), weights, (n, n), check_invariants=False
        ).coalesce()

    def forward(self, user: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        x = torch.cat([self.users.weight, self.items.weight])
        every = [x]
        for _ in range(self.layers):
            x = torch.sparse.mm(self.graph, x)
            every.append(x)
        users, items = (
            torch.stack(every, 1).mean(1).split([self.n_users, self.items.num_embeddings])
        )
        u, p, n = users[user], items[positive], items[negative]
        loss = F.softplus((u * n).sum(1) - (u * p).sum(1)).mean()
        drawn = (self.users(user), self.items(positive), self.items(negative))
        return loss + 1e-4 * sum(part.pow(2).sum() for part in drawn) / (2 * len(user))


def lightgcn_epoch(
    data: Ratings, size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """(user, positive, negative) [size]: every rating once."""
    order = rng.permutation(len(data.user))
    negative = rng.integers(0, data.n_items, len(order))
    for at in range(0, len(order), size):
        rows = order[at : at + size]
        yield tuple(
            torch.from_numpy(part)
            for part in (data.user[rows], data.item[rows], negative[at : at + size])
        )
