"""Base of the sequence models: at every position of a user's items, guess the next one.

Sequences are padded on the right, where a causal model's earlier positions don't see it, so no mask
is needed. Each epoch reads one random window of every user; a batch has windows of similar length.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from r2rec.baselines.losses import LOSSES, MASKED_SCORE
from r2rec.baselines.ratings import IdArray, Ratings
from r2rec.baselines.recommender import Batch, Recommender

POOL = 8  # batches whose windows are sorted by length before they are cut
# Users scored at once. More are slower: the values between layers no longer fit the CPU's cache.
SCORED = 64


class Sequential(Recommender):
    """A sequence model computes its state after each item (`states`).

    Scores are products of a state and item vectors (`targets`).
    """

    from_history = True

    def __init__(self, data: Ratings, dim: int, length: int, out: int | None = None) -> None:
        super().__init__()
        self.length = length
        self.pad = data.n_items
        self.reach = length  # how many items back a state can depend on
        self.start = data.start
        self.item = data.item
        self.items = nn.Embedding(data.n_items + 1, dim, padding_idx=self.pad)
        nn.init.normal_(self.items.weight, std=dim**-0.5)
        self.targets = self.items
        if out is not None:
            self.targets = nn.Embedding(data.n_items + 1, out)

    def states(self, users: Tensor, items: Tensor) -> Tensor:
        """The state after each item: [n, length, d] of users [n] and items [n, length]."""
        raise NotImplementedError

    @property
    def examples(self) -> int:
        """Users to learn from: those with at least two items."""
        return int((np.diff(self.start) > 1).sum())

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch: (users [n], items [n, at most length + 1], padded with n_items)."""
        lengths = np.diff(self.start)
        users = rng.permutation(np.flatnonzero(lengths > 1))
        taken = np.minimum(lengths[users], self.length + 1)
        starts = lengths[users] - taken + 1  # possible starts of a window
        offset = (rng.random(len(users)) * starts).astype(np.int64)
        first = self.start[users] + offset
        groups = _groups_of_similar_length(taken, size)
        for index in rng.permutation(len(groups)):
            rows = groups[index]
            items = self._gather(first[rows], taken[rows])
            yield torch.from_numpy(users[rows]), items

    def forward(
        self, batch: Batch, name: str, negatives: int, generator: torch.Generator
    ) -> Tensor:
        """Mean loss over every position with an item after it.

        Args:
            name: A key of `LOSSES`.
            negatives: Items drawn for the batch, shared by its positions; 0: all items, for
                `softmax`.
        """
        users, items = batch
        states = self.states(users, items[:, :-1])
        following = items[:, 1:]
        is_item = following != self.pad
        state = states[is_item]
        target = following[is_item]
        if not negatives:
            logits = state @ self.targets.weight[: self.pad].T
            return nn.functional.cross_entropy(logits, target)
        drawn = torch.randint(self.pad, (negatives,), generator=generator).to(target.device)
        negative = state @ self.targets(drawn).T
        negative = negative.masked_fill(target[:, None] == drawn, MASKED_SCORE)
        positive = (state * self.targets(target)).sum(-1)
        return LOSSES[name](positive, negative, self.pad)

    @torch.inference_mode()
    def scores(self, users: IdArray, candidates: IdArray) -> NDArray[np.float32]:
        """Scores [n, k] of candidates [n, k] after all items of the users; 0 without any item."""
        device = self.items.weight.device
        taken = np.minimum(np.diff(self.start)[users], self.reach)
        order = np.argsort(taken, kind="stable")
        scored = np.zeros(candidates.shape, np.float32)
        for group in np.array_split(order, max(1, len(order) // SCORED)):
            rows = group[taken[group] > 0]
            if not len(rows):
                continue
            last = self._last_states(users[rows], taken[rows], device)
            vectors = self.targets(torch.from_numpy(candidates[rows]).to(device))
            products = torch.einsum("nd,nkd->nk", last, vectors)
            scored[rows] = products.float().cpu().numpy()
        return scored

    def _last_states(self, users: IdArray, taken: IdArray, device: torch.device) -> Tensor:
        """[n, d]: the states of users [n] after their last `taken` [n] items."""
        first = self.start[users + 1] - taken
        items = self._gather(first, taken).to(device)
        states = self.states(torch.from_numpy(users).to(device), items)
        last = torch.from_numpy(taken - 1).to(device)
        return states[torch.arange(len(users)), last]

    def _gather(self, first: IdArray, taken: IdArray) -> Tensor:
        """[n, longest]: in each row `taken` items, from index `first` of all items on."""
        column = np.arange(taken.max())
        inside = column < taken[:, None]
        index = np.where(inside, first[:, None] + column, 0)
        rows = np.where(inside, self.item[index], self.pad)
        return torch.from_numpy(rows)


def _groups_of_similar_length(lengths: IdArray, size: int) -> list[IdArray]:
    """Rows in groups of up to `size`, sorted by length within each pool of `POOL` groups."""
    groups: list[IdArray] = []
    rows = np.arange(len(lengths))
    for start in range(0, len(rows), POOL * size):
        pool = rows[start : start + POOL * size]
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        for cut in range(0, len(by_length), size):
            groups.append(by_length[cut : cut + size])
    return groups
