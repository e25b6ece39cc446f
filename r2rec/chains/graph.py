"""The bipartite graph of train ratings as sorted CSR arrays, and the queries for chains in it."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

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
    """

    user: IntArray
    length: IntArray
    past: csr_matrix
    candidates: NDArray[np.uint32] | None = None
    placed: IntArray | None = None


class Graph(NamedTuple):
    """Train ratings, by user, by item and in time.

    Attributes:
        ratings: [users, items] f32, row indices sorted.
        raters: [items, users], its transpose.
        item: [ratings] the items of all users, user by user, in time order.
        rating: [ratings] the ratings of these.
        start: [users + 1] where each user's ratings begin in `item` and `rating`.
    """

    ratings: csr_matrix
    raters: csr_matrix
    item: IntArray
    rating: NDArray[np.float32]
    start: IntArray

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
    return Graph(ratings, ratings.T.tocsr(), item, rating, start)


def queries(
    graph: Graph,
    user: Ids,
    length: Ids | None = None,
    candidates: NDArray[np.uint32] | None = None,
) -> Queries:
    """Queries of these users.

    Args:
        user: [q] user ids.
        length: [q] how many of each user's ratings count, from the first in time. None: all.
        candidates: [q, k] the items shown, for samplers that lead to them.
    """
    users = np.asarray(user, np.int64)
    if length is None:
        n_ratings = np.diff(graph.start)[users]
        return Queries(users, n_ratings, graph.ratings[users], candidates)
    lengths = np.asarray(length, np.int64)
    entries, begin = past_entries(graph, users, lengths)
    shape = (len(users), graph.n_items)
    past = csr_matrix((graph.rating[entries], graph.item[entries], begin), shape=shape)
    past.sort_indices()
    return Queries(users, lengths, past, candidates)


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

    Args:
        query: [pairs] row numbers of the queries.
        neighbour: [pairs] user ids.
    """
    return queries.past[query].multiply(graph.ratings[neighbour]).tocsr()


def own_ratings(graph: Graph, user: IntArray, items: IntArray) -> NDArray[np.float32]:
    """[q, k] the rating that each row's user gave to the items [q, k] of the row; 0: none."""
    if not items.size:  # scipy returns a matrix for an empty selection
        return np.zeros(items.shape, np.float32)
    ratings = graph.ratings[np.repeat(user, items.shape[1]), items.ravel()]
    return np.asarray(ratings, np.float32).reshape(items.shape)
