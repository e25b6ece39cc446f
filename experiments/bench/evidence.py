"""Evidence chains, timed for `run.py` beside what a first version would be: dicts and loops.

Both plain ways rank as `r2rec.chains.evidence` does with `before=False`, and the plain way to what
the whole past says learns its weights anew for each user; a test compares them.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from plain import LIKED_ABOVE
from timing import Row, timed

from r2rec.chains import graph as graphs
from r2rec.chains.chain import load_graph
from r2rec.chains.evidence import evidence
from r2rec.chains.graph import FloatArray, IntArray
from r2rec.chains.taste import REGULARISATION, tastes
from r2rec.data.candidates import Candidates

FEW_RATERS = 10
COUNTED_USERS = 100  # users that the slowest way ranks for
REFITTED_USERS = 3  # users whose weights are learnt anew

Counts = Callable[[int, int, int], tuple[int, int]]  # (user, item, candidate) -> (soon, liked)


class Params(NamedTuple):
    """Those of the sampler."""

    recent: int = 20
    window: int = 20
    decay: float = 0.8
    popularity: float = 0.2


class Evidence(NamedTuple):
    """A candidate, and the counts of the item that speaks most for it; None: no item does."""

    candidate: int
    strength: float
    links: int
    item: int | None = None
    soon: int = 0
    liked: int = 0


class Histories:
    """The graph in plain Python: items and ratings of each user in time order."""

    def __init__(self, graph: graphs.Graph) -> None:
        self.items: list[list[int]] = []
        self.ratings: list[list[float]] = []
        for begin, end in zip(graph.start[:-1], graph.start[1:], strict=True):
            self.items.append(graph.item[begin:end].tolist())
            self.ratings.append(graph.rating[begin:end].tolist())
        self.places: list[dict[int, int]] = []
        self.raters: dict[int, list[int]] = defaultdict(list)
        for user, items in enumerate(self.items):
            self.places.append({item: place for place, item in enumerate(items)})
            for item in items:
                self.raters[item].append(user)

    def counts(self, user: int, item: int, candidate: int, window: int) -> tuple[int, int]:
        """How many others rated the candidate soon after the item, and how many liked it."""
        soon = 0
        liked = 0
        for other in self.raters[item]:
            places = self.places[other]
            if other != user and candidate in places:
                place = places[candidate]
                if 0 < place - places[item] <= window:
                    soon += 1
                    liked += self.ratings[other][place] > LIKED_ABOVE
        return soon, liked


def rows(prepared: Path, parts: Path, repeats: int) -> Iterator[Row]:
    """Evidence of all candidates of all users; building the graph is not timed.

    Args:
        prepared: Folder of the artefact of stage `prepare`.
        parts: Folder of the artefact of stage `split`.
    """
    graph = load_graph(prepared, parts)
    table = Candidates.of(pl.read_parquet(parts / "candidates.parquet"))
    queries = graphs.queries(graph, table.users, candidates=table.items)
    params = Params()
    histories = Histories(graph)
    users = table.users.tolist()
    shown = table.items.tolist()
    step = -(-len(users) // COUNTED_USERS)
    few = users[::step]
    scale = len(users) / len(few)

    def ours() -> pl.DataFrame:
        rng = np.random.default_rng(0)
        per_user = table.items.shape[1]
        return evidence(graph, queries, per_user, rng, before=False, **params._asdict())

    times, rater_times, pair_times = timed(
        repeats,
        ours,
        lambda: by_rater(histories, few, shown[::step], params),
        lambda: by_pair(histories, users, shown, params),
    )
    rater_times = [seconds * scale for seconds in rater_times]
    name = f"all raters, {len(few)} users x {scale:.1f}"
    yield Row("evidence of candidates", table.items.size, times, name, rater_times)
    yield Row("evidence of candidates", table.items.size, times, "all pairs in dicts", pair_times)
    step = -(-len(users) // REFITTED_USERS)
    few_items = table.items[::step].astype(np.int64)
    times, refit_times = timed(
        1,
        lambda: tastes(graph, queries, table.items.astype(np.int64), REGULARISATION),
        lambda: by_refit(graph, users[::step], few_items, REGULARISATION),
    )
    scale = len(users) / len(few_items)
    name = f"EASE without each user, {len(few_items)} users x {scale:.1f}"
    refit_times = [seconds * scale for seconds in refit_times]
    yield Row("the whole past of users", table.items.size, times, name, refit_times)


def by_rater(
    histories: Histories, users: Sequence[int], shown: Sequence[Sequence[int]], params: Params
) -> list[list[Evidence]]:
    """Look at every rater of every recent item, for each user and candidate anew.

    Returns:
        For each user, the shown candidates, the strongest first.
    """

    def counts(user: int, item: int, candidate: int) -> tuple[int, int]:
        return histories.counts(user, item, candidate, params.window)

    return [
        _ranked(histories, user, candidates, counts, params)
        for user, candidates in zip(users, shown, strict=True)
    ]


def by_pair(
    histories: Histories, users: Sequence[int], shown: Sequence[Sequence[int]], params: Params
) -> list[list[Evidence]]:
    """Count all pairs of ratings once, then look them up and take the user's own out."""
    soon: dict[int, Counter[int]] = defaultdict(Counter)
    liked: dict[int, Counter[int]] = defaultdict(Counter)
    for items, ratings in zip(histories.items, histories.ratings, strict=True):
        for place, item in enumerate(items):
            for later in range(place + 1, min(place + 1 + params.window, len(items))):
                soon[item][items[later]] += 1
                if ratings[later] > LIKED_ABOVE:
                    liked[item][items[later]] += 1

    def counts(user: int, item: int, candidate: int) -> tuple[int, int]:
        n_soon = soon[item][candidate]
        n_liked = liked[item][candidate]
        place = histories.places[user].get(candidate)
        if place is not None and 0 < place - histories.places[user][item] <= params.window:
            n_soon -= 1
            n_liked -= histories.ratings[user][place] > LIKED_ABOVE
        return n_soon, n_liked

    return [
        _ranked(histories, user, candidates, counts, params)
        for user, candidates in zip(users, shown, strict=True)
    ]


