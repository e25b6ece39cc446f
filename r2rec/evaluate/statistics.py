"""How sure a difference is: bootstrap over users, and a paired sign-flip test.

One positive per user gives HR and NDCG only a handful of distinct values, so nothing is drawn user by user: a
resample matters only through how often each distinct value falls, one multinomial (or binomial) draw.
The distribution is the textbook one; 100,000 users cost what 100 do.
"""

from collections.abc import Sequence
from itertools import product
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2rec.errors import R2RecError

CHUNK_CELLS = 2_000_000  # counts held at once: 16 MB
DETECTED, POWER = 1.959964, 0.841621  # normal quantiles: two-sided 5%, and 80% of trials
EXACT_USERS = 12  # up to here all 2^n sign patterns are listed


class Comparison(TypedDict):
    """`difference` = mean(a - b), its interval, and a two-sided p-value of 'no difference'."""

    difference: float
    ci95: list[float]
    p: float
    effect: float  # difference / standard deviation of the differences (Cohen's d for pairs); 0 where none differs
    detectable: float  # the smallest difference that so many pairs would show in 4 of 5 trials, at p < 0.05


def bootstrap_ci(values: ArrayLike, resamples: int, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` [n], users drawn with replacement.

    A single user, or equal values, give an interval of no width. Raises R2RecError where values are
    missing or not finite.
    """
    return _percentiles(_resampled_means(_users(values), resamples, seed), level)


def paired_bootstrap(a: ArrayLike, b: ArrayLike, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compare two methods on the same users, `a` and `b` [n] in the same order; users are drawn in pairs.

    p is twice the share of resampled differences on the far side of zero; one is added, so it is never 0.
    """
    differences = _paired(a, b)
    means = _resampled_means(differences, resamples, seed)
    tail = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (int(tail) + 1) / (resamples + 1))
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return {
        "difference": float(differences.mean()),
        "ci95": list(_percentiles(means, 0.95)),
        "p": p,
        "effect": float(differences.mean()) / spread if spread else 0.0,
        "detectable": (DETECTED + POWER) * spread / len(differences) ** 0.5,
    }


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: below 0.05, and the chance of one false alarm in the whole family is below 5%."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def variation(groups: Sequence[ArrayLike]) -> tuple[float, float]:
    """Standard deviations of one seed's mean: (from the users drawn, from the seed itself).

    Args:
        groups: Per seed, one value per user. Random effects by moments (DerSimonian & Laird, 1986): what the
            means vary by beyond what their users explain; 0 for a single seed.
    """
    values = [_users(group) for group in groups]
    within = float(np.mean([v.var(ddof=1) / len(v) if len(v) > 1 else 0.0 for v in values]))
    between = float(np.var([v.mean() for v in values], ddof=1)) if len(values) > 1 else within
    return within**0.5, max(0.0, between - within) ** 0.5


def paired_permutation(a: ArrayLike, b: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the sign-flip test: were each user's difference as likely to have the other sign.

    `a`, `b` [n] over the same users in the same order. Exact while at most 12 users differ (a difference of
    zero has no sign to flip); otherwise `resamples` random patterns and the observed one, so p is never 0.
    """
    differences = _paired(a, b)
    differences = differences[differences != 0]
    slack = 1e-12 * np.abs(differences).sum()  # equal sums stay equal, in whatever order added
    observed = abs(differences.sum()) - slack
    if len(differences) <= EXACT_USERS:
        signs = np.array(list(product((1, -1), repeat=len(differences))))
        return float((np.abs(signs @ differences) >= observed).mean())
    sizes, counts = np.unique(np.abs(differences), return_counts=True)
    rng, reached = np.random.default_rng(seed), 0
    for rows in _chunks(resamples, len(sizes)):
        positive = rng.binomial(counts, 0.5, size=(rows, len(sizes)))
        reached += int((np.abs((2 * positive - counts) @ sizes) >= observed).sum())
    return (reached + 1) / (resamples + 1)


def _resampled_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means [resamples] of n draws with replacement, from multinomial counts of the distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    rng, share = np.random.default_rng(seed), counts / len(values)
    draws = (rng.multinomial(len(values), share, size=rows) for rows in _chunks(resamples, len(distinct)))
    return np.concatenate([drawn / len(values) @ distinct for drawn in draws])


def _chunks(resamples: int, width: int) -> list[int]:
    """Split `resamples` rows of `width` counts into blocks that fit in memory."""
    if resamples < 1:
        raise R2RecError(f"resamples={resamples}: at least one is needed; set it in evaluation")
    rows = max(1, CHUNK_CELLS // width)
    return [min(rows, resamples - start) for start in range(0, resamples, rows)]


def _percentiles(means: NDArray[np.float64], level: float) -> tuple[float, float]:
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _users(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise R2RecError(f"statistics: one finite number per user is needed, found shape {values.shape}")
    return values


def _paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    a, b = _users(a), _users(b)
    if a.shape != b.shape:
        raise R2RecError(f"statistics: {len(a)} and {len(b)} users cannot be paired; compare the same users")
    return a - b
