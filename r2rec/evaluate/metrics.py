"""HitRatio@1, HitRatio@3 and NDCG@3 of a rankings table (section 4.2), for every method alike.

Each user has one positive among K candidates. An answer that is invalid, or leaves the positive out, is a
miss: it never leaves the denominator. Scores become a ranking in `rank_by_score`, which breaks ties at
random, so that every metric can be recomputed from the rankings table alone.
"""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from r2rec.base.errors import R2RecError
from r2rec.evaluate.statistics import bootstrap_ci

METRICS = ("hr@1", "hr@3", "ndcg@3")

COLUMNS = {
    "method": pl.String(),
    "user": pl.UInt32(),
    "positive": pl.UInt32(),
    "candidates": pl.List(pl.UInt32()),
    "ranking": pl.List(pl.UInt32()),
    "valid": pl.Boolean(),
}
"""What a rankings table must hold; `variant` and `completion` may stand beside it."""


def hit_ratio(rank: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 where the positive stands at `k` or above, else 0; `rank` is 1-based and NaN for a miss."""
    return (np.asarray(rank, np.float64) <= k).astype(np.float64)


def ndcg(rank: ArrayLike, k: int) -> NDArray[np.float64]:
    """1 / log2(rank + 1) where the positive stands at `k` or above, else 0.

    With a single positive the ideal gain is 1, so nothing is left to normalise by.
    """
    rank = np.asarray(rank, np.float64)
    return np.where(rank <= k, 1 / np.log2(rank + 1), 0.0)


def per_user(rankings: pl.DataFrame) -> pl.DataFrame:
    """Score a rankings table, row by row and in its order.

    Returns method, (variant, where the table has one), user, rank, hr@1, hr@3, ndcg@3, valid. `rank` is f64
    and 1-based; null where the answer is invalid or leaves the positive out, and every metric is then 0.
    Raises R2RecError where the table breaks its contract.
    """
    table = _checked(rankings)
    rank = _ranks(table)
    return table.select(
        *_arm(table),
        pl.Series("rank", rank, nan_to_null=True),
        pl.Series("hr@1", hit_ratio(rank, 1)),
        pl.Series("hr@3", hit_ratio(rank, 3)),
        pl.Series("ndcg@3", ndcg(rank, 3)),
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
    resamples: int = 1000,
    rng_seed: int = 0,
) -> dict[str, Any]:
    """One record of `metrics.json`: means over the users of one arm, with 95% bootstrap intervals over users.

    `scores` is what `per_user` returns. Raises R2RecError where it is empty or counts a user twice.
    """
    if scores.is_empty():
        raise R2RecError(
            f"metrics of {method}: no user was ranked; check evaluation.users and the split"
        )
    if scores["user"].is_duplicated().any():
        raise R2RecError(
            f"metrics of {method}: a user is ranked twice; summarise one arm at a time"
        )
    values = {name: scores[name].to_numpy() for name in METRICS}
    return {
        "method": method,
        "variant": variant,
        "dataset": dataset,
        "train_dataset": train_dataset,
        "seed": seed,
        "n_users": scores.height,
        **{name: float(value.mean()) for name, value in values.items()},
        "valid_ratio": float(scores["valid"].to_numpy().mean()),
        "ci95": {
            name: list(bootstrap_ci(value, resamples, rng_seed)) for name, value in values.items()
        },
    }


def rank_by_score(
    scores: ArrayLike, candidates: ArrayLike, rng: np.random.Generator
) -> NDArray[Any]:
    """Order `candidates` [n, k] by `scores` [n, k], best first, ties uniformly at random by `rng`.

    Random ties give a constant scorer HR@1 = 1/k in expectation, wherever the positive is shown.
    Raises R2RecError on scores that are not finite.
    """
    scores, candidates = _finite(scores), np.asarray(candidates)
    if scores.shape != candidates.shape:
        shapes = f"scores {scores.shape} and candidates {candidates.shape}"
        raise R2RecError(f"{shapes} differ in shape; score every candidate")
    order = np.lexsort((rng.random(scores.shape), -scores), axis=-1)
    return np.take_along_axis(candidates, order, axis=-1)


def tie_aware(scores: ArrayLike, positive_column: ArrayLike) -> dict[str, float]:
    """Exact expectation of the metrics of `rank_by_score` over its random ties.

    `scores` [n, k]; `positive_column` [n], or one number for all users: the column that holds the positive.
    A positive below `a` items, tied with `t`, itself among them, takes the ranks a+1 ... a+t equally often.
    """
    scores = _finite(scores)
    columns = np.broadcast_to(np.asarray(positive_column), scores.shape[:1])
    positive = scores[np.arange(len(scores)), columns][:, None]
    above, tied = (scores > positive).sum(axis=1), (scores == positive).sum(axis=1)
    ranks = np.arange(1, scores.shape[1] + 1)
    gains = {"hr@1": hit_ratio(ranks, 1), "hr@3": hit_ratio(ranks, 3), "ndcg@3": ndcg(ranks, 3)}
    expected = {}
    for name, gain in gains.items():
        total = np.concatenate(([0.0], np.cumsum(gain)))  # gain of all places down to a rank
        expected[name] = float(((total[above + tied] - total[above]) / tied).mean())
    return expected


def _finite(scores: ArrayLike) -> NDArray[np.float64]:
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        users = int((~np.isfinite(scores)).any(axis=-1).sum())
        raise R2RecError(
            f"scores of {users} user(s) are not finite; lower the rate or mend the scorer"
        )
    return scores


def _arm(table: pl.DataFrame) -> list[str]:
    """The columns that name one row: a joined table may hold several variants of a method."""
    return [name for name in ("method", "variant", "user") if name in table.columns]


def _ranks(table: pl.DataFrame) -> NDArray[np.float64]:
    """The positive's 1-based place in each ranking, NaN where it has none."""
    lengths = table["ranking"].list.len().to_numpy()
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    items = table["ranking"].explode().drop_nulls().to_numpy()  # an empty list explodes to a null
    rows = np.repeat(np.arange(table.height), lengths)
    hits = np.flatnonzero(items == table["positive"].to_numpy()[rows])
    ranks = np.full(table.height, np.nan)
    ranks[rows[hits]] = hits - starts[rows[hits]] + 1
    return np.where(table["valid"].to_numpy(), ranks, np.nan)


def _checked(rankings: pl.DataFrame) -> pl.DataFrame:
    """The table in the contract's types, or R2RecError naming the first broken rule and where."""
    missing = [name for name in COLUMNS if name not in rankings.columns]
    if missing:
        raise R2RecError(
            f"rankings table: no column {', '.join(missing)}; write all of the contract's"
        )
    try:
        table = rankings.cast(COLUMNS)  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise R2RecError(
            f"rankings table: wrong type of column ({str(error).splitlines()[0]})"
        ) from None
    candidates, ranking = pl.col("candidates"), pl.col("ranking")
    rules = {
        "a value is null": pl.any_horizontal(pl.col(*COLUMNS).is_null()),
        "candidates hold a null": candidates.list.drop_nulls().list.len() != candidates.list.len(),
        "candidate lists differ in length": candidates.list.len() != candidates.list.len().first(),
        "a candidate is listed twice": candidates.list.n_unique() != candidates.list.len(),
        "the positive is not among the candidates": ~candidates.list.contains(pl.col("positive")),
        "an item is ranked twice": ranking.list.n_unique() != ranking.list.len(),
        "a ranked item is no candidate": ranking.list.set_difference(candidates).list.len() > 0,
        "a user is ranked twice by one arm": pl.struct(_arm(table)).is_duplicated(),
    }
    for rule, broken in rules.items():
        rows = table.filter(broken)
        if rows.height:
            where = f"{rows.height} of {table.height} rows, first {rows['method'][0]} user {rows['user'][0]}"
            raise R2RecError(f"rankings table: {rule} ({where}); mend the method that wrote it")
    return table
