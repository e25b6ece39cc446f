"""Metrics of a rankings table (section 4.2), the same for every method: hr@K, ndcg@K and mrr.

Each user has one positive among K candidates. An answer that is invalid, or leaves the positive
out, is a miss and stays in the denominator. `rank_by_score` turns scores into a ranking and breaks
ties at random, so every metric can be recomputed from the rankings table alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from r2rec.base.errors import R2RecError
from r2rec.evaluate.arrays import Floats
from r2rec.evaluate.names import METRICS, metric_of, with_paper
from r2rec.evaluate.statistics import mean_ci

COLUMNS: dict[str, pl.DataType] = {
    "method": pl.String(),
    "user": pl.UInt32(),
    "positive": pl.UInt32(),
    "candidates": pl.List(pl.UInt32()),
    "ranking": pl.List(pl.UInt32()),
    "valid": pl.Boolean(),
}
"""What a rankings table must hold; it may also have `variant` and `completion`."""


def hit_ratio(rank: ArrayLike, k: int) -> Floats:
    """1 where the positive is among the first `k`, else 0; `rank` is 1-based, NaN for a miss."""
    ranks = np.asarray(rank, np.float64)
    return (ranks <= k).astype(np.float64)


def ndcg(rank: ArrayLike, k: int) -> Floats:
    """1 / log2(rank + 1) where the positive is among the first `k`, else 0.

    `rank` is 1-based, NaN for a miss. With a single positive the ideal gain is 1, so there is
    nothing to normalise by.
    """
    ranks = np.asarray(rank, np.float64)
    gains = 1 / np.log2(ranks + 1)
    return np.where(ranks <= k, gains, 0.0)


def reciprocal_rank(rank: ArrayLike) -> Floats:
    """1 / rank, 0 for a miss; its mean over users is the MRR. `rank` is 1-based, NaN for a miss."""
    return np.nan_to_num(1 / np.asarray(rank, np.float64))


def metric_values(name: str, rank: ArrayLike) -> Floats:
    """The values of the metric with this name at each `rank`, 1-based, NaN for a miss.

    Raises:
        R2RecError: There is no such metric.
    """
    metric = metric_of(name)
    if metric.k is None:
        return reciprocal_rank(rank)
    if metric.family == "hr":
        return hit_ratio(rank, metric.k)
    return ndcg(rank, metric.k)


def by_chance(name: str, k: int) -> float:
    """What a random order of `k` candidates has in a metric, on average."""
    return float(metric_values(name, np.arange(1, k + 1)).mean())


def per_user(rankings: pl.DataFrame, names: Iterable[str] = METRICS) -> pl.DataFrame:
    """Score a rankings table row by row, in its order.

    Args:
        names: Metrics that are wanted beside those of the paper.

    Returns:
        Columns method, variant (where the table has it), user, rank, hr@1, hr@3, ndcg@3, other
        metrics, valid. `rank` is f64 and 1-based; it is null where the answer is invalid or leaves
        the positive out, and every metric is then 0.

    Raises:
        R2RecError: The table breaks a rule of rankings tables.
    """
    table = _checked(rankings)
    rank = positive_ranks(table)
    return table.select(
        *_arm_columns(table),
        pl.Series("rank", rank, nan_to_null=True),
        *(pl.Series(name, metric_values(name, rank)) for name in with_paper(names)),
        "valid",
    )


def summarise(
    scores: pl.DataFrame,
    *,
    method: str,
    variant: str,
    dataset: str,
    train_dataset: str,
    seed: int,
    names: Sequence[str] = METRICS,
    resamples: int = 1000,
    rng_seed: int = 0,
) -> dict[str, Any]:
    """One record of metrics.json: means over the users of one arm, with 95% intervals.

    Args:
        scores: What `per_user` returns for `names`.
        names: The metrics that reports show, the main one first. The record has them in `metrics`
            where they are not the paper's.
        resamples: Bootstrap resamples of the users; shares such as hr@1 have Wilson's interval.
        rng_seed: Seed of the bootstrap.

    Raises:
        R2RecError: `scores` is empty or has a user twice.
    """
    if scores.is_empty():
        raise R2RecError(
            f"metrics of {method}: no user was ranked; check evaluation.users and the split"
        )
    if scores["user"].is_duplicated().any():
        raise R2RecError(
            f"metrics of {method}: a user is ranked twice; summarise one arm at a time"
        )
    means: dict[str, Any] = {}
    intervals = {}
    for name in with_paper(names):
        values = scores[name].to_numpy()
        means[name] = float(values.mean())
        low, high = mean_ci(values, resamples, rng_seed)
        intervals[name] = [low, high]
    if tuple(names) != METRICS:
        means["metrics"] = list(names)
    return {
        "method": method,
        "variant": variant,
        "dataset": dataset,
        "train_dataset": train_dataset,
        "seed": seed,
        "n_users": scores.height,
        **means,
        "valid_ratio": float(scores["valid"].to_numpy().mean()),
        "ci95": intervals,
    }


def rank_by_score(scores: ArrayLike, candidates: ArrayLike, rng: Generator) -> NDArray[Any]:
    """Order `candidates` [n, k] by `scores` [n, k], best first; `rng` breaks ties at random.

    Random ties give a constant scorer HR@1 = 1/k in expectation, wherever the positive is shown.

    Raises:
        R2RecError: The shapes differ, or a score is not finite.
    """
    values = _finite_scores(scores)
    items = np.asarray(candidates)
    if values.shape != items.shape:
        raise R2RecError(
            f"scores {values.shape} and candidates {items.shape} differ in shape; "
            "score every candidate"
        )
    tie_breakers = rng.random(values.shape)
    order = np.lexsort((tie_breakers, -values), axis=-1)
    return np.take_along_axis(items, order, axis=-1)


def tie_aware(scores: ArrayLike, positive_column: ArrayLike) -> dict[str, float]:
    """The exact expectation of each metric over the random ties of `rank_by_score`.

    A positive with `a` items above it and `t` items tied, itself included, takes each of the ranks
    a+1 ... a+t equally often.

    Args:
        scores: [n, k].
        positive_column: [n] the column of the positive, or one column for all users.
    """
    values = _finite_scores(scores)
    n_users, k = values.shape
    columns = np.broadcast_to(np.asarray(positive_column), (n_users,))
    users = np.arange(n_users)
    positive_score = values[users, columns][:, None]
    above = (values > positive_score).sum(axis=1)
    tied = (values == positive_score).sum(axis=1)
    ranks = np.arange(1, k + 1)
    expected = {}
    for name in METRICS:
        gain = metric_values(name, ranks)
        gain_down_to = np.concatenate(([0.0], np.cumsum(gain)))  # sum of the first r gains, at r
        gain_of_ties = gain_down_to[above + tied] - gain_down_to[above]
        mean_gain = gain_of_ties / tied
        expected[name] = float(mean_gain.mean())
    return expected


def _finite_scores(scores: ArrayLike) -> Floats:
    values = np.asarray(scores, np.float64)
    finite = np.isfinite(values)
    if not finite.all():
        has_others = (~finite).any(axis=-1)
        n_users = int(has_others.sum())
        raise R2RecError(
            f"scores of {n_users} user(s) are not finite; lower the learning rate or fix the scorer"
        )
    return values


def _arm_columns(table: pl.DataFrame) -> list[str]:
    """The columns that identify a row: a joined table may hold several variants of a method."""
    return [name for name in ("method", "variant", "user") if name in table.columns]


def positive_ranks(table: pl.DataFrame) -> Floats:
    """[n] the positive's 1-based rank in each ranking; NaN where it has none."""
    lengths = table["ranking"].list.len().to_numpy()
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    items = table["ranking"].explode().drop_nulls().to_numpy()  # an empty list explodes to a null
    rows = np.repeat(np.arange(table.height), lengths)  # of each ranked item
    positives = table["positive"].to_numpy()
    hits = np.flatnonzero(items == positives[rows])
    hit_rows = rows[hits]
    ranks = np.full(table.height, np.nan)
    ranks[hit_rows] = hits - starts[hit_rows] + 1
    is_valid = table["valid"].to_numpy()
    return np.where(is_valid, ranks, np.nan)


