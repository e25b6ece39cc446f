"""Guard of every run: no held-out rating may be in what a method learns from or is shown."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError


def check_leakage(folders: Mapping[str, Path]) -> str:
    """Look for held-out (user, item) pairs in train ratings, chains and training targets.

    Args:
        folders: Stage -> artefact folder, all of one data set. `split` is required; `chain` and
            `think` are checked where they are given.

    Returns:
        One line that says how many pairs were looked for, and where.

    Raises:
        R2RecError: A held-out pair was found.
    """
    split = folders["split"]
    heldout = pl.scan_parquet(split / "heldout.parquet").select("user", "item")
    tables = {"train": pl.scan_parquet(split / "train.parquet")}
    if "chain" in folders:
        chains = pl.scan_parquet(folders["chain"] / "chains.parquet")
        tables["chains (item 1)"] = chains.rename({"item1": "item"})
        # In an open chain the user has not rated item 2: it shows a neighbour's rating alone.
        closed = chains.drop_nulls("rating_u2")
        tables["chains (item 2)"] = closed.rename({"item2": "item"})
    if "think" in folders:
        tables["training targets"] = pl.scan_parquet(folders["think"] / "traces.parquet")
    for name, table in tables.items():
        leaked = _count(table.join(heldout, on=["user", "item"], how="semi"))
        if leaked:
            raise R2RecError(
                f"leakage: {leaked} held-out ratings are in {name} of {split}; report this as a bug"
            )
    return f"none of {_count(heldout)} held-out ratings is in {', '.join(tables)}"


def _count(table: pl.LazyFrame) -> int:
    n_rows: int = table.select(pl.len()).collect().item()
    return n_rows
