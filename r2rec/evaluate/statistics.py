"""How certain a difference is: intervals, tests, and the variance due to users and to seeds.

With one positive per user, HR and NDCG take only a few distinct values, so nothing is drawn user by
user: what a resample changes is how often each value occurs, which is one multinomial (or binomial)
draw. The distribution is the textbook one, and 100,000 users cost as much as 100.
"""

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from r2rec.base.errors import R2RecError
from r2rec.evaluate.arrays import Floats, Integers

CHUNK_CELLS = 2_000_000  # counts held at once: 16 MB
MAX_USERS_FOR_EXACT_TEST = 12  # up to here all 2^n sign patterns are listed
RELATIVE_ROUNDING = 1e-12  # share of a value below which a difference is rounding


class Comparison(TypedDict):
    """The difference of two methods, mean(a - b) over users, then over seeds."""

    difference: float
    ci95: list[float]
    p: float  # two-sided, of "no difference"
    # Cohen's d: difference / standard deviation of the pairs' differences; None without spread
    effect: float | None
    # the difference that this many users and seeds would show in 4 of 5 trials at p < 0.05;
    # None without spread
    detectable: float | None


def paired_comparison(
    a: ArrayLike,
    b: ArrayLike,
    users: ArrayLike | None = None,
    seeds: ArrayLike | None = None,
    *,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two methods on the same users and seeds; `a` and `b` [n] are in the same order.

    A user who occurs at several seeds is one draw, with all differences of that user. p is that of
    the sign-flip test over users. With several seeds a t-test is added, whose variance also has a
    part of the seed itself (what training again would change), and the larger p is reported. The
    interval is a bootstrap over users for one seed, and that of the t-test for several.

    For methods that a seed moves by 0.03, and 500 users at three seeds, 7 to 11 of 100 tests still
    find a difference that does not exist; a test that takes pairs as independent finds 34.

    Args:
        users: [n] the user of each pair; None: all are different.
        seeds: [n] the seed of each pair; None: a single seed.
        resamples: Random draws of the sign-flip test and of the bootstrap.
        seed: Of these draws.
    """
    differences = _paired(a, b)
    spread = _spread(differences, users, seeds)
    n_seeds = spread.shares.shape[1]
    p = _sign_flip(spread.shares.sum(axis=1), resamples, seed)
    error = spread.standard_error()
    deviation = _standard_deviation(differences)
    if deviation <= RELATIVE_ROUNDING * abs(spread.mean) or not error:
        return {
            "difference": spread.mean,
            "ci95": [spread.mean, spread.mean],
            "p": p,
            "effect": None,
            "detectable": None,
        }
    if n_seeds > 1:
        p = max(p, spread.p_of_t_test())
        half = error * spread.t_quantile(0.975)
        low, high = spread.mean - half, spread.mean + half
    else:
        low, high = _percentiles(_resampled_means(differences, resamples, seed), 0.95)
    # two-sided 5%, power 80%
    noncentrality = spread.t_quantile(0.975) + spread.t_quantile(0.8)
    return {
        "difference": spread.mean,
        "ci95": [float(low), float(high)],
        "p": p,
        "effect": spread.mean / deviation,
        "detectable": noncentrality * error,
    }


def bootstrap_ci(
    values: ArrayLike, resamples: int, seed: int, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `values` [n]; users are drawn with replacement.

    A single user, or equal values, give an interval of width zero.

    Raises:
        R2RecError: Values are missing or not finite.
    """
    means = _resampled_means(_finite_values(values), resamples, seed)
    return _percentiles(means, level)


def mean_ci(values: ArrayLike, resamples: int, seed: int) -> tuple[float, float]:
    """95% interval of the mean of `values` [n], each in [0, 1].

    Wilson's where they are hits and misses, or all equal: a bootstrap of 10 misses would say that
    there can be no hit. Of values in [0, 1] those of a share vary most, so Wilson's interval is
    never too narrow for equal ones. A bootstrap over users for all others.

    Raises:
        R2RecError: Values are missing or not finite.
    """
    array = _finite_values(values)
    distinct = np.unique(array)
    if len(distinct) == 1 or set(distinct) == {0.0, 1.0}:
        return wilson(float(array.mean()), len(array))
    return bootstrap_ci(array, resamples, seed)


def wilson(share: float, n: int) -> tuple[float, float]:
    """95% interval of a share of `n` draws (Wilson, 1927): never of width zero, within [0, 1]."""
    z = 1.959964  # 97.5% of a normal distribution lie below it
    weight = z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * (share * (1 - share) / n + weight / (4 * n)) ** 0.5
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of p-values.

    Calling a difference real where its adjusted p is below 0.05 keeps the chance of any false alarm
    in the whole family below 5%.
    """
    order = np.argsort(p, kind="stable")
    ascending = np.asarray(p, np.float64)[order]
    steps = ascending * np.arange(len(p), 0, -1)
    monotone = np.maximum.accumulate(steps)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, monotone)
    result: list[float] = adjusted.tolist()
    return result


def variation(values: ArrayLike, users: ArrayLike, seeds: ArrayLike) -> tuple[float, float]:
    """Standard deviations of one seed's mean of `values` [n]: due to its users, due to the seed.

    The part of the seed is what the means of two seeds differ by beyond what their users explain,
    shared or not; 0 for a single seed.
    """
    spread = _spread(_finite_values(values), users, seeds)
    n_users, n_seeds = spread.shares.shape
    deviations = spread.deviations * n_seeds
    user_variances = _unbiased(n_users) * (deviations**2).sum(axis=0)
    due_to_users = float(user_variances.mean()) ** 0.5
    due_to_seed = spread.seed_variance**0.5
    return due_to_users, due_to_seed


def paired_permutation(a: ArrayLike, b: ArrayLike, resamples: int = 10_000, seed: int = 0) -> float:
    """Two-sided p-value of the sign-flip test: each user's difference might have the other sign.

    `a` and `b` [n] are over the same users in the same order. Exact while at most 12 users differ
    (a difference of zero has no sign). Otherwise `resamples` random patterns and the observed one
    are counted, so p is never 0.
    """
    return _sign_flip(_paired(a, b), resamples, seed)


class _Spread(NamedTuple):
    """Values by user (row) and seed (column), and the variances of their mean."""

    mean: float  # of the seeds' means
    shares: Floats  # [users, seeds] what each adds to the mean
    deviations: Floats  # [users, seeds] the same of values minus their seed's mean
    user_variance: float  # of `mean`, due to the users drawn
    seed_variance: float  # of one seed's mean, due to the seed itself

    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of the sum of both variances (Satterthwaite, 1946)."""
        n_users, n_seeds = self.shares.shape
        seed_part = self.seed_variance / n_seeds
        total = self.user_variance + seed_part
        weighted = 0.0
        if n_users > 1:
            weighted += self.user_variance**2 / (n_users - 1)
        if n_seeds > 1:
            weighted += seed_part**2 / (n_seeds - 1)
        return float(total**2 / weighted)

    def standard_error(self) -> float:
        """Of `mean`, due to users and seeds."""
        return float((self.user_variance + self.seed_variance / self.shares.shape[1]) ** 0.5)

    def p_of_t_test(self) -> float:
        """Two-sided p that the mean is not 0."""
        from scipy.special import stdtr  # scipy.stats has the same, and takes seconds to import

        statistic = abs(self.mean) / self.standard_error()
        return float(2 * stdtr(self.degrees_of_freedom(), -statistic))

    def t_quantile(self, share: float) -> float:
        """A quantile of Student's t with these degrees of freedom."""
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees_of_freedom(), share))


