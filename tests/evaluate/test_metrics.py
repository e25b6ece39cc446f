import math
import re
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.evaluate import metrics
from r2rec.evaluate.names import metric_mistakes

K = 6
Row = tuple[int, list[int], list[int], bool]


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """Some users' (positive, candidates, ranking, valid): answers of every kind."""

    def one() -> Row:
        candidates = draw(st.permutations(range(10)))[:K]
        ranking = draw(st.permutations(candidates))[: draw(st.integers(0, K))]
        return draw(st.sampled_from(candidates)), candidates, ranking, draw(st.booleans())

    return [one() for _ in range(draw(st.integers(1, 8)))]


def table(rows: list[Row]) -> pl.DataFrame:
    columns = ("positive", "candidates", "ranking", "valid")
    values = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    frame = pl.DataFrame({"method": "toy", "user": range(len(rows)), **values, "completion": None})
    return frame.cast(metrics.COLUMNS)  # type: ignore[arg-type]


def plain(row: Row) -> dict[str, float]:
    """The metrics read off the answer from the top, with no rank in between."""
    positive, _, ranking, valid = row
    answer = ranking if valid else []
    gains = [1 / math.log2(2 + place) for place, item in enumerate(answer[:3]) if item == positive]
    return {
        "hr@1": float(answer[:1] == [positive]),
        "hr@3": float(positive in answer[:3]),
        "ndcg@3": math.fsum(gains),
    }


@given(rows())
def test_agrees_with_plain_python(drawn: list[Row]) -> None:
    scores = metrics.per_user(table(drawn))
    assert scores.columns == ["method", "user", "rank", "hr@1", "hr@3", "ndcg@3", "valid"]
    for row, score in zip(drawn, scores.iter_rows(named=True), strict=True):
        assert {name: score[name] for name in metrics.METRICS} == pytest.approx(plain(row))
        placed = row[3] and row[0] in row[2]
        assert score["rank"] == (row[2].index(row[0]) + 1 if placed else None)
        assert score["valid"] == row[3]


@given(rows(), st.integers(1, K), st.permutations(["hr", "ndcg", "mrr"]))
def test_any_metric_agrees_with_plain_python(drawn: list[Row], k: int, families: list[str]) -> None:
    names = [family if family == "mrr" else f"{family}@{k}" for family in families]
    scores = metrics.per_user(table(drawn), names)
    for row, score in zip(drawn, scores.iter_rows(named=True), strict=True):
        positive, _, ranking, valid = row
        place = ranking.index(positive) + 1 if valid and positive in ranking else math.inf
        assert score[f"hr@{k}"] == (place <= k)
        assert score[f"ndcg@{k}"] == pytest.approx(1 / math.log2(place + 1) if place <= k else 0)
        assert score["mrr"] == pytest.approx(1 / place)
    record = summary(table(drawn), names)
    assert record["metrics"] == names
    assert set(record["ci95"]) == {*names, *metrics.METRICS}
    for name, (low, high) in record["ci95"].items():
        assert 0 <= low <= high <= 1
        assert record[name] == pytest.approx(scores[name].mean())


@given(st.text(max_size=8))
def test_a_name_is_a_metric_or_is_refused_in_one_line(name: str) -> None:
    shape = re.fullmatch(r"(hr|ndcg)@[1-9][0-9]*|mrr", name, re.ASCII)
    mistakes = list(metric_mistakes([name]))
    assert bool(mistakes) == (shape is None)
    if mistakes:
        with pytest.raises(R2RecError, match="no metric"):
            metrics.metric_values(name, [1.0])


@given(rows())
def test_one_positive_bounds_ndcg(drawn: list[Row]) -> None:
    """What holds for one positive per user, and does not for 14 published triples."""
    record = summary(table(drawn))
    first, gap = record["hr@1"], record["hr@3"] - record["hr@1"]
    assert first + gap / 2 - 1e-9 <= record["ndcg@3"] <= first + gap / math.log2(3) + 1e-9


@given(st.lists(st.integers(1, 40), min_size=2))
def test_a_lower_place_never_pays(ranks: list[int]) -> None:
    ordered = np.sort(np.array([*ranks, np.nan]))  # NaN, the miss, sorts last
    for values in (
        metrics.hit_ratio(ordered, 1),
        metrics.hit_ratio(ordered, 3),
        metrics.ndcg(ordered, 3),
    ):
        assert (np.diff(values) <= 0).all()
        assert values.min() == 0 <= values.max() <= 1


def summary(rankings: pl.DataFrame, names: Sequence[str] = metrics.METRICS) -> dict[str, Any]:
    scores = metrics.per_user(rankings, names)
    return metrics.summarise(
        scores,
        method="toy",
        variant="full",
        dataset="toy",
        train_dataset="toy",
        seed=3,
        names=names,
        resamples=200,
    )


