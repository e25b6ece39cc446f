"""Fusion: a weight that validation positives alone decide, and a run that ranks with it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from r2rec.base.errors import R2RecError
from r2rec.baselines.fit import quality
from r2rec.evaluate.fuse import WEIGHTS, learn, worth
from r2rec.pipeline import NAMES
from r2rec.run.rules import check
from tests.small import composed, go

worths = arrays.arrays(float, (6, 4), elements=st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]))
places = arrays.arrays(int, 6, elements=st.integers(0, 3))


@given(worths, worths, places)
def test_no_weight_serves_validation_better(told, scored, place):
    w, best = learn(told, scored, place)
    tried = [quality(x * told + (1 - x) * scored, place)[1] for x in WEIGHTS]
    assert best == max(tried) >= quality(scored, place)[1]
    assert w == WEIGHTS[tried.index(best)]


def test_who_knows_nothing_weighs_nothing():
    place = np.arange(40) % 4
    right, blind = np.eye(4)[place], np.full((40, 4), 0.5)
    assert learn(right, blind, place)[0] > 0
    assert learn(blind, right, place) == (0.0, 1.0)


def test_worth_falls_with_rank_and_is_nothing_without_one():
    table = pl.DataFrame({"candidates": [[7, 8, 9], [7, 8, 9]], "ranking": [[9, 7], []]})
    assert worth(table).tolist() == [[1 / 2, 0, 1], [0, 0, 0]]


def test_a_run_ranks_each_arm_once_more(store: Path) -> None:
    done = go(store, "baseline@fusion=ease", "evaluation.validation_users=8", "rl=off")
    assert [r["method"] for r in done.records][2:] == [
        "ease", "backbone", "R2Rec without RL", "backbone + ease", "R2Rec without RL + ease",
    ]  # fmt: skip
    fused = done.stages["rank"]["arms"]["R2Rec without RL + ease"]
    assert 0 <= fused["weight"] <= 1
    assert any("weight of the answer" in line for line in done.lines)
    table = pl.read_parquet(done.folder / "rankings.parquet")
    rows = {
        name: table.filter(pl.col("method") == name).sort("user")
        for name in table["method"].unique()
    }
    for row in rows["R2Rec without RL + ease"].iter_rows(named=True):
        assert sorted(row["ranking"]) == sorted(row["candidates"])
    if fused["weight"] == 0:
        best = [r["ranking"][0] for r in rows["ease"].iter_rows(named=True)]
        assert [
            r["ranking"][0] for r in rows["R2Rec without RL + ease"].iter_rows(named=True)
        ] == best
    again = go(store, "baseline@fusion=ease", "evaluation.validation_users=8", "rl=off")
    assert not again.made()


@pytest.mark.parametrize(
    "words",
    ["baseline@fusion=o4_mini", "baseline@fusion=ease baseline=sasrec",
     "baseline@fusion=ease evaluation.validation_users=0"],
)  # fmt: skip
def test_what_cannot_be_joined_is_refused(words: str) -> None:
    with pytest.raises(R2RecError, match=r"fusion|validation_users"):
        check(composed(*words.split()), NAMES)
