"""Negatives: items that a user never touched, before or after the positive (section 4.1.1).

They are drawn uniformly, or near an item in an order that means something, such as popularity.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_CELLS = 1_000_000  # users by draws, or users by items, held at once; bounds memory
ROUNDS = 2  # of rejection sampling, before a shuffle of all items serves whoever is left


class _Task(NamedTuple):
    """What is drawn, and from where."""

    users: NDArray[np.int64]  # [n]
    touched: NDArray[np.int64]  # sorted keys
    n_items: int
    k: int
    low: NDArray[np.int64]  # [n] first item id of each user's window
    width: int  # item ids in a window

    @property
    def tries(self) -> int:
        """How many ids are drawn for a user in one round."""
        return 2 * self.k + 8


def touched_keys(interactions: pl.DataFrame, n_items: int) -> NDArray[np.int64]:
    """The set of distinct interactions as sorted keys `user * n_items + item`."""
    keys = interactions["user"].to_numpy().astype(np.int64) * n_items
    keys += interactions["item"].to_numpy()
    keys.sort()
    return keys


def untouched_counts(touched: NDArray[np.int64], n_users: int, n_items: int) -> NDArray[np.int64]:
    """[n_users] how many items each user never touched."""
    first_key = np.arange(n_users + 1) * n_items
    begin = np.searchsorted(touched, first_key)
    return n_items - np.diff(begin)


def draw_negatives(
    users: NDArray[np.int64] | NDArray[np.uint32],
    touched: NDArray[np.int64],
    n_items: int,
    k: int,
    rng: np.random.Generator,
    near: NDArray[np.int64] | None = None,
) -> NDArray[np.uint32]:
    """Draw k distinct items per user, uniform over the items that the user never touched.

    Rejection sampling: draws that were touched or drawn before are thrown away, so what remains is
    a draw without replacement. It would take long for users who touched most items, so those get
    theirs from a shuffle of all items.

    Args:
        users: [n] user ids. They may repeat; each is served independently.
        touched: All interactions, as `touched_keys` gives them.
        k: At most the number of untouched items of every user.
        near: [n] items. Draws are then uniform over a window of 2k + 2 ids that has the item at a
            random place (in the middle it would be known by its place). If the user touched too
            many of those, the nearest ids outside fill up. Ids must be in an order that means
            something.

    Returns:
        [n, k] item ids.
    """
    drawn = np.empty((len(users), k), np.uint32)
    if not len(users):  # k may then exceed the number of items
        return drawn
    width = n_items
    low = np.zeros(len(users), np.int64)
    if near is not None:
        width = min(n_items, 2 * k + 2)
        offset = rng.integers(width, size=len(near))
        low = np.clip(near - offset, 0, n_items - width)
    task = _Task(
        users=users.astype(np.int64),
        touched=touched,
        n_items=n_items,
        k=k,
        low=low,
        width=width,
    )
    unserved = np.arange(len(users))
    for _ in range(ROUNDS):
        unserved = _serve_by_rejection(task, unserved, drawn, rng)
    _serve_by_shuffle(task, unserved, drawn, rng)
    return drawn


def _serve_by_rejection(
    task: _Task,
    rows: NDArray[np.int64],
    drawn: NDArray[np.uint32],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Fill the `rows` of `drawn` for which one round of tries is enough; return the others."""
    unserved = []
    n_blocks = len(rows) * task.tries // MAX_CELLS + 1
    for block in np.array_split(rows, n_blocks):
        shape = (len(block), task.tries)
        items = task.low[block, None] + rng.integers(task.width, size=shape)
        keys = task.users[block, None] * task.n_items + items
        is_good = ~_contains(task.touched, keys) & _is_first_in_row(items)
        good_first = np.argsort(~is_good, axis=1, kind="stable")
        first_k = np.take_along_axis(items, good_first[:, : task.k], axis=1)
        is_served = is_good.sum(1) >= task.k
        drawn[block[is_served]] = first_k[is_served]
        unserved.append(block[~is_served])
    return np.concatenate(unserved)


def _serve_by_shuffle(
    task: _Task,
    rows: NDArray[np.int64],
    drawn: NDArray[np.uint32],
    rng: np.random.Generator,
) -> None:
    """Fill the `rows` of `drawn` with the first k untouched items of a shuffle.

    Items of the user's window go before all others, and those by their distance from it.
    """
    every_item = np.arange(task.n_items)
    half_width = (task.width - 1) / 2
    n_blocks = len(rows) * task.n_items // MAX_CELLS + 1
    for block in np.array_split(rows, n_blocks):
        order = rng.random((len(block), task.n_items))
        if task.width < task.n_items:
            from_centre = np.abs(every_item - task.low[block, None] - half_width)
            order += np.maximum(0, from_centre - half_width)
        keys = task.users[block, None] * task.n_items + every_item
        order[_contains(task.touched, keys)] = np.inf
        shuffled = np.argsort(order, axis=1)
        drawn[block] = shuffled[:, : task.k]


def by_popularity(
    item: NDArray[np.int64] | NDArray[np.uint32],
    n_items: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order all items by popularity.

    Args:
        item: [ratings] the item of each rating.

    Returns:
        The items from least to most rated, equally rated ones at random; and the rank [n_items] of
        each item in that order.
    """
    n_ratings = np.bincount(item, minlength=n_items)
    order = np.lexsort((rng.random(n_items), n_ratings))
    rank = np.empty_like(order)
    rank[order] = np.arange(n_items)
    return order, rank


def _contains(sorted_keys: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of `keys` is among `sorted_keys`; the shape of `keys`."""
    if not len(sorted_keys):
        return np.zeros(keys.shape, bool)
    index = np.searchsorted(sorted_keys, keys)
    index = np.minimum(index, len(sorted_keys) - 1)
    is_equal: NDArray[np.bool_] = sorted_keys[index] == keys
    return is_equal


def _is_first_in_row(rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a value occurs in its row for the first time; the shape of `rows`."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    is_new = np.ones(rows.shape, bool)
    is_new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    is_first = np.empty_like(is_new)
    np.put_along_axis(is_first, order, is_new, axis=1)
    return is_first
