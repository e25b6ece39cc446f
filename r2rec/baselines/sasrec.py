"""SASRec (Kang & McAuley, ICDM 2018): self-attention over a user's items."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings
from r2rec.baselines.sequential import Sequential


class SASRec(Sequential):
    """Causal attention blocks over item and place embeddings, normalised first; the last state meets item vectors."""

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
        self.places = nn.Parameter(torch.randn(length, dim) * dim**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(dim, heads, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(dim)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        x = self.dropout(self.items(items) + self.places[: items.shape[1]])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Block(nn.Module):
    """Attention to what came before, then a layer of the same width on each place."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.inner = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        n, length, dim = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.dropout(self.out(seen.transpose(1, 2).reshape(n, length, dim)))
        return x + self.dropout(self.inner(self.norm2(x)))
