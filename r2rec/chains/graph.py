"""The bipartite graph of train ratings as sorted CSR arrays, and the queries for chains in it."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.base.errors import R2RecError
from r2rec.data.moments import first_from

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
Ids = IntArray | NDArray[np.uint32]


class Queries(NamedTuple):
    """Who wants chains, and which part of their past counts.

    Attributes:
        user: [q] the user of each query; a user may have several.
        length: [q] how many of the user's ratings count, from the first in time.
        past: [q, items] the user's ratings that chains may use: all of them, or only those before
            some target. Row indices are sorted.
        candidates: [q, k] the items shown, for samplers that lead to them.
        placed: [q, k] where a witness places each candidate, from 1; 0 where it knows no past of
            the user. None: there is no witness.
        time: [q] the moment of each query. What others rated at that moment or later counts
            nowhere. None: all that the graph has counts (`evaluation.temporal=false`).
    """

    user: IntArray
    length: IntArray
    past: csr_matrix
    candidates: NDArray[np.uint32] | None = None
    placed: IntArray | None = None
    time: IntArray | None = None


class Graph(NamedTuple):
    """Train ratings, by user, by item and in time.

    Attributes:
        ratings: [users, items] f32, row indices sorted.
        raters: [items, users], its transpose.
        item: [ratings] the items of all users, user by user, in time order.
        rating: [ratings] the ratings of these.
        start: [users + 1] where each user's ratings begin in `item`, `rating` and `time`.
        time: [ratings] when these were given, in seconds. None: it is not known.
    """

    ratings: csr_matrix
    raters: csr_matrix
    item: IntArray
    rating: NDArray[np.float32]
    start: IntArray
    time: IntArray | None = None

    @property
    def n_items(self) -> int:
        """The number of items, rated or not."""
        n_items: int = self.ratings.shape[1]
        return n_items


def build_graph(train: pl.DataFrame, n_users: int, n_items: int) -> Graph:
    """Build the graph of a train table, which is sorted by user, then time."""
    user = train["user"].to_numpy().astype(np.int64)
    item = train["item"].to_numpy().astype(np.int64)
    rating = train["rating"].to_numpy()
    n_ratings = np.bincount(user, minlength=n_users)
    start = np.concatenate([[0], np.cumsum(n_ratings)])
    # Copies: `sort_indices` works in place, and `item` and `rating` must stay in time order.
    ratings = csr_matrix((rating.copy(), item.copy(), start), shape=(n_users, n_items))
    ratings.sort_indices()
    time = None
    if "timestamp" in train.columns:
        time = train["timestamp"].to_numpy().astype(np.int64)
    return Graph(ratings, ratings.T.tocsr(), item, rating, start, time)


def queries(
    graph: Graph,
    user: Ids,
    length: Ids | None = None,
    candidates: NDArray[np.uint32] | None = None,
    time: IntArray | None = None,
) -> Queries:
    """Queries of these users.

    Args:
        user: [q] user ids.
        length: [q] how many of each user's ratings count, from the first in time. None: all.
        candidates: [q, k] the items shown, for samplers that lead to them.
        time: [q] the moment of each query; None: ratings of any time count.
    """
    users = np.asarray(user, np.int64)
    if length is None:
        n_ratings = np.diff(graph.start)[users]
        return Queries(users, n_ratings, graph.ratings[users], candidates, time=time)
    lengths = np.asarray(length, np.int64)
    past = _first_ratings(graph, users, lengths)
    return Queries(users, lengths, past, candidates, time=time)


def _first_ratings(graph: Graph, user: IntArray, length: IntArray) -> csr_matrix:
    """[q, items] the first `length` [q] ratings of users [q]. Row indices are sorted."""
    entries, begin = past_entries(graph, user, length)
    shape = (len(user), graph.n_items)
    ratings = csr_matrix((graph.rating[entries], graph.item[entries], begin), shape=shape)
    ratings.sort_indices()
    return ratings


def ratings_before(graph: Graph, user: IntArray, time: IntArray | None) -> csr_matrix:
    """[q, items] what users [q] had rated before these moments [q]; None: all that they rated."""
    if time is None:
        return graph.ratings[user]
    begin = graph.start[user]
    end = first_from(rating_times(graph), begin, graph.start[user + 1], time)
    return _first_ratings(graph, user, end - begin)


def rating_times(graph: Graph) -> IntArray:
    """When the ratings of a graph were given.

    Raises:
        R2RecError: It is not known.
    """
    if graph.time is None:
        raise R2RecError("evaluation.temporal=true needs the time of each rating: it is not known")
    return graph.time


def past_entries(graph: Graph, user: IntArray, length: IntArray) -> tuple[IntArray, IntArray]:
    """Where in `graph.item` the first `length` [q] ratings of users [q] are, one after the other.

    Returns:
        [ratings] indices, in time order within a query, and [q + 1] where each query's begin.
    """
    begin = np.concatenate([[0], np.cumsum(length)])
    # Entry n of all pasts in a row is rating n + offset of the graph.
    offset = graph.start[user] - begin[:-1]
    entries: IntArray = np.arange(begin[-1]) + np.repeat(offset, length)
    return entries, begin


def shared_items(
    queries: Queries,
    graph: Graph,
    query: IntArray,
    neighbour: IntArray,
) -> csr_matrix:
    """[pairs, items] the items that query and neighbour both rated. The values mean nothing.

    Of the neighbour only what was rated before the moment of the query counts.

    Args:
        query: [pairs] row numbers of the queries.
        neighbour: [pairs] user ids.
    """
    rated = ratings_before(graph, neighbour, moments_of(queries, query))
    return queries.past[query].multiply(rated).tocsr()


def moments_of(queries: Queries, query: IntArray) -> IntArray | None:
    """The moments of these queries; None where ratings of any time count."""
    return None if queries.time is None else queries.time[query]


def own_ratings(graph: Graph, user: IntArray, items: IntArray) -> NDArray[np.float32]:
    """[q, k] the rating that each row's user gave to the items [q, k] of the row; 0: none."""
    if not items.size:  # scipy returns a matrix for an empty selection
        return np.zeros(items.shape, np.float32)
    ratings = graph.ratings[np.repeat(user, items.shape[1]), items.ravel()]
    return np.asarray(ratings, np.float32).reshape(items.shape)
