"""A fitted model as a witness: evidence chains tell where it places each candidate.

Held-out positives are placed by the model that stage `fit` makes of all train ratings. That model
has learnt training targets by heart, so these are placed out of fold: stage `witness` splits the
users into folds and fits a model without each of them. A training prompt then sees what a test
prompt will see: the word of a model that has never met the answer.

A witness scores the user's past alone, up to the moment of the question. So it must be a model
whose weights hold nothing of single users (`Recommender.from_history`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.baselines import fit
from r2rec.baselines.ratings import IdArray, Ratings, load_ratings
from r2rec.chains.graph import Graph, IntArray, Queries, past_entries
from r2rec.config.slices import WitnessSlice

FOLDS = "folds.parquet"
NO_EVIDENCE = (
    "a witness is told with evidence chains alone: add chain_sampler=evidence, "
    "or set baseline@witness=none"
)
COLUMNS = ("fold", *fit.COLUMNS)  # of log.parquet


class Witnesses(NamedTuple):
    """Who places candidates.

    Attributes:
        models: Folders of fitted models, as `fit` leaves them.
        fold: [users] the index of the model that places a user's candidates.
            None: there is one model.
    """

    models: tuple[Path, ...]
    fold: IntArray | None = None


def witness(choices: WitnessSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write folds.parquet (user, fold), the model fitted without each fold, and log.parquet.

    Each model stops early by the validation positives of the users that it has learnt from.

    Returns:
        How many epochs all models took, their mean validation NDCG, and `unseen_hr@1`: of the
        validation positives of all users, each placed by the model that has not met the user.

    Raises:
        R2RecError: A model has no user to learn from, or none to stop by.
    """
    from r2rec.llm.runtime import settle

    device = settle(work.hardware)
    built = fit.built_of(choices)
    data = load_ratings(inputs["prepare"], inputs["split"], built["above"])
    asked = fit.load_validation(inputs["split"])
    fold = folds_of_users(data.n_users, choices)
    rows = []
    bests = []
    unseen_hits = 0.0
    for number in range(choices.folds):
        is_own = fold != number
        own = asked.of_users(is_own)
        left_out = asked.of_users(~is_own)
        if not len(own.users) or not len(left_out.users):
            raise R2RecError(
                f"witness.folds={choices.folds}: a fold has no user with a validation positive; "
                "lower it, or use a larger data set"
            )
        state = work.folder / "checkpoints" / f"fold_{number}.pt"
        model, progress = fit.best_model(
            choices, _of_users(data, is_own), own, device, state, tracked=f"witness/{number}"
        )
        folder = work.folder / f"fold_{number}"
        folder.mkdir(exist_ok=True)
        fit.save(model, built, folder)
        # Scored with the histories of all users; the model has learnt from its own alone.
        known = fit.load_fitted(folder, data)
        scores = known.scores(left_out.users, left_out.candidates)
        hit_ratio, _ = fit.quality(scores, left_out.positive_index)
        unseen_hits += hit_ratio * len(left_out.users)
        rows += [(number, *row) for row in progress.rows]
        bests.append(progress.best)
    table = pl.DataFrame({"user": np.arange(len(fold)), "fold": fold})
    table.cast(pl.UInt32).write_parquet(work.folder / FOLDS)
    log = pl.DataFrame(rows, schema=list(COLUMNS), orient="row")
    log.write_parquet(work.folder / "log.parquet")
    return {
        "folds": choices.folds,
        "epochs": log.height,
        "validation_ndcg": float(np.mean(bests)),
        "unseen_hr@1": unseen_hits / len(asked.users),
    }


def folds_of_users(n_users: int, choices: WitnessSlice) -> IntArray:
    """[n_users] the fold of each user: a seeded split into folds of one size, give or take one."""
    rng = seeds.generator(choices.seed, "witness.folds")
    return rng.permutation(np.arange(n_users) % choices.folds)


def _of_users(data: Ratings, chosen: NDArray[np.bool_]) -> Ratings:
    """The ratings of the chosen users; the others keep their ids and have none."""
    kept = chosen[data.user]
    user = data.user[kept]
    start = np.searchsorted(user, np.arange(data.n_users + 1))
    return Ratings(data.n_users, data.n_items, user, data.item[kept], start)


