import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from r2rec.base.errors import R2RecError
from r2rec.evaluate import statistics

GAINS = (0.0, 0.5, 1 / np.log2(3), 1.0)


def gains(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(GAINS, size=n)


@pytest.mark.parametrize("values", [gains(200, 0), np.random.default_rng(1).normal(size=200)])
def test_interval_agrees_with_scipy(values: np.ndarray) -> None:
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    )
    interval = statistics.bootstrap_ci(values, 20_000, 0)
    assert interval == pytest.approx(tuple(reference.confidence_interval), abs=0.06 * values.std())
    narrower = statistics.bootstrap_ci(values, 20_000, 0, level=0.5)
    assert interval[0] < narrower[0] < values.mean() < narrower[1] < interval[1]


@given(st.integers(1, 3000), st.data())
def test_intervals_of_shares_are_those_of_scipy_and_never_of_width_zero(
    n: int, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, n))
    low, high = statistics.mean_ci([1.0] * hits + [0.0] * (n - hits), 100, 0)
    reference = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((reference.low, reference.high), abs=1e-6)
    assert 0 <= low <= hits / n <= high <= 1
    assert low < high


@given(st.sampled_from(GAINS), st.integers(1, 50))
def test_equal_values_are_not_certain(value: float, n: int) -> None:
    low, high = statistics.mean_ci([value] * n, 100, 0)
    assert 0 <= low <= value <= high <= 1
    assert low < high


def test_other_means_have_the_interval_of_the_bootstrap() -> None:
    values = gains(200, 0)
    assert statistics.mean_ci(values, 500, 3) == statistics.bootstrap_ci(values, 500, 3)


@given(st.lists(st.sampled_from(GAINS), min_size=1, max_size=30), st.integers(0, 5))
def test_interval_stays_among_the_values_and_repeats(values: list[float], seed: int) -> None:
    low, high = statistics.bootstrap_ci(values, 50, seed)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert (low, high) == statistics.bootstrap_ci(values, 50, seed)


def test_no_spread_no_width() -> None:
    assert statistics.bootstrap_ci([0.3], 100, 0) == (0.3, 0.3)
    assert statistics.bootstrap_ci([0.3] * 7, 100, 0) == (0.3, 0.3)
    flat = {"ci95": [0.0, 0.0], "p": 1.0, "effect": None, "detectable": None}
    assert statistics.paired_comparison(gains(50, 0), gains(50, 0)) == {"difference": 0.0, **flat}
    assert statistics.paired_comparison([1.0], [0.0]) == {
        "difference": 1.0,
        **flat,
        "ci95": [1.0, 1.0],
    }
    # In binary these differences are not quite equal.
    rounded = statistics.paired_comparison([0.2, 0.3, 0.4], [0.1, 0.2, 0.3])
    assert (rounded["p"], rounded["effect"]) == (0.25, None)
    # One user, twice.
    again = statistics.paired_comparison([1.0, 1.0], [0.0, 0.0], users=[7, 7], seeds=[0, 1])
    assert again == {"difference": 1.0, **flat, "ci95": [1.0, 1.0]}


def test_blocks_cover_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = statistics.bootstrap_ci(gains(40, 0), 101, 0)
    monkeypatch.setattr(statistics, "CHUNK_CELLS", 30)  # seven rows of four values at a time
    assert statistics.bootstrap_ci(gains(40, 0), 101, 0) == pytest.approx(whole)


def test_compare_at_one_seed_agrees_with_scipy() -> None:
    a, b = gains(300, 0), gains(300, 1) * 0.8
    reference = stats.bootstrap(
        (a, b),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        paired=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    comparison = statistics.paired_comparison(a, b)
    assert comparison["difference"] == pytest.approx(float((a - b).mean()))
    assert comparison["ci95"] == pytest.approx(list(reference.confidence_interval), abs=0.01)
    assert comparison["p"] == statistics.paired_permutation(a, b)
    assert comparison["p"] == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=0.01)
    few = [1.0] * 5 + [0.0] * 75  # five users who differ: a bootstrap says 0.01
    assert statistics.paired_comparison(few, np.zeros(80))["p"] == 1 / 16


def scipy_sign_flip(a: np.ndarray, b: np.ndarray, resamples: float) -> float:
    return float(
        stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.mean(x - y, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=resamples,
            rng=np.random.default_rng(0),
        ).pvalue
    )


@pytest.mark.parametrize("seed", range(5))
def test_sign_flip_is_exact_for_few_users(seed: int) -> None:
    a, b = gains(10, seed), gains(10, seed + 100)
    assert statistics.paired_permutation(a, b) == pytest.approx(scipy_sign_flip(a, b, np.inf))


def test_sign_flip_agrees_with_scipy_for_many_users() -> None:
    a, b = gains(150, 0), gains(150, 1) * 0.8
    p = statistics.paired_permutation(a, b, 20_000, 0)
    assert p == pytest.approx(scipy_sign_flip(a, b, 20_000), abs=0.01)
    assert statistics.paired_permutation(a + 1, b, 999) == pytest.approx(1 / 1000)


