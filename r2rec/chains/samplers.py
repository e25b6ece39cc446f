"""Chain samplers: the paper's closed loop, and the open chain it is compared with.

A sampler is a function `(graph, queries, per_query, rng, **params) -> Chains`. A new one is a function like these
and a file under `conf/chain_sampler`.
"""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from r2rec.chains import neighbours
from r2rec.chains.graph import Graph, Queries, shared_items


class Chains(NamedTuple):
    """u - item1 - neighbour - item2 - u, [n] each; `query` says which query a chain belongs to, in order."""

    query: NDArray[np.int64]
    item1: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    item2: NDArray[np.int64]


def closed(graph: Graph, asked: Queries, per_query: int, rng: np.random.Generator) -> Chains:
    """The paper's chain (3.2.1): v uniform over the users sharing two items, then two distinct shared items.

    A query gets `per_query` chains, through distinct neighbours as far as it has them. Where they are too few, further
    chains go through one of them, uniform again, by another pair of items, until there is no other.
    """
    query, neighbour = neighbours.draw_neighbours(asked, graph, per_query, 2, rng)
    common = shared_items(asked, graph, query, neighbour)
    link, first, second = _pairs(query, np.diff(common.indptr), per_query, rng)
    items, begin = common.indices.astype(np.int64), common.indptr[link]
    return Chains(query[link], items[begin + first], neighbour[link], items[begin + second])


def open_ended(graph: Graph, asked: Queries, per_query: int, rng: np.random.Generator) -> Chains:
    """No closure: v shares item1 with u, and item2 is an item of v that u's past does not have.

    v is uniform over the users sharing an item; chains whose v has nothing new are left out.
    """
    query, neighbour = neighbours.draw_neighbours(asked, graph, per_query, 1, rng)
    common = shared_items(asked, graph, query, neighbour)
    theirs = graph.ratings[neighbour]
    new = theirs - theirs.multiply(common != 0)
    new.eliminate_zeros()
    has_new = np.diff(new.indptr) > 0
    query, neighbour, common, new = (
        query[has_new],
        neighbour[has_new],
        common[has_new],
        new[has_new],
    )
    return Chains(query, one_of_each_row(common, rng), neighbour, one_of_each_row(new, rng))


def one_of_each_row(rows: csr_matrix, rng: np.random.Generator) -> NDArray[np.int64]:
    """A stored column of each row [n], uniform; every row has one."""
    size = np.diff(rows.indptr)
    return rows.indices[rows.indptr[:-1] + (rng.random(len(size)) * size).astype(np.int64)].astype(
        np.int64
    )


def _pairs(
    query: NDArray[np.int64], size: NDArray[np.int64], per_query: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Two of the items that each link of a query to a neighbour has, and more of them where links are too few.

    Args:
        query: [links] sorted.
        size: [links] items shared, at least two.

    Returns:
        link [n], first [n], second [n]: places among a link's items; no two alike, in either order. Sorted by query.
    """
    link = np.arange(len(query))
    first, second = _two_of(size, rng)
    have = np.bincount(query)
    pairs = np.bincount(query, weights=size * (size - 1) // 2).astype(np.int64)
    missing = np.minimum(per_query, pairs) - have
    begin = np.cumsum(have) - have
    while missing.any():
        asks = np.repeat(np.arange(len(missing)), missing)
        again = begin[asks] + (rng.random(len(asks)) * have[asks]).astype(np.int64)
        one, other = _two_of(size[again], rng)
        link, first, second = (
            np.concatenate(two) for two in ((link, again), (first, one), (second, other))
        )
        widest = int(size.max())
        keys = (link * widest + np.minimum(first, second)) * widest + np.maximum(first, second)
        new = np.sort(np.unique(keys, return_index=True)[1])
        link, first, second = link[new], first[new], second[new]
        missing = np.minimum(per_query, pairs) - np.bincount(query[link])
    order = np.argsort(query[link], kind="stable")
    return link[order], first[order], second[order]


def _two_of(
    size: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two distinct places among so many, uniform over the ordered pairs: [n], [n]."""
    first = (rng.random(len(size)) * size).astype(np.int64)
    second = (rng.random(len(size)) * (size - 1)).astype(np.int64)
    return first, second + (second >= first)


def table(chains: Chains, graph: Graph, asked: Queries) -> pl.DataFrame:
    """The chains with their ratings: query, user, item1, rating_u1, neighbour, rating_v1, rating_v2, item2, rating_u2.

    `rating_u2` is null where the chain is open.
    """
    ours, theirs = asked.past, graph.ratings
    query, item1, neighbour, item2 = chains
    frame = pl.DataFrame(
        {
            "query": query.astype(np.uint32),
            "user": asked.user[query].astype(np.uint32),
            "item1": item1.astype(np.uint32),
            "rating_u1": _at(ours, query, item1),
            "neighbour": neighbour.astype(np.uint32),
            "rating_v1": _at(theirs, neighbour, item1),
            "rating_v2": _at(theirs, neighbour, item2),
            "item2": item2.astype(np.uint32),
            "rating_u2": _at(ours, query, item2),
        }
    )
    return frame.with_columns(pl.col("rating_u2").replace(0.0, None))


def _at(ratings: csr_matrix, row: NDArray, column: NDArray) -> NDArray[np.float32]:
    if not len(row):  # scipy gives a matrix for an empty selection
        return np.empty(0, np.float32)
    return np.asarray(ratings[row, column], np.float32).ravel()
