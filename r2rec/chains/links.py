"""How many people went from an item to another soon after: the counts of evidence chains.

Both ends are given: the latest items of each query, and its candidates. So only pairs of those are
counted, and time and memory are linear in the ratings, times the window.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains.before import others_before
from r2rec.chains.graph import BoolArray, Graph, IntArray, Queries, rating_times

Scalar = TypeVar("Scalar", bound=np.generic)

MOST_CELLS = 1 << 25
"""Pairs of items that are counted in one dense table; more are counted by sorting."""


class Links(NamedTuple):
    """What leads from the latest items of each query to each of its candidates.

    Attributes:
        entry: [q, recent] the entries of the graph that hold the user's latest ratings, the latest
            first; -1 where there are fewer.
        soon: [q, recent, k] users who rated item and candidate within the window.
        liked: [q, recent, k] those of them who liked the candidate.
        raters: [q, k] users who rated the candidate at all.
    """

    entry: IntArray
    soon: IntArray
    liked: IntArray
    raters: IntArray


def count_links(
    graph: Graph,
    queries: Queries,
    candidates: IntArray,
    recent: int,
    window: int,
    before: bool,
    above: float,
) -> Links:
    """Count what leads from the latest `recent` items of each query to each of its candidates.

    The user's own ratings are left out: in training the rating of the target is in the graph, and
    would reveal it. Where a query has a moment, only ratings before it count.

    Args:
        candidates: [q, k].
        window: How many ratings after an item count as soon after it.
        before: Ratings up to `window` before the item count as well.
        above: A rating above this is a like.
    """
    place = queries.length[:, None] - 1 - np.arange(recent)  # among the user's ratings, in time
    exists = place >= 0
    entry = np.where(exists, graph.start[queries.user][:, None] + place, -1)
    item = at_entries(graph.item, entry)
    from_items, row = np.unique(item[exists], return_inverse=True)
    to_items, flat_column = np.unique(candidates, return_inverse=True)
    row_of = np.zeros(item.shape, np.int64)
    row_of[exists] = row
    column_of = flat_column.reshape(candidates.shape)
    asked = row_of[:, :, None] * len(to_items) + column_of[:, None, :]

    pairs = _pairs(graph, from_items, to_items, window, before)
    n_cells = max(1, len(from_items)) * len(to_items)
    if queries.time is None:
        soon, liked = _counts_of_all(graph, pairs, asked, n_cells, above)
    else:
        soon, liked = _counts_before(graph, pairs, asked, n_cells, above, queries.time)

    soon_own, liked_own, raters = _own(graph, queries, candidates, entry, window, before, above)
    return Links(
        entry=entry,
        soon=(soon - soon_own) * exists[:, :, None],
        liked=(liked - liked_own) * exists[:, :, None],
        raters=raters,
    )


def _own(
    graph: Graph,
    queries: Queries,
    candidates: IntArray,
    entry: IntArray,
    window: int,
    before: bool,
    above: float,
) -> tuple[BoolArray, BoolArray, IntArray]:
    """Which of the counted pairs, and of those that end with a like, are the user's own.

    Returns:
        [q, recent, k] and [q, recent, k]; and [q, k] how many others rated each candidate.
    """
    begin = graph.start[queries.user][:, None]
    own = _own_places(graph, queries.user, candidates)
    own_entry = np.where(own >= 0, begin + own, -1)
    distance = own_entry[:, None, :] - entry[:, :, None]
    earliest = -window if before else 1
    is_own = (own >= 0)[:, None, :] & (distance >= earliest) & (distance <= window)
    is_own &= distance != 0
    if queries.time is None:
        raters = np.diff(graph.raters.indptr)[candidates] - (own >= 0)
    else:
        later = np.maximum(own_entry[:, None, :], entry[:, :, None])
        is_own &= at_entries(rating_times(graph), later) < queries.time[:, None, None]
        raters, _ = others_before(graph, queries.user, candidates, queries.time, above)
    is_like = at_entries(graph.rating, own_entry) > above
    return is_own, is_own & is_like[:, None, :], raters


def at_entries(values: NDArray[Scalar], entry: IntArray) -> NDArray[Scalar]:
    """The values [ratings] at these entries of the graph; 0 where the entry is -1."""
    found = np.zeros(entry.shape, values.dtype)
    exists = entry >= 0
    found[exists] = values[entry[exists]]
    return found


class _Pairs(NamedTuple):
    """Pairs of one user's ratings that lead from an item to another; [n] each."""

    key: IntArray  # row in from_items * len(to_items) + row in to_items
    second: IntArray  # entries of the graph that hold the second ratings
    later: IntArray  # the same of whichever rating was given later