@given(st.lists(st.tuples(st.sampled_from(GAINS), st.sampled_from(GAINS)), min_size=1, max_size=40))
def test_sign_flip_is_symmetric(pairs: list[tuple[float, float]]) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    p = statistics.paired_permutation(a, b, 200)
    assert 0 < p <= 1
    assert p == statistics.paired_permutation(b, a, 200)
    assert statistics.paired_permutation(a, a) == 1.0


def test_refusals() -> None:
    for bad in ([], [np.nan], [[1.0]]):
        with pytest.raises(R2RecError, match="one finite number per user"):
            statistics.bootstrap_ci(bad, 10, 0)
    with pytest.raises(R2RecError, match="same users"):
        statistics.paired_permutation([1.0, 2.0], [1.0])
    with pytest.raises(R2RecError, match="one of each"):
        statistics.paired_comparison([1.0, 2.0], [1.0, 1.0], [0], [0, 1])
    with pytest.raises(R2RecError, match="at least one"):
        statistics.bootstrap_ci([1.0, 0.0], 0, 0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_test(p: list[float]) -> None:
    adjusted = statistics.holm(p)
    for level in (0.01, 0.05, 0.3, 0.9):
        left, rejected = sorted(range(len(p)), key=lambda k: p[k]), set()
        while left and p[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert {k for k, value in enumerate(adjusted) if value <= level} == rejected


def test_detectable_difference_has_80_percent_power() -> None:
    rng = np.random.default_rng(0)
    wanted = statistics.paired_comparison(rng.normal(size=400), np.zeros(400))["detectable"]
    assert wanted is not None
    trials = [stats.ttest_1samp(rng.normal(wanted, size=400), 0).pvalue < 0.05 for _ in range(2000)]
    assert np.mean(trials) == pytest.approx(0.8, abs=0.05)


SEEDS, USERS = 40, 500


def drawn(
    rng: np.random.Generator, of_seed: float, shared: bool, seeds: int = SEEDS
) -> tuple[np.ndarray, ...]:
    """(value, user, seed) [seeds * 500]: users vary by 0.3, seeds by `of_seed`, the rest by 0.4."""
    seed = np.repeat(np.arange(seeds), USERS)
    user = np.tile(np.arange(USERS), seeds) if shared else np.arange(seeds * USERS)
    known = rng.normal(0, 0.3, seeds * USERS)[user]
    return known + rng.normal(0, of_seed, seeds)[seed] + rng.normal(0, 0.4, len(seed)), user, seed


@pytest.mark.parametrize("shared", [True, False])
def test_variation_separates_users_and_seeds(shared: bool) -> None:
    rng = np.random.default_rng(0)
    users, seeds = statistics.variation(*drawn(rng, 0.0, shared))
    assert users == pytest.approx(0.5 / USERS**0.5, rel=0.05)
    assert seeds < 0.015
    assert statistics.variation(*drawn(rng, 0.05, shared))[1] == pytest.approx(0.05, rel=0.25)
    assert statistics.variation([0.3], [0], [0]) == (0.0, 0.0)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("of_seed", "most"), [(0.0, 0.08), (0.03, 0.13)])
def test_compare_rejects_the_luck_of_a_seed(shared: bool, of_seed: float, most: float) -> None:
    """Three seeds of 500 users without a difference.

    With pairs as independent draws a third of the tests would be false alarms.
    """
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        values, user, seed = drawn(rng, of_seed, shared, seeds=3)
        zeros = np.zeros(len(values))
        comparison = statistics.paired_comparison(values, zeros, user, seed, resamples=400)
        alarms += comparison["p"] < 0.05
    assert alarms / 300 < most


def test_compare_counts_repeated_answers_once() -> None:
    a, b = gains(200, 0), gains(200, 1) * 0.95
    once = statistics.paired_comparison(a, b)
    users = np.tile(np.arange(200), 3)
    seeds = np.repeat([0, 1, 2], 200)
    thrice = statistics.paired_comparison(np.tile(a, 3), np.tile(b, 3), users, seeds)
    assert thrice["difference"] == pytest.approx(once["difference"])
    assert thrice["p"] == pytest.approx(once["p"], abs=0.02)
    assert thrice["detectable"] == pytest.approx(once["detectable"])
    assert thrice["ci95"] == pytest.approx(once["ci95"], abs=0.01)


@given(st.integers(0, 99))
def test_compare_is_symmetric_and_ignores_row_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    user, when = rng.integers(0, 9, 30), rng.integers(0, 3, 30)
    a, b = rng.choice(GAINS, 30), rng.choice(GAINS, 30)
    there = statistics.paired_comparison(a, b, user, when)
    back = statistics.paired_comparison(b, a, user, when)
    assert there["difference"] == pytest.approx(-back["difference"])
    assert there["p"] == pytest.approx(back["p"])
    order = rng.permutation(30)
    permuted = statistics.paired_comparison(a[order], b[order], user[order], when[order])
    assert permuted["p"] == pytest.approx(there["p"])