def _spread(values: Floats, users: ArrayLike | None, seeds: ArrayLike | None) -> _Spread:
    """Variances by the method of moments, of a sum over users.

    Users are the independent draws, whichever seeds they occur at.
    """
    user_index = np.arange(len(values))
    if users is not None:
        user_index = _index_of_distinct(users)
    seed_index = np.zeros(len(values), np.int64)
    if seeds is not None:
        seed_index = _index_of_distinct(seeds)
    n_values = len(values)
    if len(user_index) != n_values or len(seed_index) != n_values:
        raise R2RecError(
            f"statistics: {n_values} values, {len(user_index)} users, {len(seed_index)} seeds: "
            "one of each is needed"
        )
    per_seed = np.bincount(seed_index)
    n_seeds = len(per_seed)
    seed_means = np.bincount(seed_index, values) / per_seed
    cells = (user_index, seed_index)
    shape = (user_index.max() + 1, n_seeds)
    weight = 1 / (per_seed[seed_index] * n_seeds)
    shares = np.zeros(shape)
    np.add.at(shares, cells, values * weight)
    centred = values - seed_means[seed_index]
    deviations = np.zeros(shape)
    np.add.at(deviations, cells, centred * weight)
    user_deviations = deviations.sum(axis=1)
    user_variance = _unbiased(len(shares)) * (user_deviations**2).sum()
    return _Spread(
        mean=float(seed_means.mean()),
        shares=shares,
        deviations=deviations,
        user_variance=float(user_variance),
        seed_variance=_seed_variance(seed_means, deviations),
    )


