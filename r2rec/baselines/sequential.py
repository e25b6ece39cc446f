"""Sequence models: what they share is reading a user's items in order and guessing the next one at every place.

Sequences stand at the left of their row with padding behind, where a causal model's earlier places don't see it:
no mask is needed. Each epoch reads one window of every user, drawn anew, and windows of similar length together.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from r2rec.baselines.losses import LOSSES
from r2rec.baselines.ratings import Ratings

POOL = 8  # batches whose windows are sorted by length before they are cut apart
SCORED = (
    64  # users at once: more are slower, as what is between the layers leaves the processor's cache
)


class Sequential(nn.Module):
    """Base of the sequence models. A model says what it knows after each item (`states`)."""

    def __init__(self, data: Ratings, dim: int, length: int, out: int | None = None) -> None:
        super().__init__()
        self.length, self.pad = length, data.n_items
        self.reach = length  # items back that what is known after an item can depend on
        self.start, self.item = data.start, data.item
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=self.pad)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.targets = self.items if out is None else nn.Embedding(data.n_items + 1, out)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        """What is known after each item: [n, length, d] of users [n] and items [n, length]."""
        raise NotImplementedError

    @property
    def examples(self) -> int:
        """Users to learn from: a place needs one after it."""
        return int((np.diff(self.start) > 1).sum())

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: (users [n], items [n, at most length + 1], padded with n_items)."""
        long = np.diff(self.start)
        users = rng.permutation(np.flatnonzero(long > 1))
        taken = np.minimum(long[users], self.length + 1)
        first = self.start[users] + (rng.random(len(users)) * (long[users] - taken + 1)).astype(
            np.int64
        )
        pools = [
            np.arange(at, min(at + POOL * size, len(users)))
            for at in range(0, len(users), POOL * size)
        ]
        cuts = [
            pool[np.argsort(taken[pool], kind="stable")][at : at + size]
            for pool in pools
            for at in range(0, len(pool), size)
        ]
        for k in rng.permutation(len(cuts)):
            rows = cuts[k]
            yield torch.from_numpy(users[rows]), self._gather(first[rows], taken[rows])

    def forward(
        self, batch: tuple[Tensor, Tensor], name: str, negatives: int, generator: torch.Generator
    ) -> Tensor:
        """Loss over every place with an item after it.

        Args:
            negatives: Items drawn for the batch and shared by its places; 0: all, for `softmax`.
        """
        users, items = batch
        states, after = self.states(users, items[:, :-1]), items[:, 1:]
        real = after != self.pad
        state, target = states[real], after[real]
        if not negatives:
            logits = state @ self.targets.weight[: self.pad].T
            return nn.functional.cross_entropy(logits, target)
        drawn = torch.randint(self.pad, (negatives,), generator=generator).to(target.device)
        negative = state @ self.targets(drawn).T
        negative = negative.masked_fill(
            target[:, None] == drawn, -1e4
        )  # the positive is no negative
        return LOSSES[name]((state * self.targets(target)).sum(-1), negative, self.pad)

    @torch.inference_mode()
    def scores(
        self, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[n, k] scores of candidates [n, k] after all that the users did; 0 for users who did nothing."""
        device = self.items.weight.device
        taken = np.minimum(np.diff(self.start)[users], self.reach)
        order, scored = np.argsort(taken, kind="stable"), np.zeros(candidates.shape, np.float32)
        for rows in np.array_split(order, max(1, len(order) // SCORED)):
            rows = rows[taken[rows] > 0]
            if not len(rows):
                continue
            items = self._gather(self.start[users[rows] + 1] - taken[rows], taken[rows]).to(device)
            states = self.states(torch.from_numpy(users[rows]).to(device), items)
            last = states[torch.arange(len(rows)), torch.from_numpy(taken[rows] - 1).to(device)]
            shown = self.targets(torch.from_numpy(candidates[rows]).to(device))
            scored[rows] = torch.einsum("nd,nkd->nk", last, shown).float().cpu().numpy()
        return scored

    def _gather(self, first: NDArray, taken: NDArray) -> Tensor:
        """Rows of `taken` items from place `first` on: [n, longest]."""
        place = np.arange(taken.max())
        inside = place < taken[:, None]
        rows = np.where(inside, self.item[np.where(inside, first[:, None] + place, 0)], self.pad)
        return torch.from_numpy(rows)
