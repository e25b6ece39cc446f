"""Caser (Tang & Wang, WSDM 2018): convolutions over a user's last few items, seen as an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings
from r2rec.baselines.sequential import Sequential


class Caser(Sequential):
    """Filters across items and across dimensions, and a vector of the user.

    A filter slides over the whole sequence once, and each place takes the strongest answers of its own window: the
    published row per window would compute each of them `window` times.
    """

    def __init__(
        self,
        data: Ratings,
        dim: int = 64,
        length: int = 200,
        window: int = 5,
        horizontal: int = 16,
        vertical: int = 4,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(data, dim, length, out=2 * dim)
        self.window = self.reach = window
        self.users = nn.Embedding(data.n_users, dim)
        self.horizontal = nn.ModuleList(
            nn.Conv1d(dim, horizontal, height) for height in range(1, window + 1)
        )
        self.vertical = nn.Parameter(torch.randn(vertical, window) * window**-0.5)
        self.out = nn.Linear(horizontal * window + vertical * dim, dim)
        self.dropout = nn.Dropout(dropout)
        for table in (self.users, self.targets):
            nn.init.normal_(table.weight, std=dim**-0.5)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        n, length = items.shape
        padded = F.pad(
            self.items(items).transpose(1, 2), (self.window - 1, 0)
        )  # [n, dim, window - 1 + length]
        across = [
            F.max_pool1d(torch.relu(conv(padded)), self.window - height + 1, 1)
            for height, conv in enumerate(self.horizontal, 1)
        ]
        along = torch.einsum(
            "ndtw,fw->nfdt", padded.unfold(2, self.window, 1), self.vertical
        ).flatten(1, 2)
        seen = torch.cat([*across, along], 1).transpose(1, 2)
        known = torch.relu(self.out(self.dropout(seen)))
        return torch.cat([known, self.users(users)[:, None].expand(n, length, -1)], -1)
