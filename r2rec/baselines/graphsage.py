"""GraphSAGE (Hamilton et al., NeurIPS 2017): a node beside the mean of its neighbours, through layers of weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.graph import GraphModel
from r2rec.baselines.ratings import Ratings


class GraphSAGE(GraphModel):
    """The mean aggregator (algorithm 1) over all neighbours: on graphs of this size none need be sampled."""

    def __init__(self, data: Ratings, dim: int = 64, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__(data, dim, std=dim**-0.5)
        self.weights = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.scale = nn.Parameter(
            torch.tensor(3.0)
        )  # vectors have length 1: without it scores stay in [-1, 1]

    def vectors(self) -> Tensor:
        x: Tensor = self.nodes
        for n, weight in enumerate(self.weights, 1):
            x = weight(torch.cat([self.dropout(x), self.mean(x)], -1))
            x = F.normalize(x if n == len(self.weights) else torch.relu(x), dim=-1)
        return self.scale * x
