"""Caser (Tang & Wang, WSDM 2018): convolutions over a user's last few items, seen as an image."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.ratings import Ratings
from r2rec.baselines.sequential import Sequential


class Caser(Sequential):
    """Filters across items and across dimensions, beside a vector of the user.

    A filter slides over the whole sequence once, and each position takes the maximum over its own
    window. The published form, one row per window, would compute each value `window` times.
    """

    from_history = False  # it has a vector of each user

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
        self.window = window
        self.reach = window
        self.users = nn.Embedding(data.n_users, dim)
        self.horizontal = nn.ModuleList(
            nn.Conv1d(dim, horizontal, height) for height in range(1, window + 1)
        )
        filters = torch.randn(vertical, window) * window**-0.5
        self.vertical = nn.Parameter(filters)
        self.out = nn.Linear(horizontal * window + vertical * dim, dim)
        self.dropout = nn.Dropout(dropout)
        for table in (self.users, self.targets):
            nn.init.normal_(table.weight, std=dim**-0.5)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        n, length = items.shape
        vectors = self.items(items).transpose(1, 2)
        padded = F.pad(vectors, (self.window - 1, 0))  # [n, dim, window - 1 + length]
        features = []
        for height, convolution in enumerate(self.horizontal, 1):
            activated = torch.relu(convolution(padded))
            features.append(F.max_pool1d(activated, self.window - height + 1, 1))
        windows = padded.unfold(2, self.window, 1)  # [n, dim, length, window]
        across_dimensions = torch.einsum("ndtw,fw->nfdt", windows, self.vertical)
        features.append(across_dimensions.flatten(1, 2))
        stacked = torch.cat(features, 1).transpose(1, 2)
        sequence = torch.relu(self.out(self.dropout(stacked)))
        user = self.users(users)[:, None]
        return torch.cat([sequence, user.expand(n, length, -1)], -1)
