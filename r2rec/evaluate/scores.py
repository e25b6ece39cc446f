"""Scores of candidates by a scorer function, or by the weights of a fitted baseline."""

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import polars as pl
from hydra.utils import get_method
from numpy.random import Generator
from numpy.typing import NDArray

from r2rec.baselines import fit
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times


def score_candidates(
    target: str | None,
    params: Mapping[str, Any],
    fitted: Path | None,
    inputs: Mapping[str, Path],
    ratings: Path,
    candidates: pl.DataFrame,
    rng: Generator,
    temporal: bool = False,
) -> NDArray[Any]:
    """Scores [n, k] of the candidates [n, k]; higher is better.

    Args:
        target: Dotted path of a scorer `(train, users, candidates, rng, **params) -> scores`.
        fitted: A `fit` artefact; where it is given, its weights score, and not `target`.
        inputs: Artefacts `prepare` and `split`.
        ratings: The table of what is told of users (`told_table`), in the columns of train.
        temporal: Give the times of the positives to a scorer that has a parameter `times`.
    """
    table = Candidates.of(candidates)
    if fitted is not None:
        return fit.scores_by_fitted_model(
            fitted, inputs["prepare"], inputs["split"], table.users, table.items, ratings
        )
    scorer: Callable[..., NDArray[Any]] = get_method(str(target))
    given = dict(params)
    if temporal and takes_times(target):
        given["times"] = positive_times(inputs["prepare"], candidates)
    return scorer(pl.read_parquet(ratings), table.users, table.items, rng, **given)


def takes_times(target: str | None) -> bool:
    """Whether a scorer can keep to what was rated before each target."""
    return "times" in signature(get_method(str(target))).parameters
