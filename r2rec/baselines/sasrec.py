"""SASRec (Kang & McAuley, ICDM 2018): self-attention over a user's items."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings
from r2rec.baselines.sequential import Sequential


class SASRec(Sequential):
    """Causal attention over item and position embeddings, with pre-normalisation.

    The last state is multiplied with item vectors.
    """

    def __init__(
        self,
        data: Ratings,
        dim: int = 64,
        length: int = 200,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(data, dim, length)
        positions = torch.randn(length, dim) * dim**-0.5
        self.places = nn.Parameter(positions)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList()
        for _ in range(blocks):
            self.blocks.append(Block(dim, heads, dropout))
        self.norm = nn.LayerNorm(dim)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        positions = self.places[: items.shape[1]]
        x: Tensor = self.dropout(self.items(items) + positions)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x


class Block(nn.Module):
    """Attention to earlier positions, then a feed-forward layer on each position."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.rate = dropout
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.inner = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        n, length, dim = x.shape
        projected = self.qkv(self.norm1(x))
        by_head = projected.view(n, length, 3, self.heads, -1)
        q, k, v = by_head.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        merged = attended.transpose(1, 2).reshape(n, length, dim)
        x = x + self.dropout(self.out(merged))
        x = x + self.dropout(self.inner(self.norm2(x)))
        return x
