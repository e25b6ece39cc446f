"""The bipartite graph of train ratings, as sorted CSR arrays, and what asks it for chains."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


class Queries(NamedTuple):
    """Who asks for chains, and what of their past counts: all of it, or only what came before some target."""

    user: NDArray[np.int64]  # [q]
    past: csr_matrix  # [q, items] the query user's ratings that chains may use
    candidates: NDArray[np.uint32] | None = None  # [q, k] as shown, where a sampler leads to them


class Graph(NamedTuple):
    ratings: csr_matrix  # [users, items] f32, row indices sorted
    raters: csr_matrix  # [items, users], the transpose
    item: NDArray[np.int64]  # [ratings] items of all users in time order
    rating: NDArray[np.float32]  # [ratings]
    start: NDArray[np.int64]  # [users + 1] where each user's ratings begin in `item` and `rating`

    @property
    def n_items(self) -> int:
        return self.ratings.shape[1]


def build_graph(train: pl.DataFrame, n_users: int, n_items: int) -> Graph:
    """The graph of a train table, which is sorted by user, then time."""
    user, item = (
        train["user"].to_numpy().astype(np.int64),
        train["item"].to_numpy().astype(np.int64),
    )
    rating = train["rating"].to_numpy()
    start = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=n_users))])
    # copies: sorting is in place, and `item` and `rating` must stay in time order
    ratings = csr_matrix((rating.copy(), item.copy(), start), shape=(n_users, n_items))
    ratings.sort_indices()
    return Graph(ratings, ratings.T.tocsr(), item, rating, start)


def queries(
    graph: Graph, user: NDArray, length: NDArray | None = None, candidates: NDArray | None = None
) -> Queries:
    """Queries of these users. `length` [q] keeps only their first so many ratings in time; None keeps all."""
    user = np.asarray(user, np.int64)
    if length is None:
        return Queries(user, graph.ratings[user], candidates)
    begin = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    place = np.arange(begin[-1]) + np.repeat(graph.start[user] - begin[:-1], length)
    past = csr_matrix(
        (graph.rating[place], graph.item[place], begin), shape=(len(user), graph.n_items)
    )
    past.sort_indices()
    return Queries(user, past, candidates)


def shared_items(asked: Queries, graph: Graph, query: NDArray, neighbour: NDArray) -> csr_matrix:
    """[pairs, items]: where query and neighbour both rated an item. The stored values mean nothing."""
    return asked.past[query].multiply(graph.ratings[neighbour]).tocsr()
