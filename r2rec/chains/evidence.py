"""Evidence chains u - item1 - {v} - candidate, added up over all v (ours, beyond the paper).

A closed chain (section 3.2.1) ends where it began, so it cannot speak of a candidate. A forward
chain can, and one line about all its middle users says what thousands of single chains would. For
an item i that u rated recently and a candidate c, three counts over the other users v:

- how many rated i (`raters`),
- how many of them rated c soon (`soon`): within `window` ratings after i, or before it as well,
- how many of these liked c (`liked`).

The strength of a candidate adds up over u's recent items how many people went on to it, against how
many would have done so anyway:

    strength(c) = sum over i of decay^age(i) * (log(1 + soon(i, c)) - popularity * log(10 + n(c)))

where age(i) is 0 for u's latest item and n(c) the number of users who rated c. The logarithm makes
agreement of several items count more than one item that many people share. Two more things are
added where their weights are not 0: what u's whole past says of c (`chains.taste`), and the
logarithm of the place that a witness gives c, negative (`chains.witness`).

Where a query has a moment (`evaluation.temporal`), all of this counts ratings before it alone.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, TypeVar

import numpy as np
import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.chains.before import others_before
from r2rec.chains.graph import FloatArray, Graph, IntArray, Queries
from r2rec.chains.links import Links, at_entries, count_links
from r2rec.chains.taste import MOST_ITEMS, REGULARISATION, tastes

FEW_RATERS = 10
"""Added to n(c), so that the first few ratings of a rare item don't decide."""

DECIMALS = 9
"""Strengths, and NDCGs, are compared after rounding: the order of a sum must not matter."""

# What `best_weights` chooses from.
WINDOWS = (5, 10, 15, 20)
BEFORE = (False, True)
DECAYS = (0.7, 0.8, 0.9)
POPULARITIES = (0.0, 0.1, 0.2, 0.3, 0.4)
TASTES = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # these and the next when the others are chosen
WITNESSES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)

Weight = TypeVar("Weight")

SCHEMA = pl.Schema(
    {
        "query": pl.UInt32,
        "user": pl.UInt32,
        "item1": pl.UInt32,
        "rating_u1": pl.Float32,
        "neighbour": pl.UInt32,
        "rating_v1": pl.Float32,
        "rating_v2": pl.Float32,
        "item2": pl.UInt32,
        "rating_u2": pl.Float32,
        "raters": pl.UInt32,
        "soon": pl.UInt32,
        "liked": pl.UInt32,
        "links": pl.UInt32,
        "strength": pl.Float64,
    }
)


def evidence(
    graph: Graph,
    queries: Queries,
    per_query: int,
    rng: np.random.Generator,
    *,
    recent: int,
    window: int | None = None,
    before: bool | None = None,
    decay: float | None = None,
    popularity: float | None = None,
    taste: float | None = 0.0,
    regularisation: float = REGULARISATION,
    witness: float | None = 0.0,
    above: float = 3.0,
) -> pl.DataFrame:
    """A chain to each candidate, the strongest first.

    It begins at the recent item that speaks most for the candidate. Candidates that no recent item
    leads to come last, those first that fit the user's taste, then the most rated; their rows have
    no item1.

    Args:
        per_query: 0: no chains. Else every candidate has one; `prompt.detailed` is how many of
            them a prompt tells in full.
        recent: How many of the user's latest items chains begin at.
        window: How many ratings after an item count as soon after it.
        before: Ratings up to `window` before the item count as well.
        decay: Weight of an item relative to the next later one.
        popularity: How much the popularity of a candidate counts against it.
        taste: How much the user's whole past counts (`chains.taste`).
        regularisation: Of what the past tells; no effect where `taste` is 0.
        witness: How much the place counts that a witness gives a candidate, if there is one.
        above: A rating above this is a like.

    Returns:
        The columns of `samplers.table`, null for the middle user and for u's unknown rating of
        item2; the counts of the chain; `links`, how many recent items lead to the candidate; and
        its strength. Sorted by query, then from the strongest on.

    Raises:
        R2RecError: The queries have no candidates, or a parameter was neither given nor chosen.
    """
    window = _chosen("window", window)
    before = _chosen("before", before)
    decay = _chosen("decay", decay)
    popularity = _chosen("popularity", popularity)
    taste = _chosen("taste", taste)
    witness = _chosen("witness", witness)
    candidates = _candidates(queries)
    links = count_links(graph, queries, candidates, recent, window, before, above)
    fit = witness * _praise(queries)
    if taste:
        fit += taste * tastes(graph, queries, candidates, regularisation)
    strength = strengths(links, decay, popularity) + fit
    order = _strongest_first(candidates, links, strength, fit)
    if not per_query:
        order = order[:, :0]
    strongest_item = (np.log1p(links.soon) * _weights(links, decay)).argmax(axis=1)
    return _rows(graph, queries, links, order, strongest_item, strength)


