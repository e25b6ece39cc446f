"""NGCF (Wang et al., SIGIR 2019): neighbours' vectors, and their products with a node's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from r2rec.baselines.graph import GraphModel
from r2rec.baselines.ratings import Ratings


class NGCF(GraphModel):
    """Layers by equation 7; their outputs are concatenated (equation 9)."""

    def __init__(self, data: Ratings, dim: int = 64, layers: int = 3, dropout: float = 0.1) -> None:
        super().__init__(data, dim, std=dim**-0.5)
        self.sums = _linear_layers(layers, dim)
        self.products = _linear_layers(layers, dim)
        self.dropout = nn.Dropout(dropout)

    def vectors(self) -> Tensor:
        x: Tensor = self.nodes
        outputs = [x]
        for first, second in zip(self.sums, self.products, strict=True):
            near = self.neighbours(x)
            message = first(near + x) + second(near * x)
            x = self.dropout(F.leaky_relu(message, 0.2))
            outputs.append(F.normalize(x, dim=-1))
        return torch.cat(outputs, -1)


def _linear_layers(n: int, dim: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(dim, dim) for _ in range(n))
