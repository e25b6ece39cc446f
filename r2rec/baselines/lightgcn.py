"""LightGCN (He et al., SIGIR 2020): neighbours' vectors, averaged over the layers."""

from torch import Tensor

from r2rec.baselines.graph import GraphModel
from r2rec.baselines.ratings import Ratings


class LightGCN(GraphModel):
    """The vectors themselves are the only weights (equations 3, 4 and 8)."""

    def __init__(self, data: Ratings, dim: int = 64, layers: int = 3) -> None:
        super().__init__(data, dim, std=0.1)
        self.layers = layers

    def vectors(self) -> Tensor:
        x: Tensor = self.nodes
        total = x
        for _ in range(self.layers):
            x = self.neighbours(x)
            total = total + x
        return total / (self.layers + 1)
