"""Stage `tell`: what a user to be ranked for is told under `evaluation.history=all`.

Train ends before a user's validation positive. Here each user's ratings go on until just before the
test positive, the validation positive included. Only questions about test users read this table:
whatever is trained or tuned reads train alone, and so it is shared by runs of either history.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base.workspace import Workspace
from r2rec.config.slices import TellSlice

TOLD = "told.parquet"


def told_table(inputs: Mapping[str, Path]) -> Path:
    """The table of ratings that users to be ranked for are told: of `tell` if there, else train."""
    if "tell" in inputs:
        return inputs["tell"] / TOLD
    return inputs["split"] / "train.parquet"


def tell(choices: TellSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write told.parquet: the columns and the order of train.parquet.

    Returns:
        The number of told ratings.
    """
    told = with_later_ratings(
        pl.read_parquet(inputs["split"] / "train.parquet"),
        pl.read_parquet(inputs["prepare"] / "interactions.parquet"),
        pl.read_parquet(inputs["split"] / "heldout.parquet"),
    )
    told.write_parquet(work.folder / TOLD, compression="lz4", statistics=False)
    return {"told_ratings": told.height}


def with_later_ratings(
    train: pl.DataFrame, interactions: pl.DataFrame, heldout: pl.DataFrame
) -> pl.DataFrame:
    """Train ratings, then each user's ratings from the validation to before the test positive.

    Noise has changed train alone: what is added here is clean. Users without held-out positives
    keep what they have in train.

    Args:
        interactions: Sorted by user, then time; the order of its rows decides what is before.
        heldout: user, item, role; one "valid" and one "test" row per user.
    """
    rows = interactions.with_row_index("row")
    held = rows.join(heldout, on=["user", "item"])
    first = held.filter(role="valid").select("user", first="row")
    end = held.filter(role="test").select("user", end="row")
    later = (
        rows.join(first, on="user", maintain_order="left")
        .join(end, on="user", maintain_order="left")
        .filter(pl.col("row").is_between("first", "end", closed="left"))
    )
    return pl.concat([train, later.select(train.columns)]).sort("user", maintain_order=True)