def by_refit(
    graph: graphs.Graph, users: Sequence[int], shown: IntArray, regularisation: float
) -> FloatArray:
    """[q, k] scores by EASE of all ratings but the user's own, applied to these."""
    ratings = (graph.ratings.toarray() > 0).astype(np.float64)
    scores = np.empty(shown.shape)
    for row, user in enumerate(users):
        others = np.delete(ratings, user, axis=0)
        inverse = np.linalg.inv(others.T @ others + regularisation * np.eye(graph.n_items))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        scores[row] = (ratings[user] @ weights)[shown[row]]
    return scores


def _ranked(
    histories: Histories,
    user: int,
    candidates: Sequence[int],
    counts: Counts,
    params: Params,
) -> list[Evidence]:
    """The candidates of a user, the strongest first."""
    latest = histories.items[user][::-1][: params.recent]
    found = []
    for candidate in candidates:
        n_raters = len(histories.raters[candidate]) - (candidate in histories.places[user])
        usual = params.popularity * math.log(FEW_RATERS + n_raters)
        strength = 0.0
        most = 0.0
        links = 0
        through: tuple[int | None, int, int] = (None, 0, 0)
        for age, item in enumerate(latest):
            soon, liked = counts(user, item, candidate)
            weight = params.decay**age
            says = weight * math.log(1 + soon)
            strength += says - weight * usual
            links += soon > 0
            if says > most:
                most = says
                through = (item, soon, liked)
        strongest_first = (links == 0, -round(strength, 9) if links else 0, -n_raters, candidate)
        found.append((strongest_first, Evidence(candidate, strength, links, *through)))
    return [evidence for _, evidence in sorted(found)]
