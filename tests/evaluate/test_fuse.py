"""Fusion: validation positives alone decide the weight, and a run ranks with it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from r2rec.base.errors import R2RecError
from r2rec.baselines.fit import quality
from r2rec.evaluate.arrays import Floats, Integers
from r2rec.evaluate.fuse import WEIGHTS, learn_weight, reciprocal_ranks
from r2rec.execution.rules import checked_config
from tests.small import composed, go

elements = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0])
matrices = arrays.arrays(float, (6, 4), elements=elements)
indices = arrays.arrays(int, 6, elements=st.integers(0, 3))


@given(matrices, matrices, indices)
def test_learn_weight_finds_the_best_ndcg(
    by_answer: Floats, by_baseline: Floats, positive_index: Integers
) -> None:
    weight, best = learn_weight(by_answer, by_baseline, positive_index)
    tried = []
    for other in WEIGHTS:
        fused = other * by_answer + (1 - other) * by_baseline
        tried.append(quality(fused, positive_index)[1])
    assert best == max(tried) >= quality(by_baseline, positive_index)[1]
    assert weight == WEIGHTS[tried.index(best)]


def test_learn_weight_ignores_an_uninformed_part() -> None:
    positive_index = np.arange(40) % 4
    right = np.eye(4)[positive_index]
    uninformed = np.full((40, 4), 0.5)
    assert learn_weight(right, uninformed, positive_index)[0] > 0
    assert learn_weight(uninformed, right, positive_index) == (0.0, 1.0)


def test_reciprocal_ranks() -> None:
    table = pl.DataFrame({"candidates": [[7, 8, 9], [7, 8, 9]], "ranking": [[9, 7], []]})
    assert reciprocal_ranks(table).tolist() == [[1 / 2, 0, 1], [0, 0, 0]]
    assert reciprocal_ranks(table.clear()).size == 0


def test_run_with_fusion_ranks_each_arm_once_more(store: Path) -> None:
    done = go(store, "baseline@fusion=ease", "evaluation.validation_users=8", "rl=off")
    assert [r["method"] for r in done.records][2:] == [
        "ease",
        "backbone",
        "R2Rec without RL",
        "backbone + ease",
        "R2Rec without RL + ease",
    ]
    fused = done.stages["rank"]["arms"]["R2Rec without RL + ease"]
    assert 0 <= fused["weight"] <= 1
    assert any("weight of the answer" in line for line in done.lines)
    table = pl.read_parquet(done.folder / "rankings.parquet")
    ranked = table.filter(method="R2Rec without RL + ease").sort("user")
    assert (ranked["ranking"].list.sort() == ranked["candidates"].list.sort()).all()
    if fused["weight"] == 0:
        alone = table.filter(method="ease").sort("user")
        assert (ranked["ranking"].list.first() == alone["ranking"].list.first()).all()
    again = go(store, "baseline@fusion=ease", "evaluation.validation_users=8", "rl=off")
    assert not again.made()


@pytest.mark.parametrize(
    "words",
    [
        "baseline@fusion=o4_mini",
        "baseline@fusion=ease baseline=sasrec",
        "baseline@fusion=ease evaluation.validation_users=0",
    ],
)
def test_fusion_that_cannot_work_is_refused(words: str) -> None:
    with pytest.raises(R2RecError, match=r"fusion|validation_users"):
        checked_config(composed(*words.split()))
