"""Adam for the classical models; tables of very many items are updated where a batch touched them.

Dense Adam moves every row of a table on every step, for its momentum, so a step costs what the
table costs, however few items a batch has. Above `SPARSE_ABOVE` rows a table is therefore updated
lazily (`torch.optim.SparseAdam`): a row that no item of the batch refers to rests, its momentum
with it. Strictly, that is another optimiser, so smaller tables keep the dense one, and with it
their results.
"""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Adam, Optimizer, SparseAdam

from r2rec.base import processes
from r2rec.config import Fit

SPARSE_ABOVE = 100_000  # rows of a table


class Optimizers:
    """Several optimisers as one; each has parameters of its own."""

    def __init__(self, parts: Mapping[str, Optimizer]) -> None:
        self.parts = dict(parts)

    def step(self) -> None:
        for part in self.parts.values():
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts.values():
            part.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


def adam(model: nn.Module, spec: Fit) -> Optimizer | Optimizers:
    """The optimiser of all weights of a model."""
    tables = _sparse_tables(model, spec)
    if not tables:
        return Adam(model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    for table in tables:
        table.sparse = True
    weights = [table.weight for table in tables]
    lazily = {id(weight) for weight in weights}
    others = [weight for weight in model.parameters() if id(weight) not in lazily]
    parts: dict[str, Optimizer] = {"tables": SparseAdam(weights, lr=spec.learning_rate)}
    if others:
        parts["others"] = Adam(others, lr=spec.learning_rate)
    return Optimizers(parts)


def _sparse_tables(model: nn.Module, spec: Fit) -> list[nn.Embedding]:
    """The large tables, where a step touches few of their rows.

    The full softmax and weight decay touch all; several processes add up dense gradients.
    """
    if not spec.negatives or spec.weight_decay or processes.count() > 1:
        return []
    tables = [part for part in model.modules() if isinstance(part, nn.Embedding)]
    return [table for table in tables if table.num_embeddings > SPARSE_ABOVE]
