"""GraphSAGE (Hamilton et al., NeurIPS 2017): a node's vector beside its neighbours' mean."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.graph import GraphModel
from r2rec.baselines.ratings import Ratings


class GraphSAGE(GraphModel):
    """The mean aggregator (algorithm 1) over all neighbours: small graphs need no sampling."""

    def __init__(self, data: Ratings, dim: int = 64, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__(data, dim, std=dim**-0.5)
        self.weights = nn.ModuleList()
        for _ in range(layers):
            self.weights.append(nn.Linear(2 * dim, dim))
        self.dropout = nn.Dropout(dropout)
        # Vectors have length 1: without a scale, scores would stay within [-1, 1].
        self.scale = nn.Parameter(torch.tensor(3.0))

    def vectors(self) -> Tensor:
        x: Tensor = self.nodes
        last = len(self.weights)
        for n, weight in enumerate(self.weights, 1):
            both = [self.dropout(x), self.mean(x)]
            x = weight(torch.cat(both, -1))
            if n < last:
                x = torch.relu(x)
            x = F.normalize(x, dim=-1)
        return self.scale * x
