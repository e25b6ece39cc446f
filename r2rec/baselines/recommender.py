"""The contract of classical models: what stage `fit` asks of `baseline._target_`."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from r2rec.baselines.ratings import IdArray

Batch = tuple[Tensor, Tensor]  # the model's own business; rows are examples


class Recommender(nn.Module):
    """A torch module, built as `target(data: Ratings, **params)`.

    Its weights must not contain `data`: with `evaluation.history=all` it is trained on fewer
    ratings than it is told when it scores. Keep histories or edges as attributes, or as buffers
    with `persistent=False`.

    With `from_history`, scores follow from a history and weights that hold nothing of single users:
    the model can be built with any histories under its weights, and be a witness.

    A model of another package need not inherit from it, as long as it has these methods.
    """

    from_history = False

    @property
    def examples(self) -> int:
        """How many examples there are to learn from."""
        raise NotImplementedError

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch of batches of up to `size` examples."""
        raise NotImplementedError

    def forward(
        self, batch: Batch, name: str, negatives: int, generator: torch.Generator
    ) -> Tensor:
        """The mean loss of a batch.

        Args:
            name: A key of `losses.LOSSES`.
            negatives: Items drawn for the batch; 0: all items, for `softmax`.
        """
        raise NotImplementedError

    def scores(self, users: IdArray, candidates: IdArray) -> NDArray[np.float32]:
        """Scores [n, k] of candidates [n, k] for users [n]; higher is better."""
        raise NotImplementedError