def _chosen(name: str, value: Weight | None) -> Weight:
    """The value of a parameter that was given, or that stage `weigh` has chosen."""
    if value is None:
        raise R2RecError(
            f"chain_sampler=evidence: {name} in chain_sampler.params has no value; give one, or "
            "keep chain_sampler.weigh, which chooses it"
        )
    return value


def _rows(
    graph: Graph,
    queries: Queries,
    links: Links,
    order: IntArray,
    strongest_item: IntArray,
    strength: FloatArray,
) -> pl.DataFrame:
    """A row for each candidate in `order`.

    Args:
        order: [q, k] columns of the candidates.
        strongest_item: [q, k] index of the recent item that each candidate's chain begins at.
        strength: [q, k] of each candidate.
    """
    candidates = _candidates(queries)
    n_links = (links.soon > 0).sum(axis=1)
    query = np.repeat(np.arange(len(order)), order.shape[1])
    column = order.ravel()
    age = strongest_item[query, column]
    entry = links.entry[query, age]
    rows = pl.DataFrame(
        {
            "query": query,
            "user": queries.user[query],
            "item1": at_entries(graph.item, entry),
            "rating_u1": at_entries(graph.rating, entry),
            "neighbour": None,
            "rating_v1": None,
            "rating_v2": None,
            "item2": candidates[query, column],
            "rating_u2": None,
            "raters": _other_raters(graph, queries, links)[query, age],
            "soon": links.soon[query, age, column],
            "liked": links.liked[query, age, column],
            "links": n_links[query, column],
            "strength": strength[query, column],
        },
    )
    of_chain = pl.col("item1", "rating_u1", "raters")
    return rows.with_columns(pl.when(pl.col("links") > 0).then(of_chain)).cast(SCHEMA)


def _other_raters(graph: Graph, queries: Queries, links: Links) -> IntArray:
    """[q, recent] how many others count among those who rated each of the user's latest items."""
    item = at_entries(graph.item, links.entry)
    if queries.time is None:
        of_all: IntArray = np.diff(graph.raters.indptr)[item] - 1
        return of_all
    n_raters, _ = others_before(graph, queries.user, item, queries.time, above=0.0)
    return n_raters


def best_weights(
    graph: Graph, queries: Queries, positive_index: IntArray, given: dict[str, Any]
) -> dict[str, Any]:
    """The parameters of `evidence` that rank validation positives best, by NDCG.

    Args:
        queries: With candidates, among them the positive of each query.
        positive_index: [q] the column of the positive.
        given: Parameters of `evidence`; those that are None are chosen.

    Returns:
        All parameters. Of equally good ones, the first that was tried.
    """
    candidates = _candidates(queries)
    best = -1.0
    chosen = dict(given)
    above = given.get("above", 3.0)
    nothing = np.zeros(candidates.shape)
    best_links = None
    for window, before in _tried(given, window=WINDOWS, before=BEFORE):
        links = count_links(graph, queries, candidates, given["recent"], window, before, above)
        for decay, popularity in _tried(given, decay=DECAYS, popularity=POPULARITIES):
            strength = strengths(links, decay, popularity)
            ndcg = _ndcg(candidates, links, strength, nothing, positive_index)
            if ndcg > best:
                best = ndcg
                best_links = links
                chosen |= {"window": window, "before": before}
                chosen |= {"decay": decay, "popularity": popularity}
    if best_links is not None:
        chosen |= _best_beside(graph, queries, best_links, chosen, positive_index)
    return chosen


