"""Negatives: items that a user never touched, before or after (method.md, Data); uniform, or near one in popularity."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

CELLS = 1_000_000  # of a block, users by draws or users by items, which bounds memory


def touched_keys(interactions: pl.DataFrame, n_items: int) -> NDArray[np.int64]:
    """Sorted keys `user * n_items + item` of distinct interactions: the set that draws are looked up in."""
    keys = interactions["user"].to_numpy().astype(np.int64) * n_items
    keys += interactions["item"].to_numpy()
    keys.sort()
    return keys


def untouched_counts(touched: NDArray[np.int64], n_users: int, n_items: int) -> NDArray[np.int64]:
    """How many items each of so many users never touched."""
    return n_items - np.diff(np.searchsorted(touched, np.arange(n_users + 1) * n_items))


def draw_negatives(
    users: NDArray,
    touched: NDArray[np.int64],
    n_items: int,
    k: int,
    rng: np.random.Generator,
    near: NDArray[np.int64] | None = None,
) -> NDArray[np.uint32]:
    """k distinct items per user, uniform over the items that the user never touched.

    Uniform draws with what was touched or drawn before thrown away: what remains is a draw without replacement.
    Users who touched most items would wait long for it, so those get theirs from a shuffle of all items.

    Args:
        users: [n] user ids, repeats allowed (each is served independently).
        touched: As `touched_keys` gives them, of all interactions.
        k: At most the number of untouched items of every user.
        near: [n] items; draws are then uniform over a window of 2k + 2 ids that has each at a random place (in the
            middle it would be known by that); where the user touched too many of those, the nearest outside fill
            up. Ids must be in an order that means something.

    Returns:
        [n, k] item ids.
    """
    drawn = np.empty((len(users), k), np.uint32)
    if not len(users):  # then k may exceed the number of items
        return drawn
    todo = np.arange(len(users))
    width = n_items if near is None else min(n_items, 2 * k + 2)
    low = np.zeros(len(users), np.int64)
    if near is not None:
        low = np.clip(near - rng.integers(width, size=len(near)), 0, n_items - width)
    for _ in range(2):
        left = []
        for block in np.array_split(todo, len(todo) * (2 * k + 8) // CELLS + 1):
            items, done = _tried(users[block], low[block], width, touched, n_items, k, rng)
            drawn[block[done]] = items[done]
            left.append(block[~done])
        todo = np.concatenate(left)
    for block in np.array_split(todo, len(todo) * n_items // CELLS + 1):
        order = rng.random((len(block), n_items))
        if near is not None:
            order += np.maximum(
                0, np.abs(np.arange(n_items) - low[block, None] - (width - 1) / 2) - (width - 1) / 2
            )
        keys = users[block, None].astype(np.int64) * n_items + np.arange(n_items)
        order[_member(keys, touched)] = np.inf
        drawn[block] = np.argsort(order, axis=1)[:, :k]
    return drawn


def _tried(
    user: NDArray,
    low: NDArray,
    width: int,
    touched: NDArray,
    n_items: int,
    k: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """2k + 8 draws per user from `width` ids after `low`: the first k that will do [n, k], and whether there are k."""
    tries = low[:, None] + rng.integers(width, size=(len(low), 2 * k + 8))
    good = ~_member(user[:, None].astype(np.int64) * n_items + tries, touched) & _first(tries)
    place = np.argsort(~good, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(tries, place, axis=1), good.sum(1) >= k


def by_popularity(
    item: NDArray, n_items: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All items from least to most rated in `item`, equals at random; and each item's place in that order."""
    order = np.lexsort((rng.random(n_items), np.bincount(item, minlength=n_items)))
    place = np.empty_like(order)
    place[order] = np.arange(n_items)
    return order, place


def _member(keys: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    if not len(among):
        return np.zeros(keys.shape, bool)
    place = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return among[place] == keys


def _first(rows: NDArray) -> NDArray[np.bool_]:
    """True where a value occurs in its row for the first time."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    fresh = np.ones(rows.shape, bool)
    fresh[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(fresh)
    np.put_along_axis(first, order, fresh, axis=1)
    return first
