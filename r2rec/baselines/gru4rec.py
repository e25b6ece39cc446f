"""GRU4Rec (Hidasi et al., ICLR 2016; Hidasi & Karatzoglou, CIKM 2018): a recurrent network."""

from torch import Tensor, nn

from r2rec.baselines.ratings import Ratings
from r2rec.baselines.sequential import Sequential


class GRU4Rec(Sequential):
    """Gated recurrent layers; their state after an item is multiplied with item vectors."""

    def __init__(
        self,
        data: Ratings,
        dim: int = 64,
        length: int = 200,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(data, dim, length)
        self.dropout = nn.Dropout(dropout)
        between_layers = dropout if layers > 1 else 0.0
        self.gru = nn.GRU(dim, hidden, layers, batch_first=True, dropout=between_layers)
        self.out = nn.Linear(hidden, dim)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        outputs, _ = self.gru(self.dropout(self.items(items)))
        state: Tensor = self.out(self.dropout(outputs))
        return state
