"""SASRec and LightGCN as widely used plain PyTorch code computes them.

The reference of `baselines.py`, written from the papers and public code. Batches are made
beforehand, so only the models are timed.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings


class PlainSASRec(nn.Module):
    """Rows padded in front to `length`, masked attention, BCE with one negative per place."""

    def __init__(
        self, data: Ratings, dim: int, length: int, blocks: int, heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=0)
        self.places = nn.Embedding(length + 1, dim, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(_block(dim, heads, dropout) for _ in range(blocks))
        self.last_norm = nn.LayerNorm(dim, eps=1e-8)

    def forward(self, seen: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The mean loss of a batch; all arguments are [n, length], 0 where a row is padded."""
        n, length = seen.shape
        place = torch.arange(1, length + 1).expand(n, length) * (seen != 0)
        x = self.items(seen) * self.items.embedding_dim**0.5 + self.places(place)
        x = self.dropout(x)
        mask = ~torch.tril(torch.ones(length, length, dtype=torch.bool))
        for attention_norm, attention, inner_norm, inner in self.blocks:
            x = x.transpose(0, 1)
            query = attention_norm(x)
            attended, _ = attention(query, x, x, attn_mask=mask)
            x = (query + attended).transpose(0, 1)
            x = inner_norm(x)
            x = x + inner(x.transpose(-1, -2)).transpose(-1, -2)
        states = self.last_norm(x)
        is_real = positive != 0
        above = (states * self.items(positive)).sum(-1)[is_real]
        below = (states * self.items(negative)).sum(-1)[is_real]
        positive_loss = F.binary_cross_entropy_with_logits(above, torch.ones_like(above))
        negative_loss = F.binary_cross_entropy_with_logits(below, torch.zeros_like(below))
        return positive_loss + negative_loss


def _block(dim: int, heads: int, dropout: float) -> nn.ModuleList:
    attention = nn.MultiheadAttention(dim, heads, dropout)
    inner = nn.Sequential(
        nn.Conv1d(dim, dim, 1),
        nn.Dropout(dropout),
        nn.ReLU(),
        nn.Conv1d(dim, dim, 1),
        nn.Dropout(dropout),
    )
    return nn.ModuleList(
        [
            nn.LayerNorm(dim, eps=1e-8),
            attention,
            nn.LayerNorm(dim, eps=1e-8),
            inner,
        ]
    )


def sasrec_epoch(
    data: Ratings, length: int, size: int, rng: np.random.Generator
) -> list[tuple[Tensor, ...]]:
    """Batches (seen, positive, negative) [size, length] of every user's most recent items.

    Item ids start at 1; rows are padded in front with 0.
    """
    users = rng.permutation(np.flatnonzero(np.diff(data.start) > 1))
    seen = np.zeros((len(users), length), np.int64)
    positive = np.zeros_like(seen)
    for row, user in enumerate(users):
        items = data.item[data.start[user] : data.start[user + 1]][-length - 1 :] + 1
        begin = -len(items) + 1
        seen[row, begin:] = items[:-1]
        positive[row, begin:] = items[1:]
    negative = rng.integers(1, data.n_items + 1, positive.shape) * (positive != 0)
    tensors = [torch.from_numpy(part) for part in (seen, positive, negative)]
    batches = []
    for start in range(0, len(users), size):
        batches.append(tuple(part[start : start + size] for part in tensors))
    return batches


class PlainLightGCN(nn.Module):
    """A COO matrix with autograd's gradient, BPR with one negative, a penalty on drawn vectors."""

    def __init__(self, data: Ratings, dim: int, layers: int) -> None:
        super().__init__()
        self.n_users = data.n_users
        self.layers = layers
        self.users = nn.Embedding(data.n_users, dim)
        self.items = nn.Embedding(data.n_items, dim)
        nn.init.normal_(self.users.weight, std=0.1)
        nn.init.normal_(self.items.weight, std=0.1)
        n_nodes = data.n_users + data.n_items
        item_node = data.item + data.n_users
        source = np.concatenate([data.user, item_node])
        target = np.concatenate([item_node, data.user])
        edges = np.stack([source, target])
        inverse_root = np.maximum(np.bincount(source, minlength=n_nodes), 1) ** -0.5
        weights = (inverse_root[source] * inverse_root[target]).astype(np.float32)
        graph = torch.sparse_coo_tensor(
            torch.from_numpy(edges),
            torch.from_numpy(weights),
            (n_nodes, n_nodes),
            check_invariants=False,
        )
        self.graph = graph.coalesce()

    def forward(self, user: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The mean loss of a batch; all arguments are [n]."""
        x = torch.cat([self.users.weight, self.items.weight])
        layers = [x]
        for _ in range(self.layers):
            x = torch.sparse.mm(self.graph, x)
            layers.append(x)
        mean = torch.stack(layers, 1).mean(1)
        users, items = mean.split([self.n_users, self.items.num_embeddings])
        positive_score = (users[user] * items[positive]).sum(1)
        negative_score = (users[user] * items[negative]).sum(1)
        loss = F.softplus(negative_score - positive_score).mean()
        drawn = (self.users(user), self.items(positive), self.items(negative))
        penalty = sum(part.pow(2).sum() for part in drawn) / (2 * len(user))
        return loss + 1e-4 * penalty


def lightgcn_epoch(
    data: Ratings, size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Batches (user, positive, negative) [size]: every rating once."""
    order = rng.permutation(len(data.user))
    negative = rng.integers(0, data.n_items, len(order))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield (
            torch.from_numpy(data.user[rows]),
            torch.from_numpy(data.item[rows]),
            torch.from_numpy(negative[start : start + size]),
        )