def test_record_counts_invalid_answers_as_misses() -> None:
    candidates = list(range(K))
    hit: Row = (2, candidates, [2, 1], True)
    invalid: Row = (2, candidates, [], False)
    record = summary(table([hit, invalid, invalid, (2, candidates, [0, 2], True)]))
    assert record == {
        "method": "toy",
        "variant": "full",
        "dataset": "toy",
        "train_dataset": "toy",
        "seed": 3,
        "n_users": 4,
        "hr@1": 0.25,
        "hr@3": 0.5,
        "ndcg@3": pytest.approx((1 + 1 / math.log2(3)) / 4),
        "valid_ratio": 0.5,
        "ci95": record["ci95"],
    }
    for name in metrics.METRICS:
        low, high = record["ci95"][name]
        assert 0 <= low <= record[name] <= high <= 1
    for name in metrics.METRICS:  # one hit does not show that there are no misses
        low, high = summary(table([hit]))["ci95"][name]
        assert 0.1 < low < 0.5
        assert high == 1


def test_a_variant_keeps_arms_apart() -> None:
    arm = table([(2, [1, 2], [2], True)])
    both = pl.concat([arm.with_columns(variant=pl.lit(name)) for name in ("full", "no_rl")])
    scores = metrics.per_user(both)
    assert scores["variant"].to_list() == ["full", "no_rl"]
    with pytest.raises(R2RecError, match="one arm at a time"):
        metrics.summarise(scores, method="toy", variant="", dataset="", train_dataset="", seed=0)


GOOD: Row = (2, [1, 2, 3], [3, 2], True)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((2, [1, 2, 3], [4], True), "no candidate"),
        ((2, [1, 2, 3], [3, 3], True), "ranked twice"),
        ((9, [1, 2, 3], [3], True), "positive is not among"),
        ((2, [1, 2], [2], True), "differ in length"),
        ((2, [2, 2, 3], [2], True), "listed twice"),
        ((2, [1, 2, None], [2], True), "hold a null"),
        ((2, [1, 2, 3], [None], True), "no candidate"),
        ((2, [1, 2, 3], None, True), "is null"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(bad: Row, message: str) -> None:
    with pytest.raises(R2RecError, match=message) as caught:
        metrics.per_user(table([GOOD, bad]))
    assert "first toy user 1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_of_another_shape_are_refused() -> None:
    good = table([GOOD])
    with pytest.raises(R2RecError, match="no column valid"):
        metrics.per_user(good.drop("valid"))
    with pytest.raises(R2RecError, match="wrong type"):
        metrics.per_user(good.with_columns(user=pl.lit(-1)))
    with pytest.raises(R2RecError, match="twice by one arm"):
        metrics.per_user(pl.concat([good, good]))
    with pytest.raises(R2RecError, match="no user was ranked"):
        summary(good.clear())


def test_a_constant_scorer_gets_one_twentieth() -> None:
    scores = np.zeros((4000, 20))
    exact = metrics.tie_aware(scores, 0)
    gains = (1 + 1 / math.log2(3) + 1 / 2) / 20
    assert exact == pytest.approx({"hr@1": 1 / 20, "hr@3": 3 / 20, "ndcg@3": gains}, abs=1e-15)
    candidates = np.tile(np.arange(20), (4000, 1))
    ranked = metrics.rank_by_score(scores, candidates, np.random.default_rng(0))
    assert (np.sort(ranked) == candidates).all()
    first = (ranked[:, 0] == 0).mean()
    assert abs(first - 1 / 20) < 4 * math.sqrt(0.05 * 0.95 / 4000)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=5), st.data())
def test_tie_aware_is_the_mean_over_every_way_to_break_ties(
    scores: list[int], data: st.DataObject
) -> None:
    positive = data.draw(st.integers(0, len(scores) - 1))
    keys = permutations(range(len(scores)))
    orders = [sorted(range(len(scores)), key=lambda i: (-scores[i], key[i])) for key in keys]
    ranks = np.array([order.index(positive) + 1 for order in orders])
    expected = {"hr@1": metrics.hit_ratio(ranks, 1), "hr@3": metrics.hit_ratio(ranks, 3)}
    expected["ndcg@3"] = metrics.ndcg(ranks, 3)
    means = {name: values.mean() for name, values in expected.items()}
    assert metrics.tie_aware([scores], [positive]) == pytest.approx(means)


def test_rank_by_score_follows_the_scores_and_its_seed() -> None:
    candidates = np.array([[7, 8, 9, 5]], np.uint32)
    scores = [[0.1, 0.9, 0.1, 0.5]]
    once, again = (
        metrics.rank_by_score(scores, candidates, np.random.default_rng(1)) for _ in range(2)
    )
    assert once[0, :2].tolist() == [8, 5]
    assert (once == again).all()
    assert once.dtype == np.uint32


def test_scores_must_be_finite_and_complete() -> None:
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(R2RecError, match="1 user"):
            metrics.rank_by_score(
                [[0.0, bad], [0.0, 1.0]], [[1, 2], [1, 2]], np.random.default_rng(0)
            )
        with pytest.raises(R2RecError, match="not finite"):
            metrics.tie_aware([[0.0, bad]], 0)
    with pytest.raises(R2RecError, match="differ in shape"):
        metrics.rank_by_score([[0.0, 1.0]], [[1, 2, 3]], np.random.default_rng(0))
