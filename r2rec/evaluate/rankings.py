"""The rankings table: one row per user that an arm ranked, the same columns for every arm.

Columns: method, user, positive, candidates (as shown), ranking (best first), valid, completion
(null where the arm wrote no text).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl
from numpy.random import Generator
from numpy.typing import ArrayLike

from r2rec.base.errors import R2RecError
from r2rec.data.candidates import Candidates
from r2rec.evaluate.metrics import rank_by_score

RANKINGS = "rankings.parquet"


def rankings_table(
    method: str,
    candidates: pl.DataFrame,
    rankings: Iterable[Sequence[int]],
    valid: Sequence[bool],
    completions: Sequence[str | None],
) -> pl.DataFrame:
    """Build the rankings table of one method.

    Args:
        candidates: Columns user, positive and items, one row per user, as `evaluated` gives them.
        rankings: The ranked items of each user, best first; empty for an invalid answer.
        valid: Whether each user's answer is valid.
        completions: What the model wrote for each user; None where it wrote no text.
    """
    rows = [list(ranking) for ranking in rankings]
    table = candidates.select(
        pl.lit(method).alias("method"), "user", "positive", candidates="items"
    )
    return table.with_columns(
        pl.Series("ranking", rows, dtype=pl.List(pl.UInt32)),
        pl.Series("valid", valid, dtype=pl.Boolean),
        pl.Series("completion", completions, dtype=pl.String),
    )


def rankings_by_score(
    method: str, candidates: pl.DataFrame, scores: ArrayLike, rng: Generator
) -> pl.DataFrame:
    """The rankings table of scores [n, k]; ties are broken at random by `rng`."""
    items = Candidates.of(candidates).items
    ranked = rank_by_score(scores, items, rng)
    n_users = len(ranked)
    return rankings_table(
        method,
        candidates,
        ranked.tolist(),
        valid=[True] * n_users,
        completions=[None] * n_users,
    )


def read_rankings(folder: Path, candidates: pl.DataFrame) -> pl.DataFrame:
    """Read a stored rankings table and check that it ranks exactly these candidates.

    Args:
        folder: A `rank` or `fuse` artefact.
        candidates: The evaluated users of this run and their candidates, as `evaluated` gives them.

    Raises:
        R2RecError: Columns are missing, or the table ranks other users or candidates, so that its
            metrics could not be compared with those of the run.
    """
    table = pl.read_parquet(folder / RANKINGS)
    missing = {"method", "user", "positive", "candidates"} - set(table.columns)
    if missing:
        raise R2RecError(
            f"{folder} holds no rankings: columns missing: {', '.join(sorted(missing))}; "
            "force=[rank] makes it again"
        )
    ranked = table.select("user", "positive", items="candidates")
    if not ranked.equals(candidates):
        raise R2RecError(
            f"{folder} ranks other users or candidates than this run evaluates; "
            "remove the folder, or make it again with force=[rank]"
        )
    return table
