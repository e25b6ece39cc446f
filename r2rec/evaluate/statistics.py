"""How sure a difference is: users and seeds as two sources of chance, a sign-flip test, a bootstrap.

One positive per user gives HR and NDCG only a handful of distinct values, so nothing is drawn user by user: a
resample matters only through how often each distinct value falls, one multinomial (or binomial) draw.
The distribution is the textbook one; 100,000 users cost what 100 do.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from r2rec.base.errors import R2RecError

CHUNK_CELLS = 2_000_000  # counts held at once: 16 MB
EXACT_USERS = 12  # up to here all 2^n sign patterns are listed
NOTHING = 1e-12  # of a value: less is rounding


class Comparison(TypedDict):
    """`difference` = mean(a - b) over users, then seeds; its interval, and a two-sided p-value of 'no difference'."""

    difference: float
    ci95: list[float]
    p: float
    effect: (
        float | None
    )  # difference / standard deviation of the pairs' differences (Cohen's d); None: no spread
    detectable: (
        float | None
    )  # what so many users and seeds would show in 4 of 5 trials, at p < 0.05; None: no spread


def compare(
    a: ArrayLike,
    b: ArrayLike,
    users: ArrayLike | None = None,
    seeds: ArrayLike | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the same users and seeds, `a` and `b` [n] in the same order.

    Users may come again at other seeds: they are then one draw of a user, with all their differences. p is that of the
    sign-flip test over users; where there are several seeds also that of a t-test whose variance has a seed's own
    part as well (what training again, with other draws, would change), if that is larger. The interval is the
    bootstrap's over users for one seed, the t-test's for several.

    Where a seed moves either arm by 0.03, of 500 users at three seeds 7 to 11 tests in 100 still find a difference
    that is not there; one that counts pairs as independent finds 34.

    Args:
        users: [n] whose difference it is; None: each is another's.
        seeds: [n] None: one seed.
        seed: Of the random draws.
    """
    differences = _paired(a, b)
    of = _spread(differences, users, seeds)
    p = _sign_flip(of.shares.sum(1), resamples, seed)
    variance = of.users + of.seeds / of.shares.shape[1]
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if spread <= NOTHING * abs(of.mean) or not variance:
        return {
            "difference": of.mean,
            "ci95": [of.mean] * 2,
            "p": p,
            "effect": None,
            "detectable": None,
        }
    from scipy import stats

    t = stats.t(of.freedom())
    if of.shares.shape[1] > 1:
        p = max(p, float(2 * t.sf(abs(of.mean) / variance**0.5)))
        ends = of.mean + variance**0.5 * t.ppf([0.025, 0.975])
    else:
        ends = _percentiles(_resampled_means(differences, resamples, seed), 0.95)
    return {
        "difference": of.mean,
        "ci95": [float(end) for end in ends],
        "p": p,
        "effect": of.mean / spread,
        "detectable": float(t.ppf(0.975) + t.ppf(0.8)) * variance**0.5,
    }


def bootstrap_ci(
    values: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` [n], users drawn with replacement.

    A single user, or equal values, give an interval of no width. Raises R2RecError where values are
    missing or not finite.
    """
    return _percentiles(_resampled_means(_finite(values), resamples, seed), level)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: below 0.05, and the chance of one false alarm in the whole family is below 5%."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return adjusted.tolist()


def variation(values: ArrayLike, users: ArrayLike, seeds: ArrayLike) -> tuple[float, float]:
    """Standard deviations of one seed's mean of `values` [n]: (from the users drawn, from the seed itself).

    The seed's own part is what the means of two seeds differ by beyond what their users explain, those they share
    and those they don't; 0 for a single seed.
    """
    of = _spread(_finite(values), users, seeds)
    n, s = of.shares.shape
    scores = of.scores * s
    return float((_unbiased(n) * (scores**2).sum(0)).mean()) ** 0.5, of.seeds**0.5


def paired_permutation(a: ArrayLike, b: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the sign-flip test: were each user's difference as likely to have the other sign.

    `a`, `b` [n] over the same users in the same order. Exact while at most 12 users differ (a difference of
    zero has no sign to flip); otherwise `resamples` random patterns and the observed one, so p is never 0.
    """
    return _sign_flip(_paired(a, b), resamples, seed)


class _Spread(NamedTuple):
    """Values by user (row) and seed (column), and what their mean varies by."""

    mean: float  # of the seeds' means
    shares: NDArray[np.float64]  # [users, seeds] what each adds to the mean
    scores: NDArray[np.float64]  # the same of values less their seed's mean
    users: float  # variance of `mean` by the users drawn
    seeds: float  # variance of one seed's mean by the seed itself

    def freedom(self) -> float:
        """Degrees of freedom of the two variances together (Satterthwaite, 1946)."""
        n, s = self.shares.shape
        parts = [(self.users, n - 1), (self.seeds / s, s - 1)]
        return sum(v for v, _ in parts) ** 2 / sum(v**2 / df for v, df in parts if df)


def _spread(
    values: NDArray[np.float64], users: ArrayLike | None, seeds: ArrayLike | None
) -> _Spread:
    """Variances by moments: of a sum over users, users being the independent draws, whatever seeds they come at."""
    who = (
        np.arange(len(values))
        if users is None
        else np.unique(np.asarray(users), return_inverse=True)[1]
    )
    when = (
        np.zeros(len(values), int)
        if seeds is None
        else np.unique(np.asarray(seeds), return_inverse=True)[1]
    )
    if not len(who) == len(when) == len(values):
        raise R2RecError(
            f"statistics: {len(values)} values, {len(who)} users, {len(when)} seeds: one of each is needed"
        )
    count = np.bincount(when)
    means = np.bincount(when, values) / count
    shares, scores = np.zeros((2, who.max() + 1, len(count)))
    weight = 1 / (count[when] * len(count))
    np.add.at(shares, (who, when), values * weight)
    np.add.at(scores, (who, when), (values - means[when]) * weight)
    wide = _unbiased(len(shares))
    own = [
        (means[s] - means[t]) ** 2
        - wide * (((scores[:, s] - scores[:, t]) * len(count)) ** 2).sum()
        for s, t in combinations(range(len(count)), 2)
    ]
    return _Spread(
        float(means.mean()), shares, scores,
        users=float(wide * (scores.sum(1) ** 2).sum()), seeds=max(0.0, float(np.mean(own)) / 2) if own else 0.0,
    )  # fmt: skip


def _unbiased(n: int) -> float:
    return n / (n - 1) if n > 1 else 0.0  # one user has no spread


def _sign_flip(differences: NDArray[np.float64], resamples: int, seed: int) -> float:
    differences = differences[differences != 0]
    slack = NOTHING * np.abs(differences).sum()  # equal sums stay equal, in whatever order added
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
    draws = (
        rng.multinomial(len(values), share, size=rows) for rows in _chunks(resamples, len(distinct))
    )
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


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise R2RecError(
            f"statistics: one finite number per user is needed, found shape {values.shape}"
        )
    return values


def _paired(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    a, b = _finite(a), _finite(b)
    if a.shape != b.shape:
        raise R2RecError(
            f"statistics: {len(a)} and {len(b)} users cannot be paired; compare the same users"
        )
    return a - b