def _seed_variance(seed_means: Floats, deviations: Floats) -> float:
    """Variance of a seed's mean due to the seed: the mean, over pairs of seeds, of half the squared
    difference of their means that their users do not explain; at least 0.
    """
    n_users, n_seeds = deviations.shape
    unexplained = []
    for s, t in combinations(range(n_seeds), 2):
        by_user = (deviations[:, s] - deviations[:, t]) * n_seeds
        due_to_users = _unbiased(n_users) * (by_user**2).sum()
        squared_difference = (seed_means[s] - seed_means[t]) ** 2
        unexplained.append(squared_difference - due_to_users)
    if not unexplained:
        return 0.0
    return max(0.0, float(np.mean(unexplained)) / 2)


def _index_of_distinct(labels: ArrayLike) -> Integers:
    """[n] the index of each label among the sorted distinct ones."""
    _, index = np.unique(np.asarray(labels), return_inverse=True)
    return index


def _standard_deviation(values: Floats) -> float:
    """0 for a single value."""
    if len(values) <= 1:
        return 0.0
    return float(values.std(ddof=1))


def _unbiased(n: int) -> float:
    """Bessel's correction; 0 for a single user, who has no spread."""
    if n <= 1:
        return 0.0
    return n / (n - 1)


def _sign_flip(differences: Floats, resamples: int, seed: int) -> float:
    """Two-sided p-value of the sum of `differences` [n] under random signs."""
    nonzero = differences[differences != 0]
    magnitudes = np.abs(nonzero)
    # Sums that are equal must stay equal in whatever order they are added.
    rounding = RELATIVE_ROUNDING * magnitudes.sum()
    observed = float(abs(nonzero.sum()) - rounding)
    if len(nonzero) <= MAX_USERS_FOR_EXACT_TEST:
        patterns = product((1, -1), repeat=len(nonzero))
        signs = np.array(list(patterns))
        sums = signs @ nonzero
        is_as_far = np.abs(sums) >= observed
        return float(is_as_far.mean())
    return _random_sign_flip(magnitudes, observed, resamples, seed)


def _random_sign_flip(magnitudes: Floats, observed: float, resamples: int, seed: int) -> float:
    """The share of random sign patterns whose sum is as far from zero as `observed`."""
    sizes, counts = np.unique(magnitudes, return_counts=True)
    rng = np.random.default_rng(seed)
    reached = 0
    for n_rows in _chunks(resamples, len(sizes)):
        n_positive = rng.binomial(counts, 0.5, size=(n_rows, len(sizes)))
        sums = (2 * n_positive - counts) @ sizes
        is_as_far = np.abs(sums) >= observed
        reached += int(is_as_far.sum())
    return (reached + 1) / (resamples + 1)


def _resampled_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Means [resamples] of n draws with replacement, by multinomial counts of distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    rng = np.random.default_rng(seed)
    means = []
    for n_rows in _chunks(resamples, len(distinct)):
        drawn_counts = rng.multinomial(n, counts / n, size=n_rows)
        shares = drawn_counts / n
        means.append(shares @ distinct)
    return np.concatenate(means)


def _chunks(resamples: int, width: int) -> list[int]:
    """Split `resamples` rows of `width` counts into blocks of at most `CHUNK_CELLS` counts."""
    if resamples < 1:
        raise R2RecError(f"evaluation.resamples={resamples}: at least one is needed; set it higher")
    n_rows = max(1, CHUNK_CELLS // width)
    full_blocks, rest = divmod(resamples, n_rows)
    blocks = [n_rows] * full_blocks
    if rest:
        blocks.append(rest)
    return blocks


def _percentiles(means: Floats, level: float) -> tuple[float, float]:
    levels = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(means, levels)
    return float(low), float(high)


def _finite_values(values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    is_list = array.ndim == 1 and array.size > 0
    if not is_list or not np.isfinite(array).all():
        raise R2RecError(
            f"statistics: one finite number per user is needed, not an array of shape {array.shape}"
        )
    return array


def _paired(a: ArrayLike, b: ArrayLike) -> Floats:
    first = _finite_values(a)
    second = _finite_values(b)
    if first.shape != second.shape:
        raise R2RecError(
            f"statistics: {len(first)} and {len(second)} users cannot be paired; "
            "compare the same users"
        )
    return first - second
