"""Stage `fuse`: one ranking from a language model's answers and a baseline's scores.

A candidate's score is w / (its rank in the answer) + (1 - w) / (its rank by the baseline). The
weight w is the one that ranks validation positives best; no test answer is used. An invalid answer
adds nothing, so the baseline decides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.baselines import fit
from r2rec.config.slices import FuseSlice
from r2rec.data.candidates import Candidates
from r2rec.data.split import evaluated
from r2rec.data.told import told_table
from r2rec.evaluate.answers import answered, engine_of
from r2rec.evaluate.arrays import Floats, Integers
from r2rec.evaluate.rankings import RANKINGS, rankings_by_score, read_rankings
from r2rec.evaluate.scores import score_candidates
from r2rec.tasks.validation import validation

WEIGHTS = np.linspace(0, 1, 21)
"""The weights of the answer that are tried."""


def fuse(choices: FuseSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write the rankings in `inputs["rank"]`, fused with the baseline `choices.fusion`."""
    tuning, cases = validation(choices, inputs, choices.validation_users, "fuse")
    engine = engine_of(choices, inputs, work)
    tuning_answers, _ = answered(choices, cases, tuning, engine, "fuse")
    by_answer = reciprocal_ranks(tuning_answers)
    train = inputs["split"] / "train.parquet"  # what is told has the validation positives
    by_baseline = baseline_reciprocal_ranks(choices, inputs, train, tuning)
    positive_index = Candidates.of(tuning).positive_index
    weight, ndcg = learn_weight(by_answer, by_baseline, positive_index)

    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    answers = read_rankings(inputs["rank"], candidates)
    baseline = choices.fusion.name
    of_answers = reciprocal_ranks(answers)
    of_baseline = baseline_reciprocal_ranks(choices, inputs, told_table(inputs), candidates)
    fused = weight * of_answers + (1 - weight) * of_baseline
    method = f"{choices.arm.method} + {baseline}"
    rng = seeds.generator(choices.seed, "fuse.ties")
    rankings = rankings_by_score(method, candidates, fused, rng)
    rankings = rankings.with_columns(answers["completion"])
    rankings.write_parquet(work.folder / RANKINGS)

    _, baseline_alone = fit.quality(by_baseline, positive_index)
    _, answer_alone = fit.quality(by_answer, positive_index)
    note = (
        f"{method}: weight of the answer {weight:.2f}, "
        f"by {len(positive_index)} validation positives (NDCG {ndcg:.3f}; "
        f"{baseline} alone {baseline_alone:.3f}, the answer alone {answer_alone:.3f})"
    )
    return {"users": rankings.height, "weight": weight, "notes": [note]}


def learn_weight(
    by_answer: Floats,
    by_baseline: Floats,
    positive_index: Integers,
) -> tuple[float, float]:
    """The weight of `by_answer` that gives the best NDCG of the positives, and that NDCG.

    Args:
        by_answer: [n, k] 1 / rank in the answer.
        by_baseline: [n, k] 1 / rank by the baseline.
        positive_index: [n] column of the positive.

    Of equally good weights the smallest is taken.
    """
    ndcgs = []
    for weight in WEIGHTS:
        fused = weight * by_answer + (1 - weight) * by_baseline
        _, ndcg = fit.quality(fused, positive_index)
        ndcgs.append(ndcg)
    best = int(np.argmax(ndcgs))
    return float(WEIGHTS[best]), ndcgs[best]


def reciprocal_ranks(rankings: pl.DataFrame) -> Floats:
    """1 / rank of each candidate [n, k] of a rankings table; 0 where it is not ranked."""
    if rankings.is_empty():
        return np.zeros((0, 0))
    candidates = rankings["candidates"].to_list()
    ranked = rankings["ranking"].to_list()
    k = len(candidates[0])
    result = np.zeros((len(candidates), k))
    for row, items, ranking in zip(result, candidates, ranked, strict=True):
        by_item = {}
        for rank, item in enumerate(ranking, start=1):
            by_item[item] = 1 / rank
        row[:] = [by_item.get(item, 0.0) for item in items]
    return result


def baseline_reciprocal_ranks(
    choices: FuseSlice, inputs: Mapping[str, Path], ratings: Path, candidates: pl.DataFrame
) -> Floats:
    """1 / rank of each candidate [n, k] by the baseline's scores; ties are broken at random.

    Args:
        ratings: The table of what is told of the users of `candidates`.
    """
    fusion = choices.fusion
    rng = seeds.generator(choices.seed, f"fuse.{fusion.name}")
    scores = score_candidates(
        fusion._target_,
        fusion.params,
        inputs.get("fit"),
        inputs,
        ratings,
        candidates,
        rng,
        choices.temporal,
    )
    return reciprocal_ranks(rankings_by_score(fusion.name, candidates, scores, rng))