def _best_beside(
    graph: Graph,
    queries: Queries,
    links: Links,
    chosen: dict[str, Any],
    positive_index: IntArray,
) -> dict[str, float]:
    """The weights of taste and of the witness that rank best, with all else as it was chosen.

    Those that `chosen` has stay. A weight is 0 where nothing could be weighed: without a witness,
    or with too many items for `chains.taste`.
    """
    given = {"taste": 0.0, "witness": 0.0} | chosen
    if None not in (given["taste"], given["witness"]):
        return {}
    candidates = _candidates(queries)
    taste_weights = TASTES if graph.n_items <= MOST_ITEMS else (0.0,)
    witness_weights = WITNESSES if queries.placed is not None else (0.0,)
    recency = strengths(links, chosen["decay"], chosen["popularity"])
    by_taste = np.zeros(candidates.shape)
    if given["taste"] or len(taste_weights) > 1:
        regularisation = chosen.get("regularisation", REGULARISATION)
        by_taste = tastes(graph, queries, candidates, regularisation)
    by_witness = _praise(queries)
    best = -1.0
    weights = {}
    for taste, witness in _tried(given, taste=taste_weights, witness=witness_weights):
        fit = taste * by_taste + witness * by_witness
        ndcg = _ndcg(candidates, links, recency + fit, fit, positive_index)
        if ndcg > best:
            best = ndcg
            weights = {"taste": taste, "witness": witness}
    return {name: weight for name, weight in weights.items() if given[name] is None}


def _praise(queries: Queries) -> FloatArray:
    """[q, k] what a witness says of each candidate: 0 of the one it places first, less of others.

    It is 0 for all where there is no witness, or where the witness knows no past of the user.
    """
    candidates = _candidates(queries)
    if queries.placed is None:
        return np.zeros(candidates.shape)
    praise: FloatArray = -np.log(np.maximum(queries.placed, 1))
    return praise


def _ndcg(
    candidates: IntArray,
    links: Links,
    strength: FloatArray,
    fit: FloatArray,
    positive_index: IntArray,
) -> float:
    """The mean NDCG of the positives."""
    order = _strongest_first(candidates, links, strength, fit)
    place = (order == positive_index[:, None]).argmax(axis=1)
    return round(float((1 / np.log2(place + 2)).mean()), DECIMALS)


def _tried(given: dict[str, Any], **choices: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """All combinations of these choices; a parameter that is given has one."""
    values = []
    for name, options in choices.items():
        is_given = given.get(name) is not None
        values.append((given[name],) if is_given else options)
    return product(*values)


def strengths(links: Links, decay: float, popularity: float) -> FloatArray:
    """[q, k] the strength of each candidate."""
    expected = popularity * np.log(FEW_RATERS + links.raters)
    parts = np.log1p(links.soon) - expected[:, None, :]
    strength: FloatArray = (parts * _weights(links, decay)).sum(axis=1)
    return strength


def _weights(links: Links, decay: float) -> FloatArray:
    """[q, recent, 1] the weight of each recent item; 0 where the user has no more."""
    by_age = decay ** np.arange(links.entry.shape[1])
    weights: FloatArray = np.where(links.entry >= 0, by_age, 0.0)
    return weights[:, :, None]


def _strongest_first(
    candidates: IntArray, links: Links, strength: FloatArray, fit: FloatArray
) -> IntArray:
    """[q, k] columns of the candidates, linked ones first, by strength; the rest by their fit.

    Equal ones go by popularity, then by their id: the order in which they are shown must not
    matter.

    Args:
        fit: [q, k] the part of the strength that no link carries.
    """
    linked = (links.soon > 0).any(axis=1)
    by_strength = -np.where(linked, strength, fit).round(DECIMALS)
    return np.lexsort((candidates, -links.raters, by_strength, ~linked))


def _candidates(queries: Queries) -> IntArray:
    """[q, k] the candidates.

    Raises:
        R2RecError: There are none.
    """
    if queries.candidates is None:
        raise R2RecError(
            "the chain sampler evidence leads to candidates: set chain_sampler.forward=true"
        )
    return queries.candidates.astype(np.int64)
