"""Chain samplers: the paper's closed loop, and the open chain it is compared with (section 3.2.1).

A sampler is a function `(graph, queries, per_query, rng, **params) -> Chains`. To add one, write a
function like these and a file under `conf/chain_sampler`.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains import neighbours
from r2rec.chains.graph import (
    Graph,
    IntArray,
    Queries,
    moments_of,
    ratings_before,
    shared_items,
)


class Chains(NamedTuple):
    """Chains u - item1 - neighbour - item2 (- u if closed), sorted by query; [n] each.

    Attributes:
        query: The row number of the query that a chain belongs to.
        item1: The item that u and the neighbour both rated.
        neighbour: A user id.
        item2: The item that the neighbour leads to.
    """

    query: IntArray
    item1: IntArray
    neighbour: IntArray
    item2: IntArray


class _Pairs(NamedTuple):
    """Two of the items that the ends of a link (a query and its neighbour) share; [n] each."""

    link: IntArray  # row number of the link
    first: IntArray  # places among the items of the link
    second: IntArray

    def take(self, rows: IntArray) -> "_Pairs":
        return _Pairs(self.link[rows], self.first[rows], self.second[rows])


def closed(graph: Graph, queries: Queries, per_query: int, rng: np.random.Generator) -> Chains:
    """The paper's chain: v is drawn uniformly from users who share two items, then two of these.

    A query gets `per_query` chains, through distinct neighbours as long as it has some. If it has
    too few, further chains go through one of them, drawn uniformly again, by another pair of items,
    until no unused pair is left.
    """
    query, neighbour = neighbours.draw_neighbours(queries, graph, per_query, 2, rng)
    common = shared_items(queries, graph, query, neighbour)
    n_common = np.diff(common.indptr)
    pairs = _item_pairs(query, n_common, per_query, rng)
    items = common.indices.astype(np.int64)
    begin = common.indptr[pairs.link]
    return Chains(
        query=query[pairs.link],
        item1=items[begin + pairs.first],
        neighbour=neighbour[pairs.link],
        item2=items[begin + pairs.second],
    )


def open_ended(graph: Graph, queries: Queries, per_query: int, rng: np.random.Generator) -> Chains:
    """No closure: v shares item1 with u, and item2 is an item of v that is not in u's past.

    v is uniform over the users sharing an item. Chains whose v has nothing new are left out.
    """
    query, neighbour = neighbours.draw_neighbours(queries, graph, per_query, 1, rng)
    common = shared_items(queries, graph, query, neighbour)
    rated = ratings_before(graph, neighbour, moments_of(queries, query))
    new = rated - rated.multiply(common != 0)
    new.eliminate_zeros()
    has_new = np.diff(new.indptr) > 0
    item1 = one_of_each_row(common[has_new], rng)
    item2 = one_of_each_row(new[has_new], rng)
    return Chains(query[has_new], item1, neighbour[has_new], item2)


def one_of_each_row(rows: csr_matrix, rng: np.random.Generator) -> IntArray:
    """Draw a stored column of each row, uniform: [rows]. No row may be empty."""
    size = np.diff(rows.indptr)
    offset = (rng.random(len(size)) * size).astype(np.int64)
    begin = rows.indptr[:-1]
    columns: IntArray = rows.indices[begin + offset].astype(np.int64)
    return columns


def _item_pairs(
    query: IntArray,
    n_common: IntArray,
    per_query: int,
    rng: np.random.Generator,
) -> _Pairs:
    """Draw a pair of items for each link, and further ones for queries with too few links.

    Args:
        query: [links] sorted row numbers of queries.
        n_common: [links] items shared, at least two.

    Returns:
        No two pairs of a link are alike, in either order. Sorted by query.
    """
    n_links = np.bincount(query)
    first_link = np.cumsum(n_links) - n_links
    n_pairs = n_common * (n_common - 1) // 2
    possible = np.bincount(query, weights=n_pairs).astype(np.int64)
    n_wanted = np.minimum(per_query, possible)
    first, second = _two_places(n_common, rng)
    pairs = _Pairs(np.arange(len(query)), first, second)
    missing = n_wanted - n_links
    while missing.any():
        again = np.repeat(np.arange(len(missing)), missing)
        offset = (rng.random(len(again)) * n_links[again]).astype(np.int64)
        link = first_link[again] + offset
        first, second = _two_places(n_common[link], rng)
        pairs = _Pairs(
            link=np.concatenate([pairs.link, link]),
            first=np.concatenate([pairs.first, first]),
            second=np.concatenate([pairs.second, second]),
        )
        pairs = _distinct(pairs, int(n_common.max()))
        missing = n_wanted - np.bincount(query[pairs.link])
    by_query = np.argsort(query[pairs.link], kind="stable")
    return pairs.take(by_query)


def _distinct(pairs: _Pairs, most_common: int) -> _Pairs:
    """The first of equal pairs, in either order of their items.

    Args:
        most_common: The largest number of items that a link has.
    """
    low = np.minimum(pairs.first, pairs.second)
    high = np.maximum(pairs.first, pairs.second)
    keys = (pairs.link * most_common + low) * most_common + high
    _, first_rows = np.unique(keys, return_index=True)
    return pairs.take(np.sort(first_rows))


def _two_places(
    size: IntArray,
    rng: np.random.Generator,
) -> tuple[IntArray, IntArray]:
    """Two distinct places in 0 .. size - 1, uniform over the ordered pairs: [n], [n]."""
    first = (rng.random(len(size)) * size).astype(np.int64)
    second = (rng.random(len(size)) * (size - 1)).astype(np.int64)
    return first, second + (second >= first)


def table(chains: Chains, graph: Graph, queries: Queries) -> pl.DataFrame:
    """The chains with their ratings, one row each, as chains.parquet has them.

    Returns:
        query, user, item1, rating_u1, neighbour, rating_v1, rating_v2, item2, rating_u2; the last
        is null if the chain is open.
    """
    user = queries.user[chains.query]
    frame = pl.DataFrame(
        {
            "query": chains.query.astype(np.uint32),
            "user": user.astype(np.uint32),
            "item1": chains.item1.astype(np.uint32),
            "rating_u1": _ratings_at(queries.past, chains.query, chains.item1),
            "neighbour": chains.neighbour.astype(np.uint32),
            "rating_v1": _ratings_at(graph.ratings, chains.neighbour, chains.item1),
            "rating_v2": _ratings_at(graph.ratings, chains.neighbour, chains.item2),
            "item2": chains.item2.astype(np.uint32),
            "rating_u2": _ratings_at(queries.past, chains.query, chains.item2),
        }
    )
    return frame.with_columns(pl.col("rating_u2").replace(0.0, None))


def _ratings_at(
    ratings: csr_matrix,
    row: IntArray,
    column: IntArray,
) -> NDArray[np.float32]:
    """[n] the values at these places; 0 where none is stored."""
    if not len(row):  # scipy returns a matrix for an empty selection
        return np.empty(0, np.float32)
    return np.asarray(ratings[row, column], np.float32).ravel()