def _pairs(
    graph: Graph,
    from_items: IntArray,
    to_items: IntArray,
    window: int,
    before: bool,
) -> Iterator[_Pairs]:
    """Pairs of ratings that are at most `window` apart, first those that are next to each other."""
    row_of = _index_of(from_items, graph.n_items)[graph.item]
    column_of = _index_of(to_items, graph.n_items)[graph.item]
    n_ratings = np.diff(graph.start)
    user = np.repeat(np.arange(len(n_ratings)), n_ratings)
    entries = np.arange(len(user))
    for distance in range(1, min(window, len(user) - 1) + 1):
        earlier = entries[:-distance][user[distance:] == user[:-distance]]
        later = earlier + distance
        directions = [(earlier, later)]
        if before:
            directions.append((later, earlier))
        for first, second in directions:
            row = row_of[first]
            column = column_of[second]
            is_wanted = (row >= 0) & (column >= 0)
            key = row[is_wanted] * len(to_items) + column[is_wanted]
            yield _Pairs(key, second[is_wanted], later[is_wanted])


def _counts_of_all(
    graph: Graph, pairs: Iterable[_Pairs], asked: IntArray, n_cells: int, above: float
) -> tuple[IntArray, IntArray]:
    """How many pairs there are of each asked key, and how many of these end with a like."""
    keys = [np.empty(0, np.int64)]
    liked = [np.empty(0, np.int64)]
    for pair in pairs:
        keys.append(pair.key)
        liked.append(pair.key[graph.rating[pair.second] > above])
    return (
        _counts(np.concatenate(keys), asked, n_cells),
        _counts(np.concatenate(liked), asked, n_cells),
    )


def _counts_before(
    graph: Graph,
    pairs: Iterable[_Pairs],
    asked: IntArray,
    n_cells: int,
    above: float,
    time: IntArray,
) -> tuple[IntArray, IntArray]:
    """The same of pairs whose ratings were both given before the moment of the query.

    A pair is one number, ordered by its key, then by the first of the moments that come after it,
    so that those of a key before a moment stand together.

    Args:
        asked: [q, recent, k] keys.
        time: [q] the moments.
    """
    moments, moment_of = np.unique(time, return_inverse=True)
    n_moments = len(moments) + 1
    moment_after = np.searchsorted(moments, rating_times(graph), side="right")
    n_wanted, number = _numbered(asked, n_cells)
    codes = [np.empty(0, np.int64)]
    for pair in pairs:
        place = number(pair.key)
        is_asked = place >= 0
        is_like = graph.rating[pair.second[is_asked]] > above
        key = place[is_asked] * n_moments + moment_after[pair.later[is_asked]]
        codes.append(2 * key + is_like)
    code = np.sort(np.concatenate(codes))
    likes_until = np.concatenate([[0], np.cumsum(code % 2)])
    place = number(asked)
    begin = np.searchsorted(code, 2 * n_moments * np.arange(n_wanted))[place]
    last = place * n_moments + moment_of[:, None, None]
    end = np.searchsorted(code, 2 * last + 2)
    return end - begin, likes_until[end] - likes_until[begin]


def _numbered(asked: IntArray, n_cells: int) -> tuple[int, Callable[[IntArray], IntArray]]:
    """How many different keys are asked for, and what numbers them; -1 for others."""
    if n_cells <= MOST_CELLS:
        is_asked = np.zeros(n_cells, bool)
        is_asked[asked] = True
        wanted = np.flatnonzero(is_asked)
        number_of = _index_of(wanted, n_cells)
        return len(wanted), lambda keys: number_of[keys]
    wanted = np.unique(asked)

    def numbers(keys: IntArray) -> IntArray:
        number = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
        return np.where(wanted[number] == keys, number, -1)

    return len(wanted), numbers


def _index_of(items: IntArray, n_items: int) -> IntArray:
    """[n_items] the index of each item in `items`; -1 where it is not among them."""
    index = np.full(n_items, -1, np.int64)
    index[items] = np.arange(len(items))
    return index


def _counts(keys: IntArray, asked: IntArray, n_cells: int) -> IntArray:
    """How often each asked key occurs among the keys, which are all below `n_cells`."""
    if not len(keys):  # so there may be no cells either
        return np.zeros(asked.shape, np.int64)
    if n_cells <= MOST_CELLS:
        return np.bincount(keys, minlength=n_cells)[asked]
    found, counts = np.unique(keys, return_counts=True)
    index = np.minimum(np.searchsorted(found, asked), len(found) - 1)
    return np.where(found[index] == asked, counts[index], 0)


def _own_places(graph: Graph, user: IntArray, candidates: IntArray) -> IntArray:
    """[q, k] where a candidate stands among its user's own ratings, in time; -1: nowhere."""
    if not candidates.size:  # scipy returns a matrix for an empty selection
        return np.empty(candidates.shape, np.int64)
    place = np.arange(len(graph.item)) - np.repeat(graph.start[:-1], np.diff(graph.start))
    places = csr_matrix((place + 1, graph.item, graph.start), shape=graph.ratings.shape)
    own = places[np.repeat(user, candidates.shape[1]), candidates.ravel()]
    return np.asarray(own, np.int64).reshape(candidates.shape) - 1