def _checked(rankings: pl.DataFrame) -> pl.DataFrame:
    """The table with the types of `COLUMNS`.

    Raises:
        R2RecError: Names the first broken rule and the first row that breaks it.
    """
    table = _typed(rankings)
    for rule, is_broken in _rules(table).items():
        broken = table.filter(is_broken)
        if broken.height:
            first = broken.row(0, named=True)
            raise R2RecError(
                f"rankings table: {rule} ({broken.height} of {table.height} rows, "
                f"first {first['method']} user {first['user']}); fix the method that wrote it"
            )
    return table


def _typed(rankings: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in COLUMNS if name not in rankings.columns]
    if missing:
        raise R2RecError(
            f"rankings table: no column {', '.join(missing)}; it must have {', '.join(COLUMNS)}"
        )
    casts = []
    for name, kind in COLUMNS.items():
        casts.append(pl.col(name).cast(kind))
    try:
        return rankings.with_columns(casts)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise R2RecError(f"rankings table: wrong type of column ({reason})") from None


def _rules(table: pl.DataFrame) -> Mapping[str, pl.Expr]:
    """Rule -> whether a row breaks it, in the order in which they are checked."""
    candidates = pl.col("candidates")
    ranking = pl.col("ranking")
    n_candidates = candidates.list.len()
    foreign_items = ranking.list.set_difference(candidates)
    return {
        "a value is null": pl.any_horizontal(pl.col(*COLUMNS).is_null()),
        "candidates hold a null": candidates.list.drop_nulls().list.len() != n_candidates,
        "candidate lists differ in length": n_candidates != n_candidates.first(),
        "a candidate is listed twice": candidates.list.n_unique() != n_candidates,
        "the positive is not among the candidates": ~candidates.list.contains(pl.col("positive")),
        "an item is ranked twice": ranking.list.n_unique() != ranking.list.len(),
        "a ranked item is no candidate": foreign_items.list.len() > 0,
        "a user is ranked twice by one arm": pl.struct(_arm_columns(table)).is_duplicated(),
    }