def of_all_users(inputs: Mapping[str, Path]) -> Witnesses | None:
    """The witness for questions about held-out positives; None where a run has none."""
    if "witness_fit" not in inputs:
        return None
    return Witnesses((inputs["witness_fit"],))


def out_of_fold(inputs: Mapping[str, Path]) -> Witnesses | None:
    """The witness for questions about training targets; None where a run has none."""
    folder = inputs.get("witness")
    if folder is None:
        return None
    fold = pl.read_parquet(folder / FOLDS).sort("user")["fold"].to_numpy().astype(np.int64)
    n_folds = int(fold.max()) + 1
    return Witnesses(tuple(folder / f"fold_{number}" for number in range(n_folds)), fold)


def heard(told_by: Witnesses | None, graph: Graph, queries: Queries) -> Queries:
    """The queries with the places that a witness gives their candidates, where there is one.

    Raises:
        R2RecError: There is a witness, and the queries have no candidates.
    """
    if told_by is None:
        return queries
    if queries.candidates is None:
        raise R2RecError(NO_EVIDENCE)
    return queries._replace(placed=places(told_by, graph, queries))


def with_places(chains: pl.DataFrame, queries: Queries) -> pl.DataFrame:
    """Evidence chains with a column `witness` (u32): the place of item2 among the candidates.

    It is 1 for the candidate that the model scores highest, and null where the model knows no past
    of the user.

    Args:
        chains: Has the columns `query` and `item2`.
        queries: With candidates and their places.

    Raises:
        R2RecError: The chains are of another kind.
    """
    if "strength" not in chains.columns:
        raise R2RecError(NO_EVIDENCE)
    assert queries.candidates is not None
    assert queries.placed is not None
    n, k = queries.candidates.shape
    placed = pl.DataFrame(
        {
            "query": np.repeat(np.arange(n), k),
            "item2": queries.candidates.ravel(),
            "witness": queries.placed.ravel(),
        }
    ).cast({"query": pl.UInt32, "item2": pl.UInt32, "witness": pl.UInt32})
    is_placed = pl.col("witness") > 0
    placed = placed.with_columns(pl.when(is_placed).then("witness"))
    return chains.join(placed, on=["query", "item2"], how="left", maintain_order="left")


def places(told_by: Witnesses, graph: Graph, queries: Queries) -> IntArray:
    """[q, k] the place of each candidate, from 1; 0 where the model knows no past of the user.

    Only the ratings that a query may use are read. Equal scores go by the candidate's id.
    """
    assert queries.candidates is not None
    model_of = np.zeros(len(queries.user), np.int64)
    if told_by.fold is not None:
        model_of = told_by.fold[queries.user]
    found = np.zeros(queries.candidates.shape, np.int64)
    for number, folder in enumerate(told_by.models):
        rows = np.flatnonzero(model_of == number)
        candidates = queries.candidates[rows].astype(np.int64)
        past = _pasts(graph, queries.user[rows], queries.length[rows], fit.built_at(folder))
        found[rows] = _placed(folder, past, candidates)
    return found


def _placed(folder: Path, past: Ratings, candidates: IdArray) -> IntArray:
    """[n, k] places by the model in `folder`, whose user n has the n-th past."""
    if not len(candidates):
        return np.zeros(candidates.shape, np.int64)
    scores = fit.load_fitted(folder, past).scores(np.arange(past.n_users), candidates)
    order = np.lexsort((candidates, -scores), axis=1)
    found = np.empty(candidates.shape, np.int64)
    from_one = np.arange(1, candidates.shape[1] + 1)
    np.put_along_axis(found, order, from_one[None], axis=1)
    found[np.diff(past.start) == 0] = 0
    return found


def _pasts(graph: Graph, user: IntArray, length: IntArray, built: Mapping[str, Any]) -> Ratings:
    """The first `length` [n] ratings of users [n], as ratings of users 0 to n - 1."""
    entries, begin = past_entries(graph, user, length)
    query = np.repeat(np.arange(len(user)), np.diff(begin))
    if built["above"] is not None:
        liked = graph.rating[entries] > built["above"]
        entries = entries[liked]
        query = query[liked]
    start = np.searchsorted(query, np.arange(len(user) + 1))
    return Ratings(len(user), graph.n_items, query, graph.item[entries], start)
